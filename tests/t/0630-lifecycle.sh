#!/bin/bash
# Start and stop keep the disk, the name, the settings; destroy is legal in
# every state; what waits is told.
# limit 120
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs

state() {
	sed -n 's/^state //p' "$M/$1/status"
}

mkdir "$M/s" || fail "mkdir"
printf 'memory 100M\ncpu 0.5\npids 50\n' >"$M/s/ctl" || fail "settings"
echo 'V=1' >"$M/s/env"
settings=$(cat "$M/s/ctl")
echo 'echo kept >f; mkdir d; ln -s f l; chmod 600 f; echo x >/tmp/t
    cat /etc/hostname' >"$M/s/exec"
cat "$M/s/exec" >/dev/null
eq "job" "$(cut -d' ' -f2 "$M/s/wait")" 0
for round in 1 2 3; do
	echo stop >"$M/s/ctl" || fail "stop"
	eq "state" "$(state s)" stopped
	eq "fs while stopped" "$(cat "$M/s/fs/root/f")" kept
	(echo true >"$M/s/exec") 2>"$W/err" && fail "exec of a stopped one"
	has "exec of a stopped one" "$(cat "$W/err")" "Host is down"
	http POST /sandboxes/s/exec '{"command":"true"}' >"$W/out"
	eq "over HTTP" "$(code) $(cat "$W/out")" \
	    '409 {"error":"sandbox is not running"}'
	echo "$round" >"$M/s/fs/root/round" || fail "write while stopped"
	echo start >"$M/s/ctl" || fail "start"
	eq "state" "$(state s)" running
	echo 'cat f round l; stat -c %a f; echo $V; ls /tmp; hostname' \
	    >"$M/s/exec"
	eq "disk kept" "$(cat "$M/s/exec")" "kept
$round
kept
600
1
s"
	eq "settings kept" "$(cat "$M/s/ctl")" "$settings"
done
echo 'echo old; exec sleep 1000' >"$M/s/exec"
: <"$M/s/exec"
echo restart >"$M/s/ctl" || fail "restart"
eq "running job ended" "$(cut -d' ' -f2 "$M/s/wait")" 143
# One that is paused goes on for that, or nobody in it could end.
echo 'trap "echo bye; exit 5" TERM; echo ready; while :; do sleep .1; done' \
    >"$M/s/exec"
wait_for 5 grep -q ready "$M/s/jobs/last/output"
printf 'pause\nstop 8\n' >"$M/s/ctl" || fail "stop of a paused one"
read -r _ exit seconds <"$M/s/wait"
eq "its job" "$exit $(tail -n1 "$M/s/jobs/last/output")" "5 bye"
[ "${seconds%.*}" -lt $((6 * SLOW)) ] || fail "it took $seconds s"
rmdir "$M/s" || fail "rmdir"

# Destroy in every state, through both doors.
destroy() {
	if [ "$2" = file ]; then
		rmdir "$M/$1" || fail "rmdir of one $3"
		[ ! -e "$M/$1" ] || fail "$1 is still there"
	else
		http DELETE "/sandboxes/$1" >/dev/null
		case $(code) in
		20[04]) ;;
		*) fail "DELETE of one $3: $(code)" ;;
		esac
	fi
	http GET "/sandboxes/$1" >/dev/null
	eq "after destroy of one $3" "$(code)" 404
}
# up NAME: a new one, running.
up() {
	mkdir "$M/$1" || fail "mkdir $1"
	running() {
		[ "$(state x)" = running ]
	}
	wait_for 20 running
}
for door in file http; do
	mkdir "$M/x" "$M/x2" "$M/x3"
	destroy x $door "just created"
	destroy x2 $door "just created"
	destroy x3 $door "just created"
	up x
	echo 'sleep 1000' >"$M/x/exec"
	destroy x $door "running with a job"
	up x
	echo stop >"$M/x/ctl" || fail stop
	destroy x $door stopped
	up x
	echo 'trap "" TERM; sleep 1000' >"$M/x/exec"
	: <"$M/x/exec"
	(echo 'stop 5' >"$M/x/ctl") 2>/dev/null &
	waits=$!
	sleep 0.2
	destroy x $door stopping
	wait $waits
	up x
	echo pause >"$M/x/ctl" || fail pause
	eq "state" "$(state x)" paused
	destroy x $door paused
	up x
	echo stop >"$M/x/ctl"
	(echo start >"$M/x/ctl") 2>/dev/null &
	waits=$!
	destroy x $door starting
	wait $waits
done

# The dead agent of a running one: it is seen, and start brings it back.
mkdir "$M/y"
echo 'echo here >f' >"$M/y/exec"
cat "$M/y/exec" "$M/y/wait" >/dev/null
echo 'kill -9 -1; kill -9 1' >"$M/y/exec"
cat "$M/y/exec" >/dev/null
eq "pid 1 lives" "$(state y)" running
echo 'echo still' >"$M/y/exec"
eq "and works" "$(cat "$M/y/exec")" still
exit 0
