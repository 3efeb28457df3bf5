#!/bin/bash
# sbxfs before its daemon, without it for long, beside a second mount of it,
# and under a daemon that stands still.
# limit 120
# shellcheck disable=SC2012 # names are ours
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_fuse
first=$M

# Nobody answers: it is up all the same, and says so.
write_config
run_sbxfs
wait_for 10 mounted
eq "without a daemon" "$(ls "$M" | tr '\n' ' ')" \
    "ctl errors events new pool profiles status "
has "a file of it" "$(cat "$M/status" 2>&1)" "Input/output error"
has "mkdir" "$(mkdir "$M/x" 2>&1)" "Input/output error"
has "a line" "$( (echo 'create x' >"$M/ctl") 2>&1)" "Input/output error"
has "new" "$( (exec 3<>"$M/new"; read -r n <&3) 2>&1)" "Input/output error"
wait_for 10 grep -q "nobody answers yet" "$W/sbxfs.log"
run_sbxd
serves() {
	grep -qs '^version 1$' "$M/status"
}
wait_for 5 serves
mkdir "$M/a" || fail "mkdir once there is a daemon"
echo 'echo early' >"$M/a/exec"
eq "exec" "$(cat "$M/a/exec")" early
# The daemon came later, and keeps nothing of this mount alive.
umount "$M" || fail umount
ended "$sbxfs_pid" 10 || fail "sbxfs goes on after its unmount"
sbxfs_pid=
start_sbxfs

# A second mount of the same daemon, with other options, in the background.
second=$W/second
mkdir "$second"
check "a second mount" "$B/sbxfs" "$(door)" -o fsname=other "$second"
eq "its name" "$(findmnt -no SOURCE "$second")" other
eq "both show" "$(ls "$first")" "$(ls "$second")"
mkdir "$second/b" || fail "mkdir in the second"
has "the first has it" "$(cat "$first/b/status")" $'name b\n'
mv "$first/b" "$first/c"
has "renamed in the first" "$(cat "$second/c/status")" $'name c\n'
[ ! -e "$second/b" ] || fail "the second has the old name"
echo 'sleep .3; echo across' >"$first/c/exec"
# Its close is told to the daemon in its own time, the second does not wait.
wait_for 5 [ -e "$second/c/jobs/last" ]
eq "a job of the other mount" "$(cat "$second/c/exec")" across
echo data >"$first/c/fs/root/f"
eq "a file of the other mount" "$(cat "$second/c/fs/root/f")" data
check "poll in one of what the other does" python3 - "$first" "$second" <<'P'
import os, select, sys
fd = os.open(sys.argv[1] + '/events', os.O_RDONLY)
while os.read(fd, 1 << 20):
    pass
p = select.poll()
p.register(fd, select.POLLIN)
os.mkdir(sys.argv[2] + '/d')
assert p.poll(10000)
assert b' d created' in os.read(fd, 1 << 20)
P
rmdir "$first/d"
[ ! -e "$second/d" ] || fail "the second has what the first destroyed"
exec 7<>"$second/new"
read -r held <&7
[ -d "$first/$held" ] || fail "$held is not in the first"
# The death of one is none of the other's.
kill_sbxfs
eq "the other goes on" "$(echo 'echo on' >"$second/c/exec"
    cat "$second/c/exec")" on
[ -d "$second/$held" ] || fail "$held went with another mount"
start_sbxfs
exec 7<&-
released() {
	[ ! -e "$first/$held" ]
}
wait_for 5 released
umount "$second" || fail "umount of the second"

# The daemon is away for long: an fs/ that was in use is there, and all of it
# after that.
eq "fs/" "$(cat "$M/c/fs/root/f")" data
echo 'sleep 1; echo meanwhile' >"$M/c/exec"
exec 5<"$M/c/exec"
stop_sbxd USR1
began=$SECONDS
for _ in 1 2 3; do
	is_remote || eq "fs/ without a daemon" "$(cat "$M/c/fs/root/f")" data
	has "status without it" "$(cat "$M/c/status" 2>&1)" \
	    "Input/output error"
	has "ls without it" "$(ls "$M")" c
	sleep 1
done
[ $((SECONDS - began)) -lt $((10 * SLOW)) ] || fail "what fails took long"
run_sbxd
wait_for 5 serves
eq "the job went on" "$(cat <&5)" meanwhile
exec 5<&-

# It stands still: who asks waits, and can leave; others go on.
front=$(role 'sbxd: front')
kill -STOP "$front"
began=$SECONDS
timeout 0.5 cat "$M/c/status"
eq "status of a daemon that stands still" $? 124
timeout -s KILL 0.5 mkdir "$M/e"
eq "mkdir there" $? 137
is_remote || eq "fs/ there" "$(cat "$M/c/fs/root/f")" data
has "ls there" "$(ls "$M")" c
[ $((SECONDS - began)) -lt $((5 * SLOW)) ] || fail "they hang"
kill -CONT "$front"
wait_for 10 serves
[ ! -d "$M/e" ] || rmdir "$M/e" # killed: it may have been done
eq "goes on" "$(echo 'echo again' >"$M/c/exec"; cat "$M/c/exec")" again

# Its end by SIGTERM ends what waits.
echo 'exec sleep 100' >"$M/c/exec"
cat "$M/c/exec" >/dev/null 2>&1 &
waits=$!
sleep 0.2
stop_sbxd
ended $waits 5 || fail "a reader of a daemon that ended hangs"
run_sbxd
exit 0
