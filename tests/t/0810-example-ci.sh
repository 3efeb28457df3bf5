#!/bin/bash
# examples/ci.sh: the project compiled, and its unit tests run, in a sandbox;
# output and exit status arrive, also those of a failure.
# limit 600
# serial
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
SBX=$M "$TOP/examples/ci.sh" >"$W/out" 2>&1
rc=$?
cat "$W/out"
eq "exit" $rc 0
has "checks ran" "$(cat "$W/out")" "100%: Checks:"
has "the last line" "$(tail -n 1 "$W/out")" ": exit 0 after "
eq "the sandbox is gone" "$(http GET /sandboxes)" "[]"

# A failure is one here too.
mkdir "$W/copy"
tar -C "$TOP" --exclude=./.git --exclude=./build -cf - . |
    tar -C "$W/copy" -xf -
echo '#error broken' >>"$W/copy/lib/err.c"
SBX=$M "$W/copy/examples/ci.sh" >"$W/out" 2>&1 && fail "took a broken tree"
has "the error" "$(cat "$W/out")" "#error broken"
exit 0
