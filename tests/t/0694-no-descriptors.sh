#!/bin/bash
# Clients take all descriptors that the front may have: it goes on, what needs
# one fails and says so, and all is well when they are gone.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
/usr/bin/python3 - "$SOCK" "$RUN/files.sock" "$W" <<'P' &
import os, socket, sys, time
sock, files, work = sys.argv[1:]
parent = os.getppid()


def wait(name):
    while not os.path.exists(f'{work}/{name}'):
        if os.getppid() != parent:
            sys.exit()
        time.sleep(0.02)


wait('take')
taken = [socket.socket(socket.AF_UNIX) for _ in range(200)]
for s in taken:
    s.connect(sock)
late = socket.socket(socket.AF_UNIX)
late.connect(files)
open(f'{work}/taken', 'w').close()
wait('give')
for s in taken:
    s.close()
# It waited to be taken: what is no frame is hung up on.
late.settimeout(10)
late.send(b'\xff' * 64)
assert late.recv(1) == b''
P
hog=$!
ulimit -n 90
start_sbxd
start_sbxfs
front=$(role 'sbxd: front')
fds() {
	find "/proc/$front/fd" -mindepth 1 | wc -l
}
grep -q '^Max open files *90 ' "/proc/$front/limits" ||
    skip "needs a host where the limit of open files cannot be raised"
cd "$M" || fail "$M"
echo 'create web' >ctl || fail create
before=$(fds)

: >"$W/take"
wait_for 10 [ -e "$W/taken" ]
wait_for 5 eval '[ "$(fds)" = 90 ]'
for i in 1 2 3; do
	ls web/fs >/dev/null 2>&1
	echo 'echo hi' >web/exec
	timeout 5 cat web/exec >/dev/null 2>&1
	timeout 5 mkdir box$i 2>/dev/null
done
eq "the front lives" "$(role 'sbxd: front')" "$front"
# Who cannot be taken is no reason to ask all the time.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$front/stat"
}
began=$(ticks)
sleep 1
[ $(($(ticks) - began)) -lt 10 ] || fail "the front is busy with nothing"
: >"$W/give"
wait $hog || fail "who waited for a descriptor got none"
all_given() {
	[ "$(fds)" -le $((before + 12)) ]
}
wait_for 10 all_given
works() {
	[ "$(echo 'echo well' >web/exec && cat web/exec)" = well ] &&
	    ls web/fs/etc >/dev/null
}
wait_for 10 works
eq "it lived all the time" "$(role 'sbxd: front')" "$front"
cd / || fail /
