#!/bin/bash
# Each control file by each operation: what it gives, and which errno.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
printf 'create a label.k=v env.E=1\n' >ctl || fail "create"
echo 'echo out; echo err >&2' >a/exec
cat a/exec >/dev/null

cat >"$W/matrix.py" <<'P'
import ctypes, errno, fcntl, mmap, os, select, signal, stat, sys, time

VALUE, COMMAND, LOG, STREAM = 'value', 'command', 'log', 'stream'
# name, kind, mode, and of a stream the open modes that it takes
R, W, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
FILES = [
    ('ctl', COMMAND, 0o660, None),
    ('new', STREAM, 0o660, {RW}),
    ('events', LOG, 0o444, None),
    ('errors', LOG, 0o444, None),
    ('status', VALUE, 0o444, None),
    ('pool', COMMAND, 0o600, None),
    ('profiles/default', VALUE, 0o444, None),
    ('a/ctl', COMMAND, 0o600, None),
    ('a/status', VALUE, 0o444, None),
    ('a/stats', VALUE, 0o444, None),
    ('a/exec', STREAM, 0o600, {R, W, RW}),
    ('a/wait', STREAM, 0o400, {R, W, RW}),
    ('a/env', VALUE, 0o600, None),
    ('a/ports', COMMAND, 0o600, None),
    ('a/log', LOG, 0o444, None),
    ('a/jobs/new', STREAM, 0o600, {RW}),
    ('a/jobs/1/cmd', VALUE, 0o444, None),
    ('a/jobs/1/status', VALUE, 0o444, None),
    ('a/jobs/1/stdout', LOG, 0o444, None),
    ('a/jobs/1/stderr', LOG, 0o444, None),
    ('a/jobs/1/output', LOG, 0o444, None),
    ('a/jobs/1/ctl', COMMAND, 0o600, None),
    ('a/jobs/1/wait', STREAM, 0o400, {R, W, RW}),
]
# Of these no two looks are alike, whoever looks.
RESTLESS = {'a/stats', 'errors'}
# Users of the other machine mean nothing there.
REMOTE = len(sys.argv) > 1
bad = 0

def name_of(number):
    name = errno.errorcode.get(number, number)
    return 'EOPNOTSUPP' if name == 'ENOTSUP' else name

def attempt(call):
    """What it returns, or the name of its errno."""
    try:
        return call()
    except OSError as e:
        return name_of(e.errno)

def expect(file, what, got, want):
    global bad
    if got != want:
        bad += 1
        print('FAIL: %s: %s: %r, not %r' % (file, what, got, want))

def opened(path, flags):
    """Opens and closes: 'ok' or the errno."""
    def call():
        os.close(os.open(path, flags))
        return 'ok'
    return attempt(call)

def whole(path):
    with open(path, 'rb', buffering=0) as f:
        return f.read()

def ok(call):
    def run():
        call()
        return 'ok'
    return attempt(run)

