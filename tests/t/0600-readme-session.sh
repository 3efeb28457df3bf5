#!/bin/bash
# The session of the README, line by line.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$TOP" || exit 1

check "create" sh -c "echo 'create web' >'$M/ctl'"
check "cp" cp examples/hello.py "$M/web/fs/root/"
out=$(echo 'python3 hello.py' >"$M/web/exec"; cat "$M/web/exec"
    cat "$M/web/wait")
[[ $out =~ ^hello\ from\ web$'\n'1\ 0\ [0-9]+\.[0-9]{3}$ ]] ||
    fail "hello.py: '$out'"

check "env" sh -c "echo GREETING=hi >>'$M/web/env'"
# shellcheck disable=SC2016 # for the sandbox's shell
out=$(curl -s --unix-socket "$SOCK" \
    -d '{"command":"echo $GREETING; id -u; exit 3"}' \
    http://x/sandboxes/web/exec)
eq "exec over HTTP" "$out" \
    '{"stdout":"hi\n0\n","stderr":"","exit_code":3,"exitCode":3}'

names=$(cd "$M" && echo *)
eq "ls" "$names" "ctl errors events new pool profiles status web"
has "status" "$(cat "$M/web/status")" $'name web\n'
has "status" "$(cat "$M/web/status")" $'\nstate running\n'
has "status" "$(cat "$M/web/status")" $'\nlast 2\n'
has "status" "$(cat "$M/web/status")" $'\nexit 3\n'
out=$(cat "$M/nope/exec" 2>&1) && fail "read exec of a sandbox that is not"
has "no such sandbox" "$out" "No such file or directory"
refused "$M/ctl" frob "Invalid argument" frob
has "whose error" "$(tail -n1 "$M/errors")" " pid="
has "which line" "$(tail -n1 "$M/errors")" '"frob"'

check "rmdir" rmdir "$M/web"
[ ! -e "$M/web" ] || fail "web is still there"
http GET /sandboxes/web >/dev/null
eq "gone over HTTP" "$(code)" 404
exit 0
