#!/bin/bash
# What waits: interrupts, poll, O_NONBLOCK, EBUSY, many readers, limits.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

eq "no job yet" "$(cat a/exec; cat a/wait)" ""

# ^C leaves the job; others are served meanwhile.
echo 'sleep 2; echo end' >a/exec
for sig in INT TERM KILL; do
	timeout -s $sig 0.3 cat a/exec 2>/dev/null
	eq "cat and SIG$sig" $? "$([ $sig = KILL ] && echo 137 || echo 124)"
	timeout -s $sig 0.3 cat a/wait 2>/dev/null
	eq "wait and SIG$sig" $? "$([ $sig = KILL ] && echo 137 || echo 124)"
done
check "meanwhile" timeout 2 cat a/status >/dev/null
eq "the job went on" "$(cat a/exec)" end

# Any number of readers, each gets everything.
echo 'seq 1 200000; sleep .2; echo last' >a/exec
want=$( (seq 1 200000; echo last) | md5sum)
for i in 1 2 3 4 5; do
	md5sum <a/exec >"$W/sum.$i" &
	pids[i]=$!
done
for i in 1 2 3 4 5; do
	wait "${pids[i]}"
	eq "reader $i" "$(cat "$W/sum.$i")" "$want"
done

# A session: one command at a time, killed with its last descriptor.
out=$(bash -c 'exec 3<>a/exec; echo "sleep 3" >&3; echo x >&3' 2>&1)
has "a command while one runs" "$out" "Device or resource busy"
bash -c 'exec 3<>a/exec; echo "touch /tmp/started; sleep 99; touch /tmp/late" >&3
while [ ! -e a/fs/tmp/started ]; do sleep .05; done; kill -9 $$' 2>/dev/null
last=$(readlink a/jobs/last)
wait_for 5 grep -q '^state ended' "a/jobs/$last/status"
# What a session's command prints while nobody reads is there later.
eq "late reader" "$(bash -c 'exec 3<>a/exec; echo "echo kept" >&3; sleep .5
cat <&3')" kept

# Too much of a script: nothing of it runs.
out=$( (head -c 1100000 /dev/zero | tr '\0' '#'; echo; echo 'touch /tmp/big') \
    2>/dev/null | cat 2>&1 >a/exec)
has "over 1 MiB" "$out" "Argument list too long"
cat a/exec >/dev/null
[ ! -e a/fs/tmp/big ] || fail "the end of a script that is too long ran"
(printf '#'; head -c 300000 /dev/zero | tr '\0' x; printf '\necho %s\n' \
    big-script) >a/exec
eq "300 KB of script" "$(cat a/exec)" big-script

check "poll" python3 - <<'P'
import os, select, time
fd = os.open('a/log', os.O_RDONLY)
while os.read(fd, 1 << 20):
    pass
p = select.poll()
p.register(fd, select.POLLIN)
assert p.poll(300) == []
open('a/exec', 'w').write('sleep .3; echo line')
t = time.time()
assert p.poll(10000)
assert os.read(fd, 100) == b'line\n'
assert p.poll(200) == []
e = os.open('events', os.O_RDONLY)
while os.read(e, 1 << 20):
    pass
q = select.epoll()
q.register(e, select.EPOLLIN | select.EPOLLET)
assert q.poll(0.2) == []
os.mkdir('b')
assert q.poll(10)
assert b' b created' in os.read(e, 1000)
w = os.open('a/wait', os.O_RDONLY | os.O_NONBLOCK)
assert os.read(w, 100).split()[1] == b'0'
open('a/exec', 'w').write('sleep .5')
w = os.open('a/wait', os.O_RDONLY | os.O_NONBLOCK)
try:
    os.read(w, 100)
    raise AssertionError('no EAGAIN')
except BlockingIOError:
    pass
p = select.poll()
p.register(w, select.POLLIN)
assert p.poll(10000)
assert os.read(w, 100).split()[1] == b'0'
P

# new: only read and write opens it, and looking makes nothing.
out=$(cat new 2>&1)
has "cat new" "$out" "Permission denied"
has "echo > new" "$( (echo x >new) 2>&1)" "Permission denied"
has "a wrong line" "$(bash -c 'exec 4<>new; echo frob >&4' 2>&1)" \
    "Invalid argument"
has "a wrong profile" \
    "$(bash -c 'exec 4<>new; echo profile=nope >&4' 2>&1)" \
    "No such file or directory"
has "its sentence" "$(tail -n1 errors)" 'new: no profile nope: "create profile=nope"'
check "lines of new" python3 - <<'P'
import errno, os
f = os.open('new', os.O_RDWR)
def bad(text, code):
    try:
        raise AssertionError('%r: %d' % (text, os.write(f, text)))
    except OSError as e:
        assert e.errno == code, (text, e)
# Each line is looked at when it is written; those before it are taken.
bad(b'frob=1\n', errno.EINVAL)
bad(b'memory=lots\n', errno.EINVAL)
bad(b'network=nat', errno.EINVAL)
bad(b'image=nope\n', errno.ENOENT)
bad(b'label.=x\n', errno.EINVAL)
bad(b'"memory=64M\n', errno.EINVAL)
bad(b'x' * 70000, errno.E2BIG)
assert os.write(f, b'# what it is\n\nmemory=64M\nfrob=1\npids=9\n') == 25
bad(b'frob=1\npids=9\n', errno.EINVAL)
assert os.write(f, b'label.a=b label.c="d e"\npids=77') == 31
for i in range(63):
    if os.write(f, b'cpu=1 ' * 16) != 96:
        raise AssertionError('cpu')
bad(b'cpu=1 ' * 16, errno.E2BIG)
n = os.read(f, 100).decode().strip()
text = open(n + '/ctl').read()
for want in 'memory 67108864\n', 'pids 77\n', 'label a=b\n', "label 'c=d e'\n":
    assert want in text, (want, text)
# Now they are lines of its ctl.
bad(b'memory=64M\n', errno.EINVAL)
assert os.write(f, b'pids 78\n') == 8
os.close(f)
P
has "settings" "$(bash -c 'exec 4<>new; echo memory=200M label.a=b >&4
read -r n <&4; cat $n/ctl')" $((200 * 1024 * 1024))

# A stopped sandbox takes no script, and shows its last job.
echo 'echo before' >a/exec
cat a/exec >/dev/null
echo stop >a/ctl
has "exec while stopped" "$( (echo x >a/exec) 2>&1)" "Host is down"
eq "the last output" "$(cat a/exec)" before
echo start >a/ctl
eq "started" "$(echo 'echo after' >a/exec; cat a/exec)" after

# Destroyed under an open descriptor.
exec 5<>a/exec 6<>a/env
rmdir a
has "exec of a destroyed one" "$( (echo x >&5) 2>&1)" "Stale file handle"
has "env of a destroyed one" "$( (echo x >&6) 2>&1)" "Stale file handle"
exec 5>&- 6>&-
cd / || exit 1
exit 0
