"""What is open in fs/ of the sandbox TOP when the connection breaks. PID is the
link's, ARG... how to start another one; a line on our output asks for the
death of the front, a line on our input says that it is there again.

    remote_lost.py TOP ID SOCKET PID ARG...

Its last argument is its file.
"""
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

top, box, sock, link_pid = sys.argv[1:5]
link_pid = int(link_pid)
root = top + '/fs/root/'
slow = int(os.environ['SBX_SLOW'])


def wait_for(what, *args):
    end = time.monotonic() + 20 * slow
    while not what(*args):
        assert time.monotonic() < end, what
        time.sleep(.02)


def there():
    try:
        open(root + 'there').close()
        open(top + '/status').read()
        return True
    except OSError as e:
        assert e.errno == errno.EIO, e
        return False


def link(sig):
    os.kill(link_pid, sig)


def cuts():
    with open(sys.argv[-1], 'rb') as f:
        return f.read().count(b'x')


def cut():
    before = cuts()
    link(signal.SIGUSR1)
    wait_for(lambda: cuts() > before)
    wait_for(there)


def kill_front():
    print('front', flush=True)
    assert sys.stdin.readline()
    wait_for(there)


def inside(script):
    """By the other door."""
    out = subprocess.run(
        ['curl', '-sS', '--unix-socket', sock, '-d',
         json.dumps({'command': script}), 'http://x/sandboxes/%s/exec' % box],
        stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)['stdout']


def make(name, text):
    with open(root + name, 'wb') as f:
        f.write(text)


def fails(number, what, *args):
    try:
        got = what(*args)
    except OSError as e:
        assert e.errno == number, (what, e)
    else:
        raise AssertionError('%s: %r' % (what, got))


# Nothing under way: each call is the first to find it lost.
make('f', b'0123456789')
r = os.open(root + 'f', os.O_RDONLY)
assert os.read(r, 4) == b'0123'
cut()
assert os.read(r, 3) == b'456'
cut()
assert os.fstat(r).st_size == 10 and os.fstat(r).st_nlink == 1
kill_front()
assert os.read(r, 9) == b'789' and os.read(r, 9) == b''
w = os.open(root + 'f', os.O_RDWR)
a = os.open(root + 'f', os.O_WRONLY | os.O_APPEND)
n = os.open(root + 'new', os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TRUNC)
os.write(n, b'new')
assert os.write(a, b'a') == 1
kill_front()
assert os.write(a, b'bc') == 2 and os.pwrite(w, b'X', 1) == 1
assert os.pread(r, 99, 0) == b'0X23456789abc'
assert os.write(n, b'er') == 2 and os.pread(n, 9, 0) == b'newer'
fails(errno.EBADF, os.write, r, b'x')
cut()
os.fsync(w)
cut()
os.ftruncate(w, 5)
assert os.pread(w, 99, 0) == b'0X234'
cut()
os.posix_fallocate(w, 0, 4096)
assert os.fstat(r).st_size == 4096
cut()
assert os.lseek(w, 0, os.SEEK_HOLE) == 4096
cut()
os.setxattr(root + 'f', 'user.x', b'y')
cut()
assert os.getxattr(w, 'user.x') == b'y'
# one that lost its handle, one that has it
cut()
assert os.pread(w, 1, 0) == b'0'
assert os.copy_file_range(w, n, 3, 0, 0) == 3
assert os.pread(n, 9, 0) == b'0X2er'
# what has the name by now is another's
os.rename(root + 'f', root + 'moved')
make('f', b'other')
cut()
assert os.pread(r, 2, 0) == b'0X', 'it has another name, of which we know'
inside('mv /root/new /root/old; echo xx >/root/new')
cut()
for _ in 1, 2:
    fails(errno.ESTALE, os.pread, n, 1, 0)
    fails(errno.ESTALE, os.pwrite, n, b'?', 0)
    fails(errno.ESTALE, os.fstat, n)
    fails(errno.ESTALE, os.fsync, n)
    fails(errno.ESTALE, os.ftruncate, n, 0)
