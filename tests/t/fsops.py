"""The same random file operations in two directories; each result, and now
and then all that is there, must be equal.

    fsops.py DIRECTORY PLAIN COUNT SEED [no-mmap]
"""
import collections
import ctypes
import errno
import mmap
import os
import random
import stat
import sys

NAMES = 'abcd'
FILES_MAX = 8
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long,
                           ctypes.c_long]


def called(r):
    if r < 0:
        raise OSError(ctypes.get_errno(), 'libc')
    return r


def shown(st):
    """What must be equal of attributes."""
    what = [stat.filemode(st.st_mode), st.st_uid, st.st_gid]
    if not stat.S_ISDIR(st.st_mode):
        what += [st.st_nlink, st.st_size]
    # A FIFO's times stay in the mount, as what is written to it does.
    if stat.S_ISFIFO(st.st_mode):
        return what
    # Times that were set are long ago; others are of now.
    old = st.st_mtime_ns if st.st_mtime < 1e9 else 'now'
    return what + [old]


def tried(f, *args):
    """What it returns, or the name of its errno."""
    try:
        return f(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    except ValueError as e:  # mmap of nothing
        return str(e)


def content(path):
    with open(path, 'rb') as f:
        return f.read()


def attributes(path):
    return {x: os.getxattr(path, x) for x in sorted(os.listxattr(path))}


class Side:
    """One of the directories, with what is open in it."""

    def __init__(self, top):
        self.top = top
        self.files = {}

    def at(self, path):
        return os.path.join(self.top, path)

    def open(self, key, path, flags, mode):
        fd = os.open(self.at(path), flags, mode)
        what = shown(os.fstat(fd))
        if what[0][0] == 'p':  # its server would not know that it is open
            os.close(fd)
        else:
            self.files[key] = fd
        return what

    def close(self, key):
        os.close(self.files.pop(key))

    def read(self, key, n):
        return os.read(self.files[key], n)

    def pread(self, key, n, off):
        return os.pread(self.files[key], n, off)

    def write(self, key, data):
        return os.write(self.files[key], data)

    def pwrite(self, key, data, off):
        return os.pwrite(self.files[key], data, off)

    def seek(self, key, off, how):
        if stat.S_ISDIR(os.fstat(self.files[key]).st_mode):
            return None  # each file system has its own numbers
        return os.lseek(self.files[key], off, how)

    def fstat(self, key):
        return shown(os.fstat(self.files[key]))

    def ftruncate(self, key, size):
        os.ftruncate(self.files[key], size)

    def fchmod(self, key, mode):
        os.fchmod(self.files[key], mode)

    def fsync(self, key):
        os.fsync(self.files[key])

    def fallocate(self, key, mode, off, size):
        called(LIBC.fallocate(self.files[key], mode, off, size))

    def copy(self, key, to, size, off, to_off):
        # As who copies does. The kernel goes by the length that it knows,
        # and by another name of the file it may have grown since.
        os.fstat(self.files[key])
        return os.copy_file_range(self.files[key], self.files[to], size,
                                  off, to_off)

    def sendfile(self, key, to, size):
        if os.path.sameopenfile(self.files[key], self.files[to]):
            return None  # what is in the pipe may be the file's own pages
        return os.sendfile(self.files[to], self.files[key], 0, size)

    def mmap(self, key, off, data):
        if os.fstat(self.files[key]).st_size < off + len(data):
            return 'too small'
        with mmap.mmap(self.files[key], off + len(data)) as m:
            was = bytes(m)
            m[off:] = data
            return was

    def stat(self, path):
        return shown(os.stat(self.at(path)))

    def lstat(self, path):
        return shown(os.lstat(self.at(path)))

    def same(self, path, other):
        return os.path.samefile(self.at(path), self.at(other))

    def list(self, path):
        with os.scandir(self.at(path)) as entries:
            return sorted((e.name, e.is_dir(follow_symlinks=False),
                           e.is_symlink()) for e in entries)

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def mkfifo(self, path, mode):
        os.mkfifo(self.at(path), mode)

    def symlink(self, target, path):
        os.symlink(target, self.at(path))

    def readlink(self, path):
        return os.readlink(self.at(path))

    def link(self, path, to):
        os.link(self.at(path), self.at(to), follow_symlinks=False)

    def unlink(self, path):
        os.unlink(self.at(path))

    def rmdir(self, path):
        os.rmdir(self.at(path))

    def rename(self, path, to, flags):
        called(LIBC.renameat2(-100, os.fsencode(self.at(path)), -100,
                              os.fsencode(self.at(to)), flags))

    def truncate(self, path, size):
        os.truncate(self.at(path), size)

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utime(self, path, ns):
        os.utime(self.at(path), ns=(ns, ns), follow_symlinks=False)

    def access(self, path, how):
        return os.access(self.at(path), how)

    def setxattr(self, path, name, value, flags):
        os.setxattr(self.at(path), name, value, flags)

    def getxattr(self, path, name):
        return os.getxattr(self.at(path), name)

    def removexattr(self, path, name):
        os.removexattr(self.at(path), name)

    def listxattr(self, path):
        return sorted(os.listxattr(self.at(path)))

    def everything(self):
        """All that can be seen, by path."""
        found = {}
        for where, dirs, files in os.walk(self.top):
            for name in dirs + files:
                path = os.path.join(where, name)
                st = tried(os.lstat, path)
                if isinstance(st, str):
                    found[os.path.relpath(path, self.top)] = [st]
                    continue
                what = shown(st)
                if stat.S_ISREG(st.st_mode):
                    what += [tried(content, path), tried(attributes, path)]
                elif stat.S_ISLNK(st.st_mode):
                    what.append(os.readlink(path))
                found[os.path.relpath(path, self.top)] = what
        return found


class Generator:
    """The operations, one after the other."""

    def __init__(self, seed, with_mmap):
        self.r = random.Random(seed)
        self.open = []
        self.with_mmap = with_mmap
        self.keys = 0
        self.kinds = [name[5:] for name in dir(self)
                      if name.startswith('make_')]
        if not with_mmap:
            self.kinds.remove('mmap')
        # files are made and written more often than anything else
        self.kinds += ['open', 'write', 'pwrite'] * 3 + ['stat', 'read'] * 2

    def path(self):
        return '/'.join(self.r.choice(NAMES)
                        for _ in range(self.r.choice((1, 1, 1, 2, 2, 3))))

    def key(self):
        return self.r.choice(self.open)

    def off(self):
        return self.r.choice((0, 1, 100, 4095, 4096, 5000, 65536, 100001))

    def size(self):
        return self.r.choice((0, 1, 10, 512, 4096, 4097, 20000))

    def data(self):
        return bytes([self.r.randrange(256)]) * self.size()

    def mode(self):
        return self.r.choice((0, 0o400, 0o644, 0o755, 0o1777, 0o2755, 0o4711,
                              0o7777))

    def next(self):
        """The name of an operation, and its arguments."""
        if len(self.open) >= FILES_MAX:
            return self.make_close()
        while True:
            made = getattr(self, 'make_' + self.r.choice(self.kinds))
            try:
                return made()
            except IndexError:  # nothing is open
                continue

    def make_open(self):
        flags = self.r.choice((os.O_RDONLY, os.O_WRONLY, os.O_RDWR))
        for flag in (os.O_CREAT, os.O_CREAT, os.O_TRUNC, os.O_EXCL,
                     os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY):
            if self.r.random() < (0.05 if flag == os.O_DIRECTORY else 0.35):
                flags |= flag
        # O_CREAT with O_DIRECTORY is another thing from kernel to kernel
        if flags & os.O_DIRECTORY:
            flags &= ~os.O_CREAT
        self.keys += 1
        return 'open', self.keys, self.path(), flags | os.O_NONBLOCK, \
            self.mode()

    def make_close(self):
        return 'close', self.key()

    def make_read(self):
        return 'read', self.key(), self.size()

    def make_pread(self):
        return 'pread', self.key(), self.size(), self.off()

    def make_write(self):
        return 'write', self.key(), self.data()

    def make_pwrite(self):
        return 'pwrite', self.key(), self.data(), self.off()

    def make_seek(self):
        return 'seek', self.key(), self.off(), self.r.choice(
            (os.SEEK_SET, os.SEEK_END, os.SEEK_DATA, os.SEEK_HOLE))

    def make_fstat(self):
        return 'fstat', self.key()

    def make_ftruncate(self):
        return 'ftruncate', self.key(), self.off()

    def make_fchmod(self):
        return 'fchmod', self.key(), self.mode()

    def make_fsync(self):
        return 'fsync', self.key()

    def make_fallocate(self):
        # allocate; keeping the size; punch (what else there is, an overlay
        # takes setuid bits away for before it refuses it)
        return 'fallocate', self.key(), self.r.choice((0, 1, 3, 3)), \
            self.off(), self.size()

    def make_copy(self):
        return 'copy', self.key(), self.key(), self.size(), self.off(), \
            self.off()

    def make_sendfile(self):
        return 'sendfile', self.key(), self.key(), self.size()

    def make_mmap(self):
        return 'mmap', self.key(), self.off(), b'mapped'

    def make_stat(self):
        return 'stat', self.path()

    def make_lstat(self):
        return 'lstat', self.path()

    def make_same(self):
        return 'same', self.path(), self.path()

    def make_list(self):
        return 'list', self.r.choice(('.', self.path()))

    def make_mkdir(self):
        return 'mkdir', self.path(), self.mode()

    def make_mkfifo(self):
        return 'mkfifo', self.path(), self.mode()

    def make_symlink(self):
        return 'symlink', self.r.choice(
            ('a', 'b/c', './d', '../cmp/a', 'none', 'a/')), self.path()

    def make_readlink(self):
        return 'readlink', self.path()

    def make_link(self):
        return 'link', self.path(), self.path()

    def make_unlink(self):
        return 'unlink', self.path()

    def make_rmdir(self):
        return 'rmdir', self.path()

    def make_rename(self):
        return 'rename', self.path(), self.path(), self.r.choice(
            (0, 0, 0, 1, 2, 3, 8))

    def make_truncate(self):
        return 'truncate', self.path(), self.off()

    def make_chmod(self):
        return 'chmod', self.path(), self.mode()

    def make_chown(self):
        return 'chown', self.path(), self.r.choice((-1, 0, 33, 1000)), \
            self.r.choice((-1, 0, 44))

    def make_utime(self):
        return 'utime', self.path(), self.r.randrange(10 ** 17)

    def make_access(self):
        return 'access', self.path(), self.r.choice(
            (os.F_OK, os.R_OK, os.W_OK))

    def make_setxattr(self):
        return 'setxattr', self.path(), self.r.choice(('user.a', 'user.b')), \
            self.data()[:100], self.r.choice((0, 0, 1, 2))

    def make_getxattr(self):
        return 'getxattr', self.path(), 'user.a'

    def make_removexattr(self):
        return 'removexattr', self.path(), 'user.b'

    def make_listxattr(self):
        return 'listxattr', self.path()


def short(x):
    text = repr(x)
    return text if len(text) < 200 else text[:200] + '...'


def different(sides):
    """What is not equal of all that is there, as text."""
    a, b = (side.everything() for side in sides)
    for path in sorted(set(a) | set(b)):
        if a.get(path) != b.get(path):
            pairs = zip(a.get(path) or ['gone'], b.get(path) or ['gone'])
            return f'{path}: ' + ', '.join(
                f'{short(x)} / {short(y)}' for x, y in pairs if x != y)
    return None


def main(top, plain, count, seed, *more):
    os.umask(0)
    sides = [Side(top), Side(plain)]
    generator = Generator(seed, 'no-mmap' not in more)
    last = collections.deque(maxlen=20)
    failed = collections.Counter()

    def stop(text):
        for op, what in last:
            print('   ', short(op), '->', short(what))
        sys.exit(f'seed {seed}: {text}')

    for i in range(int(count)):
        op = generator.next()
        a, b = (tried(getattr(side, op[0]), *op[1:]) for side in sides)
        last.append((op, b))
        if a != b:
            stop(f'operation {i}: {short(op)}: {short(a)} / {short(b)}')
        if isinstance(a, str):
            failed[op[0]] += 1
        if op[0] == 'open' and isinstance(a, list) and a[0][0] != 'p':
            generator.open.append(op[1])
        elif op[0] == 'close':
            generator.open.remove(op[1])
        if i % 500 == 0 and (text := different(sides)):
            stop(f'after operation {i}: {text}')
    if text := different(sides):
        stop(f'at the end: {text}')
    print(f'seed {seed}: {count} operations, {sum(failed.values())} of them '
          'refused')


if __name__ == '__main__':
    main(*sys.argv[1:])
