#!/bin/bash
# After a restart of the host a sandbox whose disk was in memory says so, and
# a start makes it anew: its name, settings and environment are kept.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
printf 'create a label.k=v env.E=kept memory=64M\ncreate b\ncreate s\n' \
    >"$M/ctl" || fail "create"
echo data >"$M/a/fs/root/f"
echo 'echo before' >"$M/a/exec"
eq "before" "$(cat "$M/a/exec")" before
echo 'stop 0' >"$M/s/ctl" || fail "stop"
saved=$(cat "$M/a/ctl")

# The restart takes processes, groups, mounts and the run directory.
kill -KILL "$sbxd_pid" "$(role 'sbxfs: server')"
wait "$sbxd_pid" "$sbxfs_pid" 2>/dev/null
sbxd_pid=
sbxfs_pid=
for ((i = 0; i < 20; i++)); do
	pids=$(our_processes)
	[ -n "$pids" ] || break
	# shellcheck disable=SC2086 # pids
	kill -KILL $pids 2>/dev/null
	sleep .1
done
umount -l "$M" 2>/dev/null
for d in $(our_cgroups); do
	case $d in
	*/"$CG"/*) rmdir "$d" ;;
	esac
done
umount -l "$RUN/mnt/ns" && umount -l "$RUN/mnt" || fail "umount"
rm -r "$RUN"
run_sbxd
start_sbxfs

for name in a b s; do
	has "$name: its state" "$(cat "$M/$name/status")" $'\nstate error\n'
	has "$name: why" "$(cat "$M/$name/status")" \
	    "reason its disk was in memory and went with the host's restart"
done
eq "exec says so" "$(bash -c 'echo true >"$0"/a/exec' "$M" 2>&1 |
    grep -c 'Host is down')" 1
check "start" sh -c "echo start >'$M/a/ctl'"
has "it runs" "$(cat "$M/a/status")" $'\nstate running\n'
eq "its settings" "$(cat "$M/a/ctl")" "$saved"
[ ! -e "$M/a/fs/root/f" ] || fail "where does that come from?"
echo 'echo $E $(hostname)' >"$M/a/exec"
eq "its environment" "$(cat "$M/a/exec")" 'kept a'
has "no reason any more" "$(cat "$M/a/status")" $'\nreason -'
check "stop and start" sh -c "printf 'stop 0\nstart\n' >'$M/a/ctl'"
# one that is made anew is as any: it is adopted by another front
front=$(role 'sbxd: front')
kill -KILL "$front"
another() {
	[ "$(role 'sbxd: front')" != "$front" ] && healthy &&
	    grep -qs '^state running' "$M/a/status"
}
wait_for 20 another
has "b, still" "$(cat "$M/b/status")" $'\nstate error\n'
http POST /sandboxes/s/start >/dev/null
eq "by HTTP" "$(code)" 200
rmdir "$M/b" || fail "destroy one that was lost"
rmdir "$M/a" "$M/s" || fail "rmdir"
exit 0
