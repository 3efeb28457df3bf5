#!/bin/bash
# Who runs with what: a front without any privilege, a broker that opens no
# listener, an agent as process 1 in namespaces and ids of its own; SIGTERM
# ends everything, in good time.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
need_tool ss
start_sbxd
start_sbxfs
mkdir "$M/web" || fail mkdir
echo 'exec sleep 1000' >"$M/web/exec"
: <"$M/web/exec"

value() {
	sed -n "s/^$2:[ \t]*//p" "/proc/$1/status"
}

front=$(role "sbxd: front")
[ -n "$front" ] || fail "no front"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	eq "front's $set" "$(value "$front" $set)" 0000000000000000
done
eq "front's NoNewPrivs" "$(value "$front" NoNewPrivs)" 1
eq "front's Seccomp" "$(value "$front" Seccomp)" 2
eq "front's user" "$(value "$front" Uid | tr '\t' ' ')" \
    "$(id -u nobody) $(id -u nobody) $(id -u nobody) $(id -u nobody)"
eq "broker's user" "$(value "$sbxd_pid" Uid | cut -f1)" 0
listening=$(ss -xlpH | grep -F "$RUN/")
has "the front listens" "$listening" "pid=$front,"
case $(grep -v /agents/ <<<"$listening") in
*"pid=$sbxd_pid,"*) fail "the broker listens: $listening" ;;
esac
eq "broker forked first" "$(value "$front" PPid)" "$sbxd_pid"
server=$(role "sbxfs: server")
eq "sbxfs NoNewPrivs" "$(value "$server" NoNewPrivs)" 1
[ -n "${SBX_SAN:-}" ] || eq "sbxfs Seccomp" "$(value "$server" Seccomp)" 2
# CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, SYS_ADMIN (privs.h says why)
eq "sbxfs CapEff" "$(value "$server" CapEff)" 00000000002000cb

# The job, seen from here: its root is nobody here, and it is in nothing of
# ours. Its parent is the agent, process 1 there.
job=$(for p in $(our_processes); do
	[ "$(title "$p")" != "sleep 1000" ] || echo "$p"
done)
[ -n "$job" ] || fail "the job is not seen"
agent=$(value "$job" PPid)
eq "process 1" "$(value "$agent" NSpid | awk '{ print $NF }')" 1
for p in $job $agent; do
	for ns in user mnt pid net ipc uts cgroup; do
		[ "$(readlink "/proc/$p/ns/$ns")" != \
		    "$(readlink "/proc/self/ns/$ns")" ] ||
		    fail "namespace $ns of $p is ours"
	done
	uid=$(value "$p" Uid | cut -f1)
	[ "$uid" -ge "$ID_FIRST" ] || fail "uid $uid of $p"
	eq "ids of $p" "$(awk '{ print $1, $3 }' "/proc/$p/uid_map")" "0 65536"
	eq "NoNewPrivs of $p" "$(value "$p" NoNewPrivs)" 1
done
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	eq "the job's $set" "$(value "$job" $set)" 0000000000000000
done
eq "the job's Seccomp" "$(value "$job" Seccomp)" 2
# They are killed before anything of the host's; a worker, whose memory they
# shared at their start, is not.
score() {
	cat "/proc/$1/oom_score_adj"
}
worker=$(role "sbxd: worker")
eq "score of the worker" "$(score "$worker")" "$(score $$)"
for p in $job $agent; do
	eq "score of $p" "$(score "$p")" 500
done

# What it sees of this machine: not what lies in these directories.
canary=sbx-canary-$$
for d in /home /root /etc /var /run /tmp; do
	echo secret >$d/$canary
done
echo 'ls -d /*/'$canary' /*/*/'$canary' 2>/dev/null; echo $$ >&2
    cat /proc/1/environ; readlink /proc/1/exe; ls /proc/1/fd
    tail -n +3 /proc/net/dev | cut -d: -f1; grep -c /tmp/sbx. /proc/mounts
    hostname' >"$M/web/exec"
out=$(cat "$M/web/exec")
for d in /home /root /etc /var /run /tmp; do
	rm -f $d/$canary
done
for word in $canary secret "$W" "$(hostname)"; do
	case $out in
	*"$word"*) fail "it sees $word: $out" ;;
	esac
done
has "loopback alone" "$out" "    lo
0
web"

stop_sbxfs
before=$(date +%s)
stop_sbxd
[ $(($(date +%s) - before)) -lt $((15 * SLOW)) ] || fail "SIGTERM took long"
eq "nothing runs" "$(our_processes)" ""
eq "no socket" "$(find "$RUN" -maxdepth 1 -name '*.sock')" ""

# A front gone wrong has given root's file that name: it stays root's.
echo theirs >"$W/theirs"
ln -f "$W/theirs" "$RUN/front.lock"
timeout 20 "$B/sbxd" -f -c "$W/sbxd.toml" >"$W/refused" 2>&1 &&
    fail "front.lock may be any file"
has "why" "$(cat "$W/refused")" "front.lock: not a file of ours"
eq "whose it is" "$(stat -c %u "$W/theirs")" 0
rm "$RUN/front.lock"
run_sbxd
exit 0