assert open(root + 'new').read() == 'xx\n'
assert open(root + 'old', 'rb').read() == b'0X2er'
assert os.pread(r, 2, 0) == b'0X' and os.write(a, b'!') == 1
os.unlink(root + 'moved')
assert os.pread(r, 2, 0) == b'0X', 'removed, and open'
cut()
fails(errno.ESTALE, os.pread, r, 1, 0)
fails(errno.ESTALE, os.write, a, b'?')
make('g', b'g')
g = os.open(root + 'g', os.O_RDONLY)
cut()
inside('rm /root/g')
fails(errno.ESTALE, os.pread, g, 1, 0)
# another file is another, by whatever number
make('h', b'old')
h, number = os.open(root + 'h', os.O_RDONLY), os.stat(root + 'h').st_ino
cut()


def renewed():
    inside('rm /root/h; echo new >/root/h')
    return os.stat(root + 'h').st_ino == number


wait_for(renewed)
fails(errno.ESTALE, os.pread, h, 9, 0)
assert open(root + 'h').read() == 'new\n'
for fd in r, w, a, n, g, h:
    os.close(fd)
os.unlink(root + 'new')


# Something under way: later(f) returns a function that waits for its errno.
def later(f, *args):
    got = []

    def run():
        try:
            got.append(f(*args))
        except OSError as e:
            got.append(e.errno)
    t = threading.Thread(target=run)
    t.start()

    def end():
        t.join(20 * slow)
        assert not t.is_alive(), 'it hangs'
        return got[0]
    return end


make('f', b'0123456789')
r = os.open(root + 'f', os.O_RDONLY)
a = os.open(root + 'f', os.O_WRONLY | os.O_APPEND)
for i in range(5):
    link(signal.SIGUSR2)
    read = later(os.pread, r, 4, 2)
    time.sleep(.1)
    link(signal.SIGUSR1)
    assert read() in (errno.EIO, b'2345')
    wait_for(there)
    assert os.pread(r, 4, 2) == b'2345'

want = b'0123456789'
for i in range(5):
    assert os.write(a, b'more\n') == 5
    want += b'more\n'
    # it is done, and the answer does not come
    link(signal.SIGUSR2)
    write = later(os.write, a, b'once\n')
    want += b'once\n'
    wait_for(lambda: inside('cat /root/f') == want.decode())
    link(signal.SIGUSR1)
    assert write() == errno.EIO
    wait_for(there)
    assert os.pread(r, 999, 0) == want
assert os.write(a, b'more\n') == 5
want += b'more\n'
# it has not come there
link(signal.SIGSTOP)
write = later(os.write, a, b'never\n')
fsync = later(os.fsync, r)
time.sleep(.2)
link(signal.SIGKILL)
another = subprocess.Popen(sys.argv[5:])
link_pid = another.pid
assert write() == errno.EIO and fsync() in (errno.EIO, None)
wait_for(there)
assert os.pread(r, 999, 0) == want and inside('cat /root/f') == want.decode()
assert os.write(a, b'end\n') == 4

# A directory is listed to its end, each name once; and again.
names = {'%s%d' % ('x' * 40, i) for i in range(3000)}
inside('cd /root/d && seq -f %s%%.0f 0 2999 | xargs touch' % ('x' * 40))
for lose in cut, kill_front:
    d = os.open(root + 'd', os.O_RDONLY)
    with os.scandir(d) as it:
        got = [next(it).name for _ in range(10)]
        lose()
        got += [e.name for e in it]
    assert len(got) == 3000 and set(got) == names
    wait_for(there)
    assert sorted(os.listdir(d)) == sorted(names)
    os.close(d)

# The sandbox ends with what is open.
os.write(a, b'z')
os.rmdir(top)
fails(errno.ESTALE, os.pread, r, 1, 0)
fails(errno.ESTALE, os.write, a, b'?')
another.kill()