def attributes(path, kind, mode):
    st = os.stat(path)
    expect(path, 'type', stat.S_ISREG(st.st_mode), True)
    expect(path, 'mode', oct(stat.S_IMODE(st.st_mode)), oct(mode))
    expect(path, 'links', st.st_nlink, 1)
    expect(path, 'owner', st.st_uid, 0)
    if kind == STREAM:
        expect(path, 'size', st.st_size, 0)
    elif path not in RESTLESS:
        expect(path, 'size', st.st_size, len(whole(path)))
    time.sleep(.01)
    if path not in RESTLESS:
        expect(path, 'the same time', os.stat(path).st_mtime_ns,
               st.st_mtime_ns)
    expect(path, 'a time that has been', st.st_mtime <= time.time(), True)
    expect(path, 'blocks', st.st_blocks, (st.st_size + 511) // 512)

def opens(path, kind, modes):
    for flags in R, W, RW:
        good = modes is None or flags in modes
        expect(path, 'open %d' % flags, opened(path, flags),
               'ok' if good else 'EACCES')
    usual = R if modes is None or R in modes else RW
    for more in 'O_NONBLOCK', 'O_APPEND', 'O_CLOEXEC', 'O_NOFOLLOW':
        expect(path, more, opened(path, usual | getattr(os, more)), 'ok')
    expect(path, 'O_CREAT', opened(path, usual | os.O_CREAT), 'ok')
    expect(path, 'O_CREAT|O_EXCL',
           opened(path, usual | os.O_CREAT | os.O_EXCL), 'EEXIST')
    expect(path, 'O_DIRECTORY', opened(path, R | os.O_DIRECTORY), 'ENOTDIR')
    expect(path, 'as a directory', attempt(lambda: os.listdir(path)),
           'ENOTDIR')
    expect(path, 'below it', opened(path + '/x', R), 'ENOTDIR')

def truncates(path, kind):
    """Ignored, but by env, which is emptied at the end."""
    if path == 'a/env' or path in RESTLESS:
        return
    if kind == STREAM:
        expect(path, 'truncate', ok(lambda: os.truncate(path, 0)), 'ok')
        return
    before = whole(path)
    f = os.open(path, RW)
    for n in 0, 3, 100000:
        expect(path, 'truncate %d' % n, ok(lambda: os.truncate(path, n)),
               'ok')
        expect(path, 'ftruncate %d' % n, ok(lambda: os.ftruncate(f, n)),
               'ok')
    os.close(f)
    os.close(os.open(path, W | os.O_TRUNC))
    os.close(os.open(path, RW | os.O_TRUNC | os.O_APPEND))
    expect(path, 'after truncating', whole(path), before)
    expect(path, 'its size', os.stat(path).st_size, len(before))

def reads(path, kind):
    if kind == STREAM or path in RESTLESS:
        return
    f = os.open(path, R)
    text = whole(path)
    n = len(text)
    for off in 0, 1, n // 2, n - 1, n, n + 1, 1 << 40:
        for length in 0, 1, 7, n + 10:
            if off >= 0:
                expect(path, 'pread %d at %d' % (length, off),
                       os.pread(f, length, off), text[off:off + length])
    if n > 1:
        expect(path, 'seek to the end', os.lseek(f, 0, os.SEEK_END), n)
        expect(path, 'at the end', os.read(f, 10), b'')
        os.lseek(f, 1, os.SEEK_SET)
        expect(path, 'by bytes', b''.join(
            iter(lambda: os.read(f, 1), b'')), text[1:])
    expect(path, 'write, read only', attempt(lambda: os.write(f, b'x')),
           'EBADF')
    os.close(f)
    f = os.open(path, W)
    expect(path, 'read, write only', attempt(lambda: os.read(f, 1)), 'EBADF')
    os.close(f)
    f = os.open(path, R | os.O_NONBLOCK)
    expect(path, 'O_NONBLOCK', os.read(f, n + 1), text)
    os.close(f)
    # two descriptors, two positions; one shared, one position
    f, g = os.open(path, R), os.open(path, R)
    os.read(f, 5)
    expect(path, 'another position', os.read(g, n + 1), text)
    h = os.dup(f)
    expect(path, 'the same position', os.read(h, n + 1), text[5:])
    for d in f, g, h:
        os.close(d)

def writes(path, kind):
    if kind == STREAM or path == 'a/env':
        return
    for flags in W, W | os.O_APPEND, RW | os.O_TRUNC:
        f = os.open(path, flags)
        if kind == COMMAND:
            expect(path, 'an empty line', os.write(f, b'\n# comment\n\n'), 12)
            expect(path, 'anywhere', os.pwrite(f, b'# x', 1 << 30), 3)
            expect(path, 'a bad line', attempt(
                lambda: os.write(f, b'frob\n')), 'EINVAL')
            expect(path, 'a bad line behind a good one', attempt(
                lambda: os.write(f, b'#1\nfrob\n')), 3)
        else:
            expect(path, 'write', attempt(lambda: os.write(f, b'x\n')),
                   'EBADF')
        os.close(f)

def changes(path, kind):
    st = os.stat(path)
    here = os.path.dirname(path) or '.'
    expect(path, 'utimes', ok(lambda: os.utime(path, (1, 1))), 'ok')
    if path not in RESTLESS:
        expect(path, 'no other time', os.stat(path).st_mtime_ns,
               st.st_mtime_ns)
    if path not in ('a/ctl', 'a/jobs/1/ctl'):
        expect(path, 'unlink', ok(lambda: os.unlink(path)), 'EPERM')
    expect(path, 'rename', ok(lambda: os.rename(path, here + '/zz')), 'EPERM')
    expect(path, 'rename onto it', ok(lambda: os.rename(path, path)), 'ok')
    expect(path, 'rename into fs', ok(lambda: os.rename(path, 'a/fs/zz')),
           'EXDEV')
    expect(path, 'link', ok(lambda: os.link(path, here + '/zz')), 'EPERM')
    expect(path, 'link into fs', ok(lambda: os.link(path, 'a/fs/zz')),
           'EXDEV')
    expect(path, 'rmdir', ok(lambda: os.rmdir(path)), 'ENOTDIR')
    expect(path, 'mkdir', ok(lambda: os.mkdir(path)), 'EEXIST')
    if here != '.':
        expect(path, 'mkdir beside', ok(lambda: os.mkdir(here + '/zz')),
               'EPERM')
    expect(path, 'create beside', opened(here + '/.swp', W | os.O_CREAT),
           'EPERM')
    expect(path, 'symlink beside', ok(lambda: os.symlink('x', here + '/zz')),
           'EPERM')
    expect(path, 'mknod beside', ok(lambda: os.mkfifo(here + '/zz')), 'EPERM')
    expect(path, 'O_TMPFILE beside', opened(here, W | os.O_TMPFILE),
           'EOPNOTSUPP')
    expect(path, 'readlink', attempt(lambda: os.readlink(path)), 'EINVAL')
    expect(path, 'setxattr', ok(lambda: os.setxattr(path, 'user.x', b'1')),
           'EOPNOTSUPP')
    expect(path, 'getxattr', attempt(lambda: os.getxattr(path, 'user.x')),
           'EOPNOTSUPP')
    expect(path, 'listxattr', attempt(lambda: os.listxattr(path)) in
           ([], 'EOPNOTSUPP'), True)

def modes(path, mode):
    """Accepted, and remembered."""
    gid = os.stat(path).st_gid
    os.chmod(path, 0o640)
    expect(path, 'chmod', oct(stat.S_IMODE(os.stat(path).st_mode)), '0o640')
    os.chmod(path, mode)
    if REMOTE:
        expect(path, 'chown', ok(lambda: os.chown(path, 7, 8)), 'EPERM')
        return
    os.chown(path, 7, 8)
    st = os.stat(path)
    expect(path, 'chown', (st.st_uid, st.st_gid), (7, 8))
    os.chown(path, -1, 9)
    expect(path, 'chgrp', (os.stat(path).st_uid, os.stat(path).st_gid),
           (7, 9))
    os.chown(path, 0, gid)

def ready(path, kind):
    if kind in (LOG, STREAM):
        return # 0500, 0524, 0550
    f = os.open(path, RW)
    p = select.poll()
    p.register(f, select.POLLIN | select.POLLOUT)
    expect(path, 'poll', [n for _, n in p.poll(0)],
           [select.POLLIN | select.POLLOUT])
    os.close(f)

def maps(path, kind):
    if kind == STREAM or path in RESTLESS:
        return
    text = whole(path)
    f = os.open(path, RW)
    if text:
        m = mmap.mmap(f, len(text), mmap.MAP_PRIVATE, mmap.PROT_READ)
        expect(path, 'mmap', m[:], text)
        m.close()
        if not REMOTE: # where there is no passthrough, it is a copy
            expect(path, 'mmap shared', attempt(lambda: mmap.mmap(
                f, 1, mmap.MAP_SHARED, mmap.PROT_READ)), 'ENODEV')
    os.close(f)

def rest(path, kind, usual):
    f = os.open(path, usual)
    expect(path, 'fsync', ok(lambda: os.fsync(f)), 'ok')
    expect(path, 'ioctl', attempt(lambda: fcntl.ioctl(f, 0x5401, b' ' * 60)),
           'ENOTTY')
    if usual != R:
        expect(path, 'fallocate', ok(lambda: os.posix_fallocate(f, 0, 10)),
               'ESPIPE')
    if kind == STREAM:
        expect(path, 'lseek', attempt(lambda: os.lseek(f, 1, 0)), 'ESPIPE')
        expect(path, 'pread', attempt(lambda: os.pread(f, 1, 0)), 'ESPIPE')
    os.close(f)

def libc(name, *args):
    if getattr(LIBC, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)

def copies(path, kind, f, usual):
    """By the kernel, from file to file and to a pipe; f is at its start."""
    r, w = os.pipe()
    text = b'' if kind == STREAM or path in RESTLESS else whole(path)
    to = os.open(FS, os.O_RDWR | os.O_TRUNC)
    out = os.open('/tmp', os.O_TMPFILE | os.O_RDWR)
    expect(path, 'copy_file_range elsewhere', attempt(
        lambda: os.copy_file_range(f, out, 10)), 'EXDEV')
    if text:
        expect(path, 'copy_file_range into fs', attempt(
            lambda: os.copy_file_range(f, to, 10, 0)), min(10, len(text)))
        expect(path, 'sendfile', attempt(
            lambda: os.sendfile(out, f, 0, 1 << 20)), len(text))
        expect(path, 'what it sent', os.pread(out, 1 << 20, 0), text)
        n = attempt(lambda: os.splice(f, w, 4096, offset_src=0))
        expect(path, 'splice', n, len(text[:4096]))
        expect(path, 'what it moved', os.read(r, n), text[:4096])
    elif kind == STREAM:
        expect(path, 'sendfile', attempt(
            lambda: os.sendfile(out, f, 0, 100)), 'ESPIPE')
    if kind == COMMAND:
        os.pwrite(to, b'#\n', 0)
        os.lseek(to, 0, 0)
        expect(path, 'sendfile into it', attempt(
            lambda: os.sendfile(f, to, None, 2)), 2)
    elif kind in (VALUE, LOG) and path != 'a/env':
        expect(path, 'sendfile into it', attempt(
            lambda: os.sendfile(f, to, 0, 2)), 'EBADF')
    for d in r, w, to, out:
        os.close(d)

def unusual(path, kind, usual):
    """What few call: works or says why not, and nothing hangs."""
    f = os.open(path, usual | os.O_NONBLOCK)
    copies(path, kind, f, usual)
    lock = fcntl.LOCK_SH if usual == R else fcntl.LOCK_EX
    g = os.open(path, usual | os.O_NONBLOCK)
    expect(path, 'flock', ok(lambda: fcntl.flock(f, fcntl.LOCK_EX)), 'ok')
    expect(path, 'flock of another', ok(
        lambda: fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)), 'EAGAIN')
    fcntl.flock(f, fcntl.LOCK_UN)
    expect(path, 'fcntl lock', ok(
        lambda: fcntl.lockf(f, lock | fcntl.LOCK_NB)), 'ok')
    os.close(g)
    for what, call, want in (
        ('fallocate', lambda: libc('fallocate', f, 0, LONG(0), LONG(10)),
         'EBADF' if usual == R else 'EOPNOTSUPP'),
        ('punching a hole', lambda: libc('fallocate', f, 3, LONG(0),
         LONG(10)), 'EBADF' if usual == R else 'EOPNOTSUPP'),
        ('SEEK_DATA', lambda: os.lseek(f, 0, os.SEEK_DATA),
         'ESPIPE' if kind == STREAM else 'EINVAL'),
        ('SEEK_HOLE', lambda: os.lseek(f, 0, os.SEEK_HOLE),
         'ESPIPE' if kind == STREAM else 'EINVAL'),
        ('fdatasync', lambda: os.fdatasync(f), 'ok'),
        ('syncfs', lambda: libc('syncfs', f), 'ok'),
        ('readahead', lambda: libc('readahead', f, LONG(0), 100), 'ok'),
        ('fadvise', lambda: os.posix_fadvise(f, 0, 0, 4), 'ok'),
        ('FICLONE', lambda: fcntl.ioctl(f, 0x40049409, 0), None),
        ('FIEMAP', lambda: fcntl.ioctl(f, 0xc020660b, b'\0' * 64),
         'EOPNOTSUPP'),
        ('lsattr', lambda: fcntl.ioctl(f, 0x80086601, b'0' * 8), None),
        ('execve', lambda: os.execv(path, [path]), 'EACCES'),
        ('O_DIRECT', lambda: os.close(os.open(
            path, usual | os.O_NONBLOCK | os.O_DIRECT)), 'ok'),
        ('O_SYNC', lambda: os.close(os.open(
            path, usual | os.O_NONBLOCK | os.O_SYNC)), 'ok'),
        ('O_PATH', lambda: os.close(os.open(path, os.O_PATH)), 'ok'),
        ('exchange', lambda: libc('renameat2', -100, path.encode(), -100,
         FS.encode(), 2), 'EXDEV'),
        ('whiteout', lambda: libc('renameat2', -100, path.encode(), -100,
         b'zz', 4), 'EPERM'),
        ('a capability', lambda: os.setxattr(path, 'security.capability',
         b'\1\0\0\2' + b'\0' * 16), 'EOPNOTSUPP'),
        ('an ACL', lambda: os.getxattr(path, 'system.posix_acl_access'),
         'EOPNOTSUPP'),
    ):
        got = ok(call)
        if want is not None:
            expect(path, what, got, want)
        else:
            expect(path, what + ' fails', got != 'ok', True)
    expect(path, 'statfs', os.fstatvfs(f).f_blocks, 0)
    os.close(f)

