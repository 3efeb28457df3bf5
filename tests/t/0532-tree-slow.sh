#!/bin/bash
# What storage delays does not delay others; what waits for it can be killed.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
echo 'create w storage=2G memory=3G' >ctl || fail "create"
echo small >w/fs/root/small
# Over the network each sandbox is served by its own agent: others are those of
# another one.
other=$PWD/w/fs/tmp
if is_remote; then
	mkdir other
	other=$PWD/other/fs/tmp
fi

check "storage" python3 - w/fs/root "$other" <<'P'
import ctypes, os, signal, sys, threading, time
SIZE = 256 << 20
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
off_t = ctypes.c_long

def allocate(fd):
    if libc.fallocate(fd, 0, off_t(0), off_t(SIZE)):
        raise OSError(ctypes.get_errno(), 'fallocate')

# Looks a name up that nobody remembers, again and again.
done = []
def look():
    n = 0
    while not stop:
        n += 1
        os.path.exists(sys.argv[2] + '/no-%d' % n)
        done.append(time.monotonic())
stop = False
looker = threading.Thread(target=look, daemon=True)
looker.start()

def big(name):
    fd = os.open(name, os.O_CREAT | os.O_RDWR)
    allocate(fd)
    return fd

def replace():
    os.rename('small', 'a')
    open('small', 'w').write('small')

def close_unlinked():
    fd = os.open('a', os.O_RDWR)
    os.unlink('a')
    os.close(fd)
    # nobody waits for that: until it is free again
    while os.statvfs('.').f_bavail * 4096 < free:
        time.sleep(0.002)

free = os.statvfs('.').f_bavail * 4096
os.close(big('a'))
for what, f in (
        ('unlink', lambda: os.unlink('a')),
        ('fallocate', lambda: os.close(big('a'))),
        ('open', lambda: open('a', 'w').close()),
        ('truncate', lambda: os.truncate('a', 10)),
        ('replace', replace),
        ('close', close_unlinked)):
    if not os.path.exists('a') or os.stat('a').st_size < SIZE:
        if what != 'fallocate':
            os.close(big('a'))
    begin = time.monotonic()
    f()
    end = time.monotonic()
    n = sum(begin < t < end for t in done)
    print('%s: %.0f ms, %d others' % (what, (end - begin) * 1000, n))
    assert n >= 4, what
stop = True
looker.join()

# all threads are at work: whoever waits for one can be killed
os.unlink('small')
def killed_early():
    ends = []
    def fill(fd):
        allocate(fd)
        ends.append(time.monotonic())
    for fd in files:
        os.ftruncate(fd, 0)
    fillers = [threading.Thread(target=fill, args=(fd,)) for fd in files]
    for t in fillers:
        t.start()
    child = os.fork()
    if child == 0:
        os.fsync(os.open('last', os.O_CREAT | os.O_RDWR))
        os._exit(0)
    time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    killed = time.monotonic()
    for t in fillers:
        t.join()
    print('killed %.0f ms before the others' % ((min(ends) - killed) * 1000))
    return killed < min(ends)
files = [os.open('b%d' % i, os.O_CREAT | os.O_RDWR) for i in range(4)]
# a fast machine may be done before: not each time
assert any(killed_early() for i in range(5))
for fd in files:
    assert os.fstat(fd).st_size == SIZE
os.fsync(files[0])
P
! is_remote || rmdir other
rmdir w
cd / || exit 1
exit 0
