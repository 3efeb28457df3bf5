#!/bin/bash
# Names of 255 bytes and of any byte, 100,000 of them in one directory, a file
# of 5 GiB, offsets of 2^40 and more, deep paths: as in a plain directory.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_fuse
start_sbxd
start_sbxfs
mkdir -p "$M/w" "$W/plain/many" || fail mkdir
mkdir "$M/w/fs/root/e" "$M/w/fs/root/e/many" || fail "mkdir in fs/"
(cd "$W/plain/many" && seq 0 99999 | xargs touch) || fail touch
echo 'cd /root/e/many && seq 0 99999 | xargs touch' >"$M/w/exec"
eq "made" "$(cat "$M/w/exec")" ""
/usr/bin/python3 "$TOP/tests/t/edges.py" "$W/plain" "$M/w/fs/root/e" \
    ${MOUNT:+"$MOUNT"} || fail "not as in a plain directory"
exit 0
