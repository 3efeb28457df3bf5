#!/bin/bash
# examples/hello.py as the README has it.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
mkdir "$M/web" || fail mkdir
cp "$TOP/examples/hello.py" "$M/web/fs/root/" || fail cp
echo 'python3 hello.py' >"$M/web/exec"
eq "output" "$(cat "$M/web/exec")" "hello from web"
exit 0
