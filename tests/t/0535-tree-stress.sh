#!/bin/bash
# stress-ng's file system class in fs/. Not symlink, which wants to read the
# absolute target that it wrote: such links are shown rewritten (sbxfs(8)); not
# access, which wants to execute: the mount is noexec. Nor those that have
# nothing to do with the directory. iomix has files that the disk can hold.
# long
# limit 240
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_tool stress-ng
start_sbxd
start_sbxfs
mkdir -p "$M/w/fs/root/stress" || fail "mkdir"
stress-ng --class filesystem --sequential 1 --timeout 1 --verify \
    --iomix-bytes 64M --temp-path "$M/w/fs/root/stress" \
    -x access,symlink,bind-mount,binderfs,eventfd,fanotify,ioprio,procfs \
    >"$W/stress" 2>&1
status=$?
[ $status = 0 ] && ! grep -q 'stress-ng: fail' "$W/stress" || {
	grep -E 'fail|error' "$W/stress"
	fail "stress-ng: $status"
}
grep -E 'passed:|skipped:|completed' "$W/stress"
eq "and it goes on" "$(echo 'echo here' >"$M/w/exec"; cat "$M/w/exec")" here
eq "nothing is left" "$(ls "$M/w/fs/root/stress")" ""
exit 0
