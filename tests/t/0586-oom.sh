#!/bin/bash
# A memory limit that is hit is an event, once, with the job that hit it.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
echo 'create a memory=48M' >ctl || fail "create"

ooms() {
	grep -c ' a oom' events
}
hog='x = b"x" * (200 << 20)'
echo 'exit 3' >a/exec
cat a/wait >/dev/null
echo "python3 -c '$hog'; echo status \$?" >a/exec
cat a/wait >/dev/null
if grep -q '^oom_kill' /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null
then
	# one process dies, the sandbox lives
	has "the hog is killed" "$(cat a/exec)" 'status 137'
	echo "exec python3 -c '$hog'" >a/exec
	read -r job code _ <a/wait
	eq "its exit" "$code" 137
	wait_for 5 eval '[ "$(ooms)" -ge 1 ]'
	has "its event" "$(grep ' oom' events | tail -n1)" " a oom job=$job"
	n=$(ooms)
	echo 'exit 137' >a/exec
	cat a/wait >/dev/null
	sleep .3
	eq "no event without a kill" "$(ooms)" "$n"
	front=$(role 'sbxd: front')
	kill -KILL "$front"
	another() {
		[ "$(role 'sbxd: front')" != "$front" ] && healthy &&
		    grep -qs '^state running' a/status
	}
	wait_for 20 another
	echo 'exit 1' >a/exec
	cat a/wait >/dev/null
	sleep .3
	eq "nor after a restart" "$(ooms)" "$n"
	echo "exec python3 -c '$hog'" >a/exec
	cat a/wait >/dev/null
	wait_for 5 eval "[ \"\$(ooms)\" = $((n + 1)) ]"
else
	# version 2: the whole sandbox is killed
	wait_for 5 eval '[ "$(ooms)" -ge 1 ]'
	wait_for 5 grep -q '^state error' a/status
	has "why" "$(cat a/status)" 'out of memory'
	eq "its job" "$(sed -n 's/^signal //p' a/jobs/last/status)" KILL
	read -r _ code _ <a/wait
	eq "its exit" "$code" 137
	n=$(ooms)
	check "it starts again" sh -c 'echo start >a/ctl'
	echo 'echo again' >a/exec
	eq "and works" "$(cat a/exec)" again
	has "under its limit" "$(cat a/stats)" "memory_limit $((48 << 20))"
	echo 'exit 1' >a/exec
	cat a/wait >/dev/null
	sleep .3
	eq "no event without a kill" "$(ooms)" "$n"
fi
cd / || exit 1
exit 0
