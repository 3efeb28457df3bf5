#!/bin/bash
# kill -9 of the front, the broker, sbxfs: sandboxes, names, limits and
# running jobs are there afterwards; what died meanwhile is swept.
# limit 180
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs

echo 'create a memory=77M cpu=0.7 label.k=v env.E=1' >"$M/ctl" ||
    fail "create"
mkdir "$M/b" "$M/c" || fail mkdir
echo stop >"$M/c/ctl" || fail stop
echo 'echo begin; i=0; while [ ! -e stop ]; do sleep 0.1; done; echo end' \
    >"$M/a/exec"
: <"$M/a/exec"
grew() {
	[ "$(cat "$M/a/jobs/1/output")" = begin ]
}
wait_for 10 grew
expected() {
	cat "$M/a/ctl" "$M/a/env" "$M/b/ctl" "$M/c/ctl"
	sed -n '/^\(id\|name\|state\|owner\|running\)/p' "$M"/[abc]/status
}
want=$(expected)
has "the job runs" "$want" "running 1"

there() {
	[ "$(expected 2>/dev/null)" = "$want" ]
}
what_follows() {
	wait_for 20 there
	echo "echo 'after ${1/\'/}'" >"$M/b/exec"
	eq "a job after $1" "$(cat "$M/b/exec")" "after ${1/\'/}"
	eq "over HTTP after $1" "$(http POST /sandboxes/b/exec \
	    '{"command":"echo x"}' | json 'x["stdout"]')" x
	mkdir "$M/fresh" || fail "mkdir after $1"
	rmdir "$M/fresh" || fail "rmdir after $1"
	eq "the old job after $1" "$(cat "$M/a/jobs/1/output")" begin
}

for round in 1 2; do
	front=$(role "sbxd: front")
	[ -n "$front" ] || fail "no process is called sbxd: front"
	kill -KILL "$front"
	wait_for 20 gone "$front"
	wait_for 20 healthy
	what_follows "the front's death $round"
done

kill_broker
run_sbxd
what_follows "the broker's death"

# What dies meanwhile is seen: the agent of b, by its init's pid outside.
mkdir "$M/d" || fail mkdir
echo true >"$M/d/exec" # one that is still creating would be made anew
read -r _ <"$M/d/wait"
id=$(sed -n 's/^id //p' "$M/d/status")
kill_broker
agent=$(for p in $(our_processes); do
	! grep -qs "$id" "/proc/$p/cgroup" || echo "$p"
done | head -n 1)
[ -n "$agent" ] || fail "no process in the cgroup of $id"
kill -KILL "$agent"
wait_for 10 gone "$agent"
run_sbxd
dead() {
	case $(sed -n 's/^state //p' "$M/d/status" 2>/dev/null) in
	stopped | error) ;;
	*) return 1 ;;
	esac
}
wait_for 20 dead
echo start >"$M/d/ctl" || fail "start of what had died"
echo 'echo again' >"$M/d/exec"
eq "it runs again" "$(cat "$M/d/exec")" again
rmdir "$M/d" || fail rmdir
what_follows "a second death of the broker"

kill -USR1 "$sbxd_pid"
ended "$sbxd_pid" 20 || fail "SIGUSR1 did not end it"
eq "exit after SIGUSR1" "$status" 0
wait_for 10 no_daemon
run_sbxd
what_follows "an upgrade by SIGUSR1"

kill_sbxfs
start_sbxfs
what_follows "the death of sbxfs"

kill -KILL "$sbxfs_pid"
wait "$sbxfs_pid" 2>/dev/null
unmounted() {
	! mounted
}
wait_for 10 unmounted
start_sbxfs
what_follows "the death of its guard"

# The job's end arrives although three fronts have been there.
touch "$M/a/fs/root/stop"
eq "the job's end" "$(sed 's/ [0-9.]*$//' "$M/a/jobs/1/wait")" "1 0"
eq "all of it" "$(cat "$M/a/jobs/1/stdout")" "begin
end"

# SIGTERM stops them; the next start has them, stopped, with their disks.
echo kept >"$M/a/fs/root/kept"
stop_sbxd
run_sbxd
back() {
	[ "$(sed -n 's/^state //p' "$M/a/status" 2>/dev/null)" = stopped ]
}
wait_for 20 back
eq "disk" "$(cat "$M/a/fs/root/kept")" kept
echo start >"$M/a/ctl" || fail "start after SIGTERM"
echo 'cat kept; echo $E' >"$M/a/exec"
eq "it runs" "$(cat "$M/a/exec")" "kept
1"
exit 0
