#!/bin/bash
# The front goes and comes back under the mount; the server dies and its
# guard cleans up; a mount that is dead is taken away.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"
echo file >a/fs/root/f

front() {
	role 'sbxd: front'
}

back() {
	[ -n "$(front)" ] && [ "$(front)" != "$old" ] && healthy &&
	    cat status >/dev/null 2>&1
}

# Looking for a process takes long on a busy machine: before the jobs.
old=$(front)
echo 'echo begun; sleep 4; echo survived' >a/exec
exec 5<a/exec
exec 6<>a/exec 7<>new
read -r held <&7
read -r line <&5
eq "before" "$line" begun
cat <&5 >"$W/parked" 2>&1 &
parked=$!
sleep 0.3
kill -KILL "$old"
wait $parked
eq "a parked read" $? 1
has "says" "$(cat "$W/parked")" "Input/output error"
! local_only "fs/ without the daemon" ||
    eq "fs/ goes on" "$(cat a/fs/root/f)" file
wait_for 20 back
[ -d a ] && [ -d "$held" ] || fail "names were lost: $(echo *)"
eq "the conversation goes on" "$(cat <&5)" survived
echo 'echo a session' >&6
eq "a session" "$(cat <&6)" "a session"
sleep 1
[ -d "$held" ] || fail "what /sbx/new holds did not survive"
exec 7>&-
wait_for 15 eval '[ ! -d "$held" ]'
exec 5<&- 6>&-

# While there is none, nobody is told that a script was taken.
exec 5>a/exec
broker=$(role 'sbxd: broker') old=$(front)
kill -STOP "$broker"
kill -KILL "$old"
wait_for 5 eval '! cat status >/dev/null 2>&1'
has "a script" "$( (echo 'echo lost' >&5) 2>&1)" "Input/output error"
kill -CONT "$broker"
exec 5>&-
wait_for 20 back

# The server is killed: readers fail at once, the mount goes, sandboxes stay.
server=$(role 'sbxfs: server')
echo 'sleep 3; echo still' >a/exec
cat a/exec >/dev/null 2>"$W/parked" &
parked=$!
sleep 0.3
kill -KILL "$server"
wait $parked && fail "a read on a dead mount succeeded"
cd /
ended "$sbxfs_pid" 10 || fail "the guard goes on"
sbxfs_pid=
mounted && fail "the dead mount is still there"
start_sbxfs
cd "$M" || exit 1
eq "after a new mount" "$(cat a/exec)" still

# Mounted twice is refused; the first goes on.
out=$("$B/sbxfs" "$(door)" "$M" 2>&1) && fail "mounted twice"
has "says" "$out" "mounted there already"
eq "and" "$(cat a/exec)" still
cd /

# Somebody unmounts it: it ends.
umount -l "$M"
if ended "$sbxfs_pid" 10; then
	eq "its exit" "$status" 0
elif grep -qs " $M " /proc/[0-9]*/mountinfo; then
	say "not shown: somebody copied the mount to a namespace of their own"
	kill "$sbxfs_pid"
	ended "$sbxfs_pid" 10 || fail "sbxfs does not end"
else
	fail "sbxfs goes on without its mount"
fi
sbxfs_pid=

# In the background it says when it is up.
mkdir "$W/m2"
check "in the background" "$B/sbxfs" "$(door)" "$W/m2"
eq "at once" "$(cat "$W/m2/a/exec")" still
umount "$W/m2"

# Guard and server die together: the next one takes the dead mount away.
start_sbxfs
kill -STOP "$sbxfs_pid"
kill -KILL "$(role 'sbxfs: server')"
kill -KILL "$sbxfs_pid"
wait "$sbxfs_pid" 2>/dev/null
wait_for 10 eval '[[ $(stat -f "$M" 2>&1) = *"not connected"* ]]'
start_sbxfs
eq "it lives" "$(cat "$M/a/exec")" still
# Ended by a signal it unmounts, though somebody is in there.
cd "$M/a" || exit 1
stop_sbxfs
cd /
mounted && fail "mounted after SIGTERM"

# What it refuses to start with.
has "no directory" "$("$B/sbxfs" "$W/nope" 2>&1)" "No such file or directory"
has "an option" "$("$B/sbxfs" -o frob "$M" 2>&1)" "-o frob: unknown option"
has "usage" "$("$B/sbxfs" 2>&1)" usage
eq "which is no success" "$("$B/sbxfs" >/dev/null 2>&1; echo $?)" 2
for p in sbxd sbxfs; do
	has "$p -h" "$("$B/$p" -h)" "usage: $p "
	eq "$p -V" "$("$B/$p" -V)" "$p $(sed -n 's/^VERSION = //p' "$TOP/Makefile")"
done
exit 0
