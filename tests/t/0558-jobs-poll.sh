#!/bin/bash
# O_NONBLOCK, poll, select and epoll on exec, jobs/new, a job's output and
# wait; what a signal interrupts has no effect; errors of each place.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"
eq "it is up" "$(echo 'echo up' >a/exec; cat a/exec; rmdir a/jobs/1)" up

check "polling" python3 - <<'P'
import errno, os, select, signal, time

def fails(e, fn, *args):
    try:
        fn(*args)
    except OSError as x:
        assert x.errno == e, x
        return
    raise AssertionError(f'no {errno.errorcode[e]}')

def readable(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])

# A session: what was written starts when it is polled for input, not before.
fd = os.open('a/exec', os.O_RDWR | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLOUT)
assert p.poll(1000) == [(fd, select.POLLOUT)]
os.write(fd, b'sleep .3; echo out; sleep .3; echo more; sleep .5\n')
assert p.poll(100) == [(fd, select.POLLOUT)]
time.sleep(.2)
assert '2' not in os.listdir('a/jobs'), 'polling for output began it'
assert not readable(fd, 0)
fails(errno.EAGAIN, os.read, fd, 100)
fails(errno.EBUSY, os.write, fd, b'x')
assert '2' in os.listdir('a/jobs')
assert readable(fd, 10)
assert os.read(fd, 100) == b'out\n'
fails(errno.EAGAIN, os.read, fd, 100)
# level: it is told until it is read; edge: once for each news
level, edge = select.epoll(), select.epoll()
level.register(fd, select.EPOLLIN)
edge.register(fd, select.EPOLLIN | select.EPOLLET)
assert level.poll(0) == [] and edge.poll(0) == []
assert edge.poll(10) == [(fd, select.EPOLLIN)]
assert edge.poll(0) == [] # the end is news, too: not yet
assert level.poll(0) and level.poll(0)
assert os.read(fd, 2) == b'mo' and level.poll(0)
got = os.read(fd, 100)
assert got == b're\n', got
assert level.poll(10), 'the end of a command is readable'
while True:
    try:
        got = os.read(fd, 100)
        break
    except BlockingIOError:
        time.sleep(.01)
assert got == b''
os.close(fd)

# exec for reading: the newest job; ready at its end.
open('a/exec', 'w').write('sleep .4; echo x')
fd = os.open('a/exec', os.O_RDONLY | os.O_NONBLOCK)
assert not readable(fd, .1)
fails(errno.EAGAIN, os.read, fd, 1)
assert readable(fd, 10) and os.read(fd, 9) == b'x\n'
assert readable(fd, 10) and os.read(fd, 9) == b''
os.close(fd)

# jobs/new, its logs as they grow, and wait.
new = os.open('a/jobs/new', os.O_RDWR | os.O_NONBLOCK)
os.write(new, b'sleep .3; echo one; sleep .3; echo two >&2; sleep .3')
while True:
    try:
        n = os.read(new, 20).decode().strip()
        break
    except BlockingIOError:
        assert readable(new, 10)
assert os.read(new, 20) == b''
d = f'a/jobs/{n}/'
out, err, both, wait = (os.open(d + f, os.O_RDONLY | os.O_NONBLOCK)
                        for f in ('stdout', 'stderr', 'output', 'wait'))
p = select.poll()
for f in (out, err, both):
    p.register(f, select.POLLIN)
e = select.epoll()
e.register(both, select.EPOLLIN | select.EPOLLET)
assert p.poll(50) == [], 'nothing was said yet'
fails(errno.EAGAIN, os.read, wait, 1)
ready = {f for f, _ in p.poll(10000)}
assert out in ready and err not in ready, ready
assert e.poll(10)
assert os.read(out, 99) == b'one\n' and os.read(both, 99) == b'one\n'
assert os.read(err, 99) == b'' and os.read(out, 99) == b''
assert os.fstat(both).st_size == 4 and os.fstat(err).st_size == 0
assert {f for f, _ in p.poll(10000)} <= {err, both}
assert e.poll(10)
assert readable(err, 10) and os.read(err, 99) == b'two\n'
assert os.read(both, 99) == b'two\n'
assert os.pread(both, 3, 5) == b'wo\n'
assert readable(wait, 10)
assert os.read(wait, 99).split()[:2] == [n.encode(), b'0']
assert os.read(wait, 99) == b''

# A signal while it waits: EINTR, and nothing else happens.
class Alarm(Exception):
    pass
def alarm(*a):
    raise Alarm
signal.signal(signal.SIGALRM, alarm)
def interrupted(fn, *args):
    signal.setitimer(signal.ITIMER_REAL, .1)
    t = time.time()
    try:
        fn(*args)
        raise AssertionError('it did not wait')
    except Alarm:
        assert time.time() - t < 2
s = os.open('a/exec', os.O_RDWR)
os.write(s, b'echo a; sleep .6; echo b')
assert os.read(s, 99) == b'a\n'
for i in range(3):
    interrupted(os.read, s, 99)
assert os.read(s, 99) == b'b\n' and os.read(s, 99) == b''
open('a/exec', 'w').write('sleep .5; echo end')
for f in ('a/exec', 'a/wait'):
    r = os.open(f, os.O_RDONLY)
    interrupted(os.read, r, 99)
    os.close(r)
assert open('a/exec').read() == 'end\n'
before = os.readlink('a/jobs/last')

# Errors of each place.
os.write(s, b'sleep 1')
assert not readable(s, .1)
fails(errno.EBUSY, os.write, s, b'x')
big = os.open('a/exec', os.O_WRONLY)
os.write(big, b'#' * (1 << 20))
fails(errno.E2BIG, os.write, big, b'\necho no')
os.close(big)
big = os.open('a/jobs/new', os.O_RDWR)
os.write(big, b'#' * (1 << 20))
fails(errno.E2BIG, os.write, big, b'\necho no')
assert os.read(big, 9) == b''
os.close(big)
assert os.readlink('a/jobs/last') == str(int(before) + 1)
fails(errno.ESRCH, os.write, os.open(d + 'ctl', os.O_WRONLY), b'kill')
kill = os.open('a/ctl', os.O_WRONLY)
fails(errno.ESRCH, os.write, kill, b'kill')
fails(errno.EPIPE, os.open, d + 'stdin', os.O_WRONLY)
fails(errno.EACCES, os.open, 'a/jobs/new', os.O_WRONLY)
open('a/ctl', 'w').write('stop 0')
fails(errno.EHOSTDOWN, os.open, 'a/exec', os.O_WRONLY)
fails(errno.EHOSTDOWN, os.open, 'a/exec', os.O_RDWR)
fails(errno.EHOSTDOWN, os.write, s, b'x')
os.read(s, 99)
new = os.open('a/jobs/new', os.O_RDWR)
os.write(new, b'true')
fails(errno.EHOSTDOWN, os.read, new, 9)
assert b'is stopped' in open('errors', 'rb').read().split(b'\n')[-2]
assert open('a/exec').read() == 'end\n', 'the newest is no session'
files = [os.open(f, os.O_RDONLY) for f in ('a/exec', 'a/wait', d + 'output')]
ctl = os.open(d + 'ctl', os.O_RDWR)
os.rmdir('a')
for f in files:
    fails(errno.ESTALE, os.read, f, 9)
fails(errno.ESTALE, os.write, s, b'x')
fails(errno.ESTALE, os.write, ctl, b'kill')
fails(errno.ESTALE, os.write, new, b'true')
fails(errno.ENOENT, os.open, d + 'status', os.O_RDONLY)
P
cd / || exit 1
exit 0
