"""Jobs of the sandbox TOP are followed over a link that is cut at random: each
line comes, once and in order. PID is the link's.

    remote_follow.py TOP PID
"""
import errno
import os
import random
import signal
import sys
import threading
import time

CUTS, LINES = 20, 60000
top, pid = sys.argv[1], int(sys.argv[2])
seed = int.from_bytes(os.urandom(4), 'big')
rnd = random.Random(seed)
slow = int(os.environ['SBX_SLOW'])


def again(call, *args):
    """While there is nobody to ask."""
    end = time.monotonic() + 30 * slow
    while True:
        try:
            return call(*args)
        except OSError as e:
            if e.errno != errno.EIO or time.monotonic() > end:
                raise
        time.sleep(.01)


def script():
    """Numbered lines for some seconds, in pieces of any length."""
    return ('i=0; while [ $i -lt %d ]; do seq -f "%%.0f x" $i $((i + %d)); '
            'i=$((i + %d)); sleep .01; done; exit 7\n' %
            (LINES, STEP - 1, STEP)).encode()


STEP = LINES // 300
want = b''.join(b'%d x\n' % i for i in range(LINES))


def to_eof(fd):
    got = os.read(fd, 1)
    told.append(fd)
    while piece := again(os.read, fd, rnd.randrange(1, 100000)):
        got += piece
    return got


def session():
    fd = os.open(top + '/exec', os.O_RDWR)
    os.write(fd, script())
    try:
        return to_eof(fd)
    finally:
        os.close(fd)


def started():
    """The number of a job that is nobody's newest."""
    fd = os.open(top + '/jobs/new', os.O_RDWR)
    os.write(fd, script())
    number = os.read(fd, 99).decode().strip()
    os.close(fd)
    return '%s/jobs/%s/' % (top, number)


def cat_exec():
    with open(top + '/exec', 'wb') as f:
        f.write(script())
    fd = os.open(top + '/exec', os.O_RDONLY)
    return to_eof(fd)


def tail(name):
    """tail -f of a log: by offset, until its end."""
    fd, got = os.open(name, os.O_RDONLY), b''
    told.append(fd)
    while len(got) < len(want):
        piece = again(os.read, fd, 65536)
        got += piece
        if not piece:
            time.sleep(.02)
    os.close(fd)
    return got


def follow(name, what, *args):
    try:
        got = what(*args)
    except BaseException as e:
        results.append('%s: %r' % (name, e))
        return
    if got != want:
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b),
                  min(len(got), len(want)))
        results.append('%s: %d bytes of %d, differs at %d: %r, %r' % (
            name, len(got), len(want), at, got[at - 20:at + 20],
            want[at - 20:at + 20]))


def waits(path):
    fd = os.open(path + 'wait', os.O_RDONLY)
    told.append(fd)
    line = again(os.read, fd, 99).split()
    return want if line[1] == b'7' else b'%r' % line


told, results = [], []
job = started()
threads = [threading.Thread(target=follow, args=a) for a in (
    ('a session', session), ('cat exec', cat_exec),
    ('tail output', tail, job + 'output'), ('tail stdout', tail, job + 'stdout'),
    ('wait', waits, job))]
for t in threads:
    t.start()
while len(told) < len(threads) and not results:
    time.sleep(.01)
for i in range(CUTS):
    time.sleep(rnd.uniform(.05, .3))
    os.kill(pid, signal.SIGUSR1)
for t in threads:
    t.join(60 * slow)
    assert not t.is_alive(), 'it hangs'
assert not results, 'seed %d\n%s' % (seed, '\n'.join(results))
