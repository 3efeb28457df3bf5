#!/bin/bash
# A directory that takes another's name: what is asked of the name next is
# asked of that one, at once, whoever moved it. And what takes the name of a
# file that is open.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" && mkdir w || fail "mkdir"

check "directories" python3 - <<'P'
import ctypes, os, threading

def run(script):
    """A job, to its end."""
    fd = os.open('../../exec', os.O_RDWR)
    os.write(fd, script.encode())
    while os.read(fd, 65536):
        pass
    os.close(fd)

def make(name, **kw):
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, **kw))

libc = ctypes.CDLL(None, use_errno=True)

def exchange(a, b):
    assert libc.renameat2(-100, a.encode(), -100, b.encode(), 2) == 0

def there(name, fd):
    try:
        return os.stat(name, dir_fd=fd) is not None
    except FileNotFoundError:
        return False

def moved_outside():
    os.mkdir('d')
    os.mkdir('e')
    make('d/x')
    assert not os.path.exists('e/x')
    exchange('d', 'e')
    assert os.path.exists('e/x') and not os.path.exists('d/x')
    make('d/y')
    assert os.listdir('d') == ['y'] and os.listdir('e') == ['x']

def removed_outside():
    os.unlink('d/y')
    os.rmdir('d')
    os.mkdir('d')
    make('d/z')
    assert os.listdir('d') == ['z']

# Also for who stands in it, and asks for it all the time.
def moved_inside():
    os.makedirs('i/s')
    fd = os.open('i/s', os.O_RDONLY | os.O_DIRECTORY)
    stop = False

    def look():
        n = 0
        while not stop:
            n += 1
            there('no-%d' % n, fd)
    looker = threading.Thread(target=look)
    looker.start()
    run('mv i j; mkdir -p i/s; touch i/s/new')
    seen = there('new', fd)
    stop = True
    looker.join()
    assert seen
    make('made', dir_fd=fd)
    os.close(fd)
    assert sorted(os.listdir('i/s')) == ['made', 'new']
    assert os.listdir('j/s') == []

# What is open is opened again by another way than its name.
def replaced(script):
    with open('f', 'w') as f:
        f.write('old')
    fd = os.open('f', os.O_RDWR)
    run('rm f; ' + script)
    for how in os.O_RDONLY, os.O_WRONLY:
        os.close(os.open('/proc/self/fd/%d' % fd, how))
    assert os.pread(fd, 10, 0) == b'old'
    os.close(fd)
    run('rm -r f')

os.chdir('w/fs/root')
for script in 'true >f', 'ln -s x f', 'mkdir f', 'mkfifo f':
    replaced(script)
for i in range(10):
    moved_outside()
    removed_outside()
    moved_inside()
    run('rm -r d e i j')
P
rmdir w
cd / || exit 1
exit 0
