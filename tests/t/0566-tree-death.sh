#!/bin/bash
# However sbxfs or its mount dies, nobody who uses it hangs: who waits has an
# errno at once, who works can be killed, and a new sbxfs mounts and goes on.
# limit 150
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
mkdir "$M/a" || fail mkdir
head -c 3000000 /dev/urandom >"$M/a/fs/root/big"

pids=()
client() {
	"$@" >/dev/null 2>&1 &
	pids+=($!)
}
python() {
	# As a process of its own: a mapping must not be this shell's.
	client python3 -c "$1" "$M"
}

# Those that wait, in each way that there is.
waiting() {
	pids=()
	echo 'echo begin; exec sleep 1000' >"$M/a/exec"
	client cat "$M/a/exec"
	client cat "$M/a/wait"
	client cat "$M/a/jobs/last/wait"
	client bash -c "exec 3<>$M/a/exec; echo 'exec sleep 999' >&3; cat <&3"
	client bash -c "exec 3<>$M/a/exec; echo 'sleep 998' >&3
	    while read -r l <&3; do :; done; ! echo x >&3"
	python 'import os, select, sys
fd = os.open(sys.argv[1] + "/a/wait", os.O_RDONLY | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLIN)
p.poll()
os.read(fd, 10)'
	python 'import os, select, sys
fd = os.open(sys.argv[1] + "/b/log", os.O_RDONLY)
e = select.epoll()
e.register(fd, select.EPOLLIN | select.EPOLLET)
e.poll()
os.read(fd, 10)'
	# A writer: b does not stop before its job does.
	client bash -c "echo 'stop 100' >$M/b/ctl"
	waiters=("${pids[@]}")
}

# Those that work as long as they can.
working() {
	pids=()
	# A mapping may go on, or end by a signal; it may not hang.
	python 'import mmap, os, sys, time
m = mmap.mmap(os.open(sys.argv[1] + "/a/fs/root/big", os.O_RDONLY), 0,
              prot=mmap.PROT_READ)
while True:
    for i in range(0, len(m), 4096):
        m[i]
    time.sleep(.01)'
	python 'import mmap, os, sys, time
m = mmap.mmap(os.open(sys.argv[1] + "/a/fs/root/big", os.O_RDWR), 0)
while True:
    for i in range(0, len(m), 4096):
        m[i] = 7
    m.flush()'
	python 'import os, sys
while True:
    try:
        fd = os.open(sys.argv[1] + "/a/fs/root/out", os.O_CREAT | os.O_RDWR)
        os.pwrite(fd, b"x" * 2000000, 0)
        os.fsync(fd)
        os.close(fd)
    except OSError:
        pass'
	python 'import fcntl, os, sys, time
os.chdir(sys.argv[1] + "/a/fs/root")
f = open("lock", "w")
while True:
    try:
        fcntl.lockf(f, fcntl.LOCK_EX)
        fcntl.lockf(f, fcntl.LOCK_UN)
    except OSError:
        time.sleep(.01)'
	client bash -c "cd $M/a; while :; do find . -xdev; cat status; done"
	client bash -c "while :; do ls -l $M; echo x >$M/b/env; done"
	workers=("${pids[@]}")
}

none_left() {
	local p

	for p; do
		! kill -0 "$p" 2>/dev/null || return 1
	done
}

# all_end WHAT PID...: within 5 seconds; otherwise says where they hang.
all_end() {
	local i p

	for ((i = 0; i < 100 * SLOW; i++)); do
		none_left "${@:2}" && wait "${@:2}" 2>/dev/null
		none_left "${@:2}" && return
		sleep 0.05
	done
	for p in "${@:2}"; do
		[ ! -d "/proc/$p" ] || say "$p: $(title "$p"):" \
		    "$(grep ^State "/proc/$p/status")" \
		    "$(cat "/proc/$p/wchan")"
	done
	fail "$1: still there"
}

abort() {
	local minor

	minor=$(awk -v m="$M" '$5 == m { split($3, d, ":"); print d[2] }' \
	    /proc/self/mountinfo | tail -n 1)
	unshare -m sh -c "mount -t fusectl none /sys/fs/fuse/connections &&
	    echo 1 >/sys/fs/fuse/connections/$minor/abort"
}

# Each way to die. b's job keeps its stop waiting.
while read -r how; do
	mkdir "$M/b" || fail "$how: mkdir"
	echo 'trap "" TERM; while :; do sleep 1; done' >"$M/b/exec"
	waiting
	working
	sleep 0.7
	none_left "${waiters[0]}" && fail "$how: nobody waits"
	server=$(role 'sbxfs: server')
	eval "$how"
	all_end "$how: who waits" "${waiters[@]}"
	ended "$sbxfs_pid" 10 || fail "$how: the guard goes on"
	sbxfs_pid=
	gone "$server" || fail "$how: the server goes on"
	! mounted || fail "$how: still mounted"
	start_sbxfs
	# The old ones have open what is dead; those who began anew go on.
	has "$how: a new mount" "$(cat "$M/a/status")" $'\nstate running\n'
	kill "${workers[@]}" 2>/dev/null
	all_end "$how: who works" "${workers[@]}"
	echo 'kill KILL' >"$M/a/ctl"
	eq "$how: the job went on meanwhile" \
	    "$(cut -d' ' -f2 "$M/a/wait")" 137
	rmdir "$M/b" || fail "$how: rmdir"
done <<'X'
kill -KILL $server
umount -f "$M" 2>/dev/null
abort
kill -TERM $server
kill -TERM $sbxfs_pid
X

# The jobs of sessions went on as ordinary ones; they are killed here.
echo 'restart 0' >"$M/a/ctl" || fail restart
has "the shared file is whole" "$(stat -c %s "$M/a/fs/root/big")" 3000000

# Detached lazily it serves whoever has it open, and ends with them.
echo 'sleep 1; echo to the end' >"$M/a/exec"
exec 5<"$M/a/exec"
umount -l "$M"
eq "a reader of what was detached" "$(cat <&5)" "to the end"
exec 5<&-
ended "$sbxfs_pid" 10 || fail "sbxfs goes on without a mount and users"
eq "its exit" "$status" 0
sbxfs_pid=
start_sbxfs

# A guard that comes late takes nobody else's mount away.
guard=$sbxfs_pid
server=$(role 'sbxfs: server')
kill -STOP "$guard"
kill -KILL "$server"
dead() {
	[[ $(stat -f "$M" 2>&1) = *"not connected"* ]]
}
wait_for 10 dead
start_sbxfs
kill -CONT "$guard"
ended "$guard" 10 || fail "the old guard goes on"
has "the new mount stays" "$(cat "$M/a/status")" $'name a\n'

# What /sbx/new holds goes 10 seconds after its sbxfs is dead for good, and
# not before: a front that died has that time to come back.
exec 7<>"$M/new"
read -r held <&7
kill_sbxfs
died=$(date +%s)
exec 7>&-
start_sbxfs
[ -d "$M/$held" ] || fail "$held is gone at once"
is_gone() {
	[ ! -e "$M/$held" ]
}
wait_for 20 is_gone
took=$(($(date +%s) - died))
[ $took -ge 9 ] || fail "$held was gone after $took s"
exit 0
