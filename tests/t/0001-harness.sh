#!/bin/bash
# The helpers themselves: a check that should fail does.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"

(eq x 1 2) >/dev/null && fail "eq took 1 for 2"
(has x abc d) >/dev/null && fail "has found d in abc"
(check x false) >/dev/null && fail "check took false"
eq "json" "$(echo '{"a":[1,"b"]}' | json 'x["a"][1]')" b
write_config 'server.workers = 2' 'pool.max_warm = 3' '[limits]' 'x = 1'
eq "sections" "$(grep -c '^\[' "$W/sbxd.toml")" 3
sleep 60 2>"$W/sleep.log" &
has "a process of ours" "$(our_processes)" $!
kill $!
exit 0