LIBC = ctypes.CDLL(None, use_errno=True)
LONG = ctypes.c_long
FS = 'a/fs/root/copied'
open(FS, 'wb').close()
# Whatever hangs ends the whole.
signal.alarm(40 * int(os.environ['SLOW']))

for path, kind, mode, allowed in FILES:
    attributes(path, kind, mode)
    opens(path, kind, allowed)
    reads(path, kind)
    writes(path, kind)
    changes(path, kind)
    modes(path, mode)
    ready(path, kind)
    maps(path, kind)
    usual = R if allowed is None or R in allowed else RW
    rest(path, kind, usual)
    unusual(path, kind, RW if kind == COMMAND else usual)
    truncates(path, kind)
    attributes(path, kind, mode)

# Directories and links.
for path, mode in ('profiles', 0o755), ('a', 0o700), ('a/jobs', 0o700), \
        ('a/jobs/1', 0o700):
    modes(path, mode)
    expect(path, 'mode', oct(os.stat(path).st_mode & 0o7777), oct(mode))
    expect(path, 'utimes', ok(lambda: os.utime(path, (1, 1))), 'ok')
    expect(path, 'truncate', ok(lambda: os.truncate(path, 0)), 'EISDIR')
ID = [l.split()[1] for l in open('a/status') if l.startswith('id ')][0]
for path in ID, '.':
    expect(path, 'chown', ok(lambda: os.lchown(path, 7, 8)), 'EPERM')
