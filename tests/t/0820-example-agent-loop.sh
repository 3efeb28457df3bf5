#!/bin/bash
# examples/agent-loop.sh: ten candidates at once, scored by exit status.
# limit 120
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
SBX=$M "$TOP/examples/agent-loop.sh" >"$W/out" 2>&1
rc=$?
cat "$W/out"
eq "exit" $rc 0
for n in 3 4 5; do
	has "$n" "$(cat "$W/out")" "candidate $n: passed"
done
for n in 1 2 6 7 8 9 10; do
	has "$n" "$(cat "$W/out")" "candidate $n: exit "
done
has "the score" "$(tail -n 1 "$W/out")" "3 of 10 passed"
has "the endless one" "$(cat "$W/out")" "candidate 8: exit 137"
eq "all are gone" "$(http GET /sandboxes)" "[]"
exit 0
