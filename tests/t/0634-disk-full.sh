#!/bin/bash
# The data directory is full: what cannot be written has not happened and says
# so; destroying makes room; all goes on when there is some.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
mkdir -p "$DATA"
mount -t tmpfs -o size=6M,mode=755 small "$DATA" || skip "needs a tmpfs"
start_sbxd
start_sbxfs
cd "$M" || fail "$M"
state() {
	sed -n 's/^state //p' "$1/status"
}
for name in a b c; do
	echo "create $name" >ctl || fail "create $name"
done
echo 'seq 100000' >a/exec
cat a/exec >/dev/null
echo stop >c/ctl
fill() {
	# to the last page, however it was left
	head -c 10M /dev/zero >"$DATA/fill" 2>/dev/null
	for i in 1 2 3 4 5 6 7 8 9; do
		echo >"$DATA/fill$i"
	done 2>/dev/null
}
full() {
	fill
	! (echo 'label a=b' >b/ctl) 2>/dev/null
}
wait_for 5 full
full_again() {
	fill
	http PATCH /sandboxes/b '{"labels":{"a":"b"}}' >/dev/null
	[ "$(code)" = 507 ]
}

settings() {
	http GET /sandboxes/b |
	    json '[x[k] for k in ("owner", "ttl", "idle", "timeout")]'
	stat -c '%u %g %a' b b/exec
	cat b/ctl
}

refused ctl 'create x' 'No space left on device' ''
[ ! -e x ] || fail "x is there"
refused b/ctl stop 'No space left on device' ''
eq "not stopped" "$(state b)" running
refused c/ctl start 'No space left on device' ''
eq "not started" "$(state c)" stopped
was=$(settings)
chown 1 b 2>/dev/null && fail "chown on a full disk"
chmod 755 b 2>/dev/null && fail "chmod on a full disk"
chmod 666 b/exec 2>/dev/null && fail "chmod of a file on a full disk"
http PATCH /sandboxes/b '{"ttl":77,"idle":78,"timeout":79,"protect":true}' \
    >/dev/null
eq "no settings over HTTP" "$(code)" 507
refused b/ctl 'protect on' 'No space left on device' ''
eq "all settings are what they were" "$(settings)" "$was"
http POST /sandboxes/b/stop >/dev/null
eq "not over HTTP" "$(code)" 507
http POST /sandboxes/b/exec '{"command":"echo x; exit 3"}' >"$W/out"
eq "a job runs" "$(json 'x["exit_code"]' <"$W/out")" 3
exec 3<>b/exec
echo 'echo session' >&3
eq "a session's output" "$(cat <&3)" session
exec 3>&-
# What cannot be kept is no empty output: who comes later is told so.
echo 'echo small' >b/exec
read -r job code secs <b/wait
eq "its end" "$code" 0
out=$(cat b/exec 2>&1) && fail "its output on a full disk: $out"
has "no place for it" "$out" 'No space left on device'
echo 'sleep 0.3; echo late' >b/exec
read -r job code secs <b/wait
out=$(cat b/exec 2>&1) && fail "late output on a full disk: $out"
has "no place for it either" "$out" 'No space left on device'

# It is gone at once, and so is its row when there is room.
rmdir a || fail "it cannot be destroyed"
[ ! -e a ] || fail "a is there"
rm "$DATA"/fill*
has_room() {
	(echo 'label a=b' >b/ctl) 2>/dev/null
}
wait_for 5 has_room
echo stop >b/ctl || fail stop
eq "stopped" "$(state b)" stopped
printf 'start\n' | tee b/ctl >c/ctl || fail start
eq "both run" "$(state b) $(state c)" "running running"
echo 'create x' >ctl || fail "create x"
sleep 1.2
cd / || fail /
stop_sbxfs
kill_broker
run_sbxd
start_sbxfs
eq "after a restart" "$(cd "$M" && echo ?)" "b c x"
# SIGTERM ends what runs, whether that can be written or not.
wait_for 5 full_again
stop_sbxfs
began=$SECONDS
stop_sbxd
[ $((SECONDS - began)) -lt $((8 * SLOW)) ] || fail "SIGTERM took its time"
eq "still there" "$(role sbx-agent)" ""
rm "$DATA"/fill*
run_sbxd
destroy_all
stop_sbxd
umount "$DATA" || fail "it is in use"
