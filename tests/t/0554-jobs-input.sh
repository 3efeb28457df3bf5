#!/bin/bash
# jobs/new and jobs/N/stdin: what is written arrives, and ends when it should;
# ctl; what a job without input, or with an ended one, answers.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# new SCRIPT: starts it, its number is in $n; descriptor 4 is jobs/new.
new() {
	exec 4<>a/jobs/new
	printf '%s\n' "$1" >&4
	read -r n <&4 || fail "no number: $(tail -n1 errors)"
}
over() {
	[ "$(sed -n 's/^state //p' "a/jobs/$1/status")" = ended ]
}
seconds() {
	awk '{ print int($3 + 0.5) }'
}

# The last writer's close is the end; the open jobs/new is none.
new 'cat; echo end'
eq "cmd" "$(cat "a/jobs/$n/cmd")" 'cat; echo end'
echo one >"a/jobs/$n/stdin"
exec 4>&-
eq "one writer" "$(cut -d" " -f1,2 "a/jobs/$n/wait"; cat "a/jobs/$n/output")" \
    "$n 0
one
end"
new cat
exec 5>"a/jobs/$n/stdin"
exec 4>&- # a writer has opened
echo two >"a/jobs/$n/stdin"
over "$n" && fail "the first of two closes ended the input"
echo three >&5
exec 5>&-
cat "a/jobs/$n/wait" >/dev/null
eq "two writers" "$(cat "a/jobs/$n/stdout")" "two
three"

# Nobody has opened it: jobs/new ends it.
new cat
over "$n" && fail "it ended before jobs/new was closed"
exec 4>&-
eq "no writer" "$(cut -d' ' -f2 "a/jobs/$n/wait")" 0

# Jobs of exec have /dev/null, and an input that has ended takes no more.
echo 'cat; sleep 99' >a/exec
: <a/exec
n=$(readlink a/jobs/last)
has "stdin of exec's" "$( (echo x >"a/jobs/$n/stdin") 2>&1)" "Broken pipe"
has "says" "$(tail -n1 errors)" "the input of job $n is /dev/null"
has "eof" "$( (echo eof >"a/jobs/$n/ctl") 2>&1)" "Broken pipe"
echo 'kill KILL' >"a/jobs/$n/ctl" || fail "kill"
eq "killed" "$(cut -d' ' -f2 "a/jobs/$n/wait")" 137
eq "signal" "$(sed -n 's/^signal //p' "a/jobs/$n/status")" KILL
has "kill of an ended job" "$( (echo kill >"a/jobs/$n/ctl") 2>&1)" \
    "No such process"
has "stdin of an ended job" "$( (echo x >"a/jobs/$n/stdin") 2>&1)" \
    "Broken pipe"
has "says" "$(tail -n1 errors)" "job $n has ended"
new 'read x; exec <&-; echo "got $x"; sleep 99'
exec 5>"a/jobs/$n/stdin"
echo line >&5
said() {
	[ "$(cat "a/jobs/$n/stdout")" = "$1" ]
}
wait_for 5 said "got line"
has "nobody reads" "$( (echo more >&5) 2>&1)" "Broken pipe"
exec 5>&- 4>&-

late=$n

# ctl: kill [SIG], eof; each bad line says why.
for bad in 'winsize 1 2:has no terminal' 'winsize 0 2:usage: winsize' \
    'kill NOPE:no signal NOPE' 'frob:known are kill eof winsize'; do
	refused "a/jobs/$n/ctl" "${bad%%:*}" "Invalid argument" "${bad#*:}"
done
eq "ctl of one without a terminal" "$(cat "a/jobs/$n/ctl")" ""
new 'trap "echo hup" HUP; cat; wait; echo out'
exec 5>"a/jobs/$n/stdin"
echo first >&5
wait_for 5 said first
echo eof >"a/jobs/$n/ctl" || fail eof
eq "after eof" "$(cut -d' ' -f2 "a/jobs/$n/wait")" 0
exec 5>&- 4>&-
eq "its output" "$(cat "a/jobs/$n/stdout")" "first
out"

# Large, both ways, at the pace of the slower.
new 'md5sum'
head -c 30000000 /dev/urandom >"$W/big"
cat "$W/big" >"a/jobs/$n/stdin" || fail "30 MB of input"
exec 4>&-
cat "a/jobs/$n/wait" >/dev/null
eq "30 MB" "$(cat "a/jobs/$n/output")" "$(md5sum <"$W/big")"

check "a full pipe" python3 - <<'P'
import errno, os, select, signal, time
new = os.open('a/jobs/new', os.O_RDWR)
os.write(new, b'sleep 2; wc -c')
n = os.read(new, 20).decode().strip()
d = f'a/jobs/{n}/'
fd = os.open(d + 'stdin', os.O_WRONLY | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLOUT)
assert p.poll(5000)
total = 0
try:
    while True:
        total += os.write(fd, b'x' * 50000)
except BlockingIOError:
    pass
assert total > 50000, total
assert p.poll(100) == []
e = select.epoll()
e.register(fd, select.EPOLLOUT | select.EPOLLET)
# a write that waits is interrupted: nothing of it, or a part, was written
blocking = os.open(d + 'stdin', os.O_WRONLY)
def alarm(*a):
    raise InterruptedError
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.2)
t = time.time()
try:
    os.write(blocking, b'y')
    raise AssertionError('it did not wait')
except InterruptedError:
    assert time.time() - t < 1.5
assert p.poll(10000)
assert e.poll(5)
total += os.write(fd, b'z')
os.close(fd)
os.close(blocking)
os.close(new)
assert open(d + 'wait').read().split()[1] == '0'
got = open(d + 'stdout').read().strip()
assert got == str(total), (got, total)
P

# jobs/new: only read and write opens it; rmdir kills and forgets.
has "cat jobs/new" "$(cat a/jobs/new 2>&1)" "Permission denied"
has "cat stdin" "$(cat "a/jobs/$n/stdin" 2>&1)" "Permission denied"
new 'sleep 99'
exec 5>"a/jobs/$n/stdin"
rmdir "a/jobs/$n" || fail rmdir
[ ! -e "a/jobs/$n" ] || fail "it is still there"
has "stdin of a forgotten job" "$( (echo x >&5) 2>&1)" "Broken pipe"
exec 5>&- 4>&-
echo kill >"a/jobs/$late/ctl" || fail kill
wait_for 5 grep -q '^running 0' a/status

# What a status says.
new 'head -c 60000000 /dev/zero | tail -c 50000000 | wc -c'
exec 4>&-
cat "a/jobs/$n/wait" >/dev/null
peak=$(sed -n 's/^memory_peak //p' "a/jobs/$n/status")
[ "$peak" -gt 50000000 ] || fail "memory_peak $peak"
eq "keys" "$(cut -d' ' -f1 "a/jobs/$n/status" | tr '\n' ' ')" \
    "state pid exit signal started ended cpu_usec memory_peak "
cd / || exit 1
exit 0
