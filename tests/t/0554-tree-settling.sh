#!/bin/bash
# ctl while a sandbox is being made: a line waits until it is up, is
# interrupted at once, gives up in time, and hears of a failure; what needs
# no running sandbox does not wait.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_tool perl
start_held 4s
hold
mkdir a || fail "mkdir"
has "its state" "$(cat a/status)" $'state creating\n'

# At once.
check "a label" timeout 2 sh -c 'echo "label k=v" >a/ctl'
check "protect" timeout 2 sh -c 'printf "protect on\nprotect off\n" >a/ctl'
check "timeout, ttl, idle" timeout 2 sh -c \
    'printf "timeout 9\nttl none\nidle 0\n" >a/ctl'
check "env" timeout 2 sh -c 'echo A=1 >a/env'
check "its stats" timeout 2 cat a/stats >/dev/null
check "its ports" timeout 2 cat a/ports

# Whose child ends meanwhile waits on for its files.
perl -e '$SIG{CHLD} = sub { $n++ };
	if (!fork) { select undef, undef, undef, .3; exit; }
	open my $f, ">", "a/fs/root/waited" or die "$!\n";
	print $f "$n\n";' 2>"$W/waited" &
waiter=$!

# Interrupted: at once, and nothing was done.
python3 - <<'P' || fail "an interrupted line"
import os, signal, sys, time
class Alarm(Exception):
    pass
def alarm(*_):
    raise Alarm
signal.signal(signal.SIGALRM, alarm)
for line in b'pause', b'stop 0', b'memory 100M', b'kill', b'restart', b'start':
    f = os.open('a/ctl', os.O_WRONLY)
    signal.setitimer(signal.ITIMER_REAL, .2)
    t = time.monotonic()
    try:
        os.write(f, line)
        sys.exit('%s did not wait' % line)
    except Alarm:
        pass
    took = time.monotonic() - t
    if took > 2:
        sys.exit('%s took %.2f s to be interrupted' % (line, took))
    os.close(f)
P
has "it is as it was" "$(cat a/status a/ctl)" $'state creating\n'
[[ $(cat a/ctl) != *104857600* ]] || fail "an interrupted line was done"

# It does not wait for ever.
refused a/ctl 'pause' 'Connection timed out' 'within 4 s'

# It is done when it can be. (The agent of one that is paused answers nobody.)
lines=('memory 100M' 'pids 77')
is_remote || lines+=(pause)
for line in "${lines[@]}"; do
	echo "$line" >a/ctl &
	waiting="${waiting:-} $!"
done
sleep .3
go
for pid in $waiting; do
	wait "$pid" || fail "a line that waited: $(tail -n3 errors)"
done
wait "$waiter" || fail "its fs/: $(cat "$W/waited")"
eq "it was written" "$(cat a/fs/root/waited)" 1
! is_remote || echo pause >a/ctl || fail "pause"
has "all was done" "$(cat a/ctl)" $'memory 104857600\n'
has "all was done" "$(cat a/ctl)" $'pids 77\n'
has "all was done" "$(cat a/status)" $'state paused\n'
echo resume >a/ctl || fail "resume"
eq "the limit holds" "$(sed -n 's/^pids_limit //p' a/stats)" 77
eq "and it works" "$(echo 'echo $A' >a/exec; cat a/exec)" 1

# Destroying waits for nobody, and who waits hears of it.
hold
mkdir b || fail "mkdir b"
(echo pause >b/ctl) 2>"$W/told" &
sleep .3
check "destroy" timeout 2 sh -c 'echo "destroy b" >ctl'
wait $! && fail "a line was done in a sandbox that is gone"
go
has "what it was told" "$(cat "$W/told")" 'Stale file handle'

# With jobs that wait to run, and with who waits for it over HTTP.
hold
mkdir c || fail "mkdir c"
echo true >c/exec
id=$(sed -n 's/^id //p' c/status)
(http POST /sandboxes '{"name":"d"}' >"$W/created"; code >"$W/status") &
wait_for 5 test -e d/ctl
printf 'destroy c\ndestroy d\n' >ctl || fail "destroy"
wait $!
go
eq "whoever made it" "$(cat "$W/status")" 409
has "is told" "$(cat "$W/created")" "the sandbox was destroyed"
reclaimed() {
	[ ! -e "$DATA/sandboxes/$id" ]
}
wait_for 5 reclaimed
eq "nothing is said of their jobs" "$(grep -c "spool" "$W/sbxd.log")" 0

# A stop that is under way is waited for as well.
echo 'trap "" TERM; touch ready; sleep 20' >a/exec
wait_for 5 test -e a/fs/root/ready
echo 'stop 3' >a/ctl &
wait_for 5 grep -q '^state stopping' a/status
check "a start behind it" sh -c 'echo start >a/ctl'
wait $! || fail "stop"
has "it runs" "$(cat a/status)" $'state running\n'

# Who changes limits hears of it, though it was paused meanwhile.
hold
asked() {
	curl -sf --max-time $((5 * SLOW)) --unix-socket "$SOCK" -o "$W/answer" \
	    -X "$1" "http://x/sandboxes/a$2" "${@:3}"
}
asked PATCH '' -d '{"memory":"90m"}' &
limits=$!
wait_for 5 grep -q '^memory 94371840' a/ctl
asked POST /pause &
wait_for 5 grep -q '^state paused' a/status
go
wait $limits || fail "PATCH: $?"
wait $! || fail "pause: $?"
echo resume >a/ctl || fail resume

# A job that has not begun by a stop gets no grace: nothing would come of it.
echo 'stop 0' >a/ctl || fail stop
hold
asked POST /start &
wait_for 5 grep -q '^state starting' a/status
echo 'echo late' >a/exec
wait_for 5 grep -q 'state queued' a/jobs/last/status
echo stop >a/ctl &
sleep .3
began=$SECONDS
go
wait $! || fail "stop"
[ $((SECONDS - began)) -lt $((5 * SLOW)) ] || fail "it waited for a queued job"
eq "that one" "$(cut -d' ' -f2 a/jobs/last/wait)" 126
cd / || exit 1
exit 0
