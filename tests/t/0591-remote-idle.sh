#!/bin/bash
# A mount over TCP that nobody uses keeps its connection, and so does who
# waits in it: longer than the silence after which it would be given up.
# limit 120
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_fuse
# shellcheck disable=SC2034 # read by lib.sh
MOUNT=remote
start_sbxd
start_sbxfs
mkdir "$M/a" || fail "mkdir"
exec 3<>"$M/a/exec"
echo 'sleep 34; echo done' >&3
eq "who waits" "$(cat <&3)" "done"
exec 3>&-
! grep -q 'lost\|silent' "$W/sbxfs.log" || fail "$(cat "$W/sbxfs.log")"