if not REMOTE: # chown -R meets it
    os.lchown('a/jobs/last', 7, 8)
    st = os.lstat('a/jobs/last')
    expect('a/jobs/last', 'chown', (st.st_uid, st.st_gid, oct(st.st_mode)),
           (7, 8, '0o120777'))
expect('.', 'chmod', ok(lambda: os.chmod('.', 0o777)), 'EPERM')

# env, which keeps what it is given.
expect('a/env', 'at first', whole('a/env'), b'E=1\n')
f = os.open('a/env', RW)
expect('a/env', 'a write', os.pwrite(f, b'A=1\nB=\n', 500), 7)
expect('a/env', 'a snapshot', os.pread(f, 100, 0), b'E=1\n')
expect('a/env', 'after it', whole('a/env'), b'E=1\nA=1\nB=\n')
expect('a/env', 'a bad line behind a good one',
       attempt(lambda: os.write(f, b'C=3\n1=1\nD=4\n')), 4)
expect('a/env', 'that one', attempt(lambda: os.write(f, b'1=1\nD=4\n')),
       'EINVAL')
expect('a/env', 'so far', whole('a/env'), b'E=1\nA=1\nB=\nC=3\n')
os.ftruncate(f, 0)
expect('a/env', 'ftruncate', whole('a/env'), b'')
os.close(f)
os.close(os.open('a/env', W | os.O_APPEND))
open('a/env', 'ab').write(b'X=1\n')
open('a/env', 'ab').write(b'Y=2\n')
expect('a/env', 'appended', whole('a/env'), b'X=1\nY=2\n')
open('a/env', 'wb').write(b'Z=3\nX\nX=4')
expect('a/env', 'replaced', whole('a/env'), b'Z=3\nX=4\n')
os.close(os.open('a/env', R | os.O_TRUNC))
os.truncate('a/env', 0)
expect('a/env', 'truncate', whole('a/env'), b'')

# ctl may be opened; only its removal is the end.
expect('a/ctl', 'unlink', ok(lambda: os.unlink('a/ctl')), 'ok')
print('%d wrong' % bad)
sys.exit(bad != 0)
P
# shellcheck disable=SC2046 # nothing, or a word
SLOW=$SLOW python3 "$W/matrix.py" $(is_remote && echo remote) ||
    fail "see above"
cd / || exit 1
exit 0
