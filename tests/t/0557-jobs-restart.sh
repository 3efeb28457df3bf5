#!/bin/bash
# Jobs with an input or a terminal go on through the death of the front and of
# sbxfs, and so do their writers.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# new NAME SCRIPT: the job's directory is in $NAME; jobs/new is closed.
new() {
	exec 9<>a/jobs/new
	printf '%s\n' "$2" >&9
	read -r n <&9 || fail "no number: $(tail -n1 errors)"
	declare -g "$1=a/jobs/$n"
}
kill_front() {
	old=$(role 'sbxd: front')
	kill -KILL "$old"
	wait_for 10 gone "$old"
}
back() {
	healthy && cat status >/dev/null 2>&1
}
holds() {
	grep -qF -- "$2" "$1/output" 2>/dev/null
}
state() {
	sed -n 's/^state //p' "$1/status"
}

new cats 'cat; echo end'
exec 4>"$cats/stdin"
new held 'cat; echo held'
exec 5<&9 # holds its input open
new gone 'cat; echo over'
exec 6<&9
new tty 'pty 20 60
stty size; while read -r x; do echo "<$x>"; stty size; done'
exec 9>&-
new bytes 'sleep 3; wc -c'
exec 7>"$bytes/stdin"
exec 9>&-
head -c 1000000 /dev/zero >&7 &
writer=$!
echo one >&4
wait_for 5 holds "$cats" one
wait_for 5 holds "$tty" '20 60'
echo 'winsize 30 70' >"$tty/ctl" || fail winsize

kill_front
# What is closed meanwhile ends the input all the same.
exec 6>&-
wait $writer && fail "a write that waited for a dead front succeeded"
wait_for 20 back
eq "ctl" "$(cat "$tty/ctl")" "winsize 30 70"
echo two >&4 || fail "a writer of before: $(tail -n1 errors)"
wait_for 5 holds "$cats" two
echo line >"$tty/stdin" || fail "the terminal: $(tail -n1 errors)"
wait_for 5 holds "$tty" '<line>'
wait_for 5 holds "$tty" '30 70'
eq "a hold" "$(state "$held")" running
exec 5<&-
for d in gone held; do
	eq "$d: ended" "$(cut -d' ' -f2 "${!d}/wait")" 0
done
eq "its output" "$(cat "$held/output")" held
exec 7>&-
eq "input that was cut" "$(cut -d' ' -f2 "$bytes/wait")" 0
got=$(cat "$bytes/output")
[ "$got" -ge 65536 ] && [ "$got" -le 1000000 ] || fail "$got bytes came"

# sbxfs dies: no end of file; its successor writes on.
cd /
exec 4>&-
cd "$M" || exit 1
new cats 'cat; echo end'
echo begin >"$cats/stdin" &
exec 4>"$cats/stdin"
wait_for 5 holds "$cats" begin
server=$(role 'sbxfs: server')
cd /
kill -KILL "$server"
ended "$sbxfs_pid" 10 || fail "the guard goes on"
sbxfs_pid=
start_sbxfs
exec 4>&- 9>&-
cd "$M" || exit 1
eq "no end of file" "$(state "$cats")" running
eq "nor for the terminal" "$(state "$tty")" running
echo again >"$cats/stdin" || fail "stdin after a new mount"
eq "its end" "$(cut -d' ' -f2 "$cats/wait")" 0
eq "all of it" "$(cat "$cats/output")" "begin
again
end"
echo 'winsize 40 90' >"$tty/ctl" || fail "winsize after a new mount"
echo more >"$tty/stdin"
wait_for 5 holds "$tty" '40 90'

# A job's status is there after all of it, and after the broker's death.
kill_broker
run_sbxd
wait_for 20 back
echo last >"$tty/stdin" || fail "the terminal after the broker's death"
wait_for 5 holds "$tty" '<last>'
echo kill HUP >"$tty/ctl" || fail kill
eq "hung up" "$(cut -d' ' -f2 "$tty/wait")" 129
eq "status" "$(sed -n 's/^exit //p' "$cats/status")" 0
grep -q '^memory_peak [1-9]' "$cats/status" || fail "no memory_peak"

# The mount ends while somebody waits for a job.
echo 'sleep 99' >a/exec
cat a/exec 2>"$W/said" &
reader=$!
cat a/wait 2>/dev/null &
sleep .3
cd /
stop_sbxfs
wait $reader && fail "a read of a mount that ended succeeded"
[ -s "$W/said" ] || fail "without an error"
eq "its exit" "$status" 0
exit 0
