"""Large numbers and long names do in one directory what they do in another:
each step is done in both, and what comes of it, or its errno, is compared.

    edges.py PLAIN FS_DIRECTORY [remote]

Of a remote mount paths end at 4095 bytes.
"""
import ctypes
import errno
import os
import sys

G = 1 << 30
libc = ctypes.CDLL(None, use_errno=True)
differ = []


def result(what, top):
    try:
        return what(top)
    except OSError as e:
        return errno.errorcode[e.errno]


def same(name, what):
    a, b = (result(what, top) for top in sys.argv[1:3])
    if a != b:
        differ.append('%s: plain %.200r, here %.200r' % (name, a, b))


def opened(name, flags, f):
    def run(top):
        fd = os.open(top + '/' + name, flags, 0o644)
        try:
            return f(fd)
        finally:
            os.close(fd)
    return run


RW = os.O_RDWR | os.O_CREAT


def named(name):
    def run(top):
        path = os.fsencode(top) + b'/' + name
        os.close(os.open(path, RW))
        os.rename(path, path + b'y' if len(name) < 255 else path[:-1] + b'y')
        found = sorted(n for n in os.listdir(os.fsencode(top)))
        for n in found:
            os.unlink(os.fsencode(top) + b'/' + n)
        return found
    return run


for n in 1, 100, 254, 255, 256, 1000:
    for char in b'x', 'é'.encode(), b'\xff', b'\x01', b'"', b'\\':
        name = (char * n)[:n]
        same('a name of %d times %r' % (n, char), named(name))
        same('a directory of %d times %r' % (n, char), lambda top: [
            os.mkdir(os.fsencode(top) + b'/' + name),
            os.rmdir(os.fsencode(top) + b'/' + name)])
        same('a link of %d times %r' % (n, char), lambda top: [
            os.symlink(name, os.fsencode(top) + b'/l'),
            os.readlink(os.fsencode(top) + b'/l'),
            os.unlink(os.fsencode(top) + b'/l')])
for n in 4094, 4095, 4096:
    same('a link to %d bytes' % n, lambda top: [
        os.symlink('x' * n, top + '/l'), os.readlink(top + '/l'),
        os.unlink(top + '/l')])
    same('a path of %d bytes' % n, lambda top: os.stat(
        top + '/' + './' * ((n - len(top) - 1) // 2) + '.' * (
            (n - len(top) - 1) % 2)).st_nlink)

# One file of 5 GiB, which are not there.
same('truncate', lambda top: os.truncate(top + '/big', 5 * G))
same('made', opened('big', RW, lambda fd: os.ftruncate(fd, 5 * G)))
for name, f in (
        ('size', lambda fd: os.fstat(fd).st_size),
        ('at its end', lambda fd: os.pread(fd, 100, 5 * G - 7)),
        ('beyond', lambda fd: os.pread(fd, 100, 5 * G)),
        ('far beyond', lambda fd: os.pread(fd, 100, 1 << 50)),
        ('behind 4 GiB', lambda fd: os.pwrite(fd, b'here', 4 * G + 3)),
        ('behind 2 GiB', lambda fd: os.pwrite(fd, b'there', 2 * G - 3)),
        ('read', lambda fd: os.pread(fd, 8, 4 * G + 1)),
        ('not 4 GiB less', lambda fd: os.pread(fd, 8, 1)),
        ('read there', lambda fd: os.pread(fd, 8, 2 * G - 3)),
        ('seek data', lambda fd: os.lseek(fd, 3 * G, os.SEEK_DATA) // 65536),
        ('seek hole', lambda fd: os.lseek(fd, 0, os.SEEK_HOLE)),
        ('seek data beyond', lambda fd: os.lseek(fd, 5 * G, os.SEEK_DATA)),
        ('seek end', lambda fd: os.lseek(fd, -3, os.SEEK_END)),
        ('append', lambda fd: os.pwrite(fd, b'end', 5 * G)),
        ('its size', lambda fd: os.fstat(fd).st_size),
        ('blocks', lambda fd: os.fstat(fd).st_blocks < 2000),
        ('cut', lambda fd: os.ftruncate(fd, 4 * G + 4)),
        ('read of it', lambda fd: os.pread(fd, 8, 4 * G + 1)),
        ('copied', lambda fd: os.copy_file_range(
            fd, fd, 100, 4 * G + 1, 6 * G)),
        ('the copy', lambda fd: os.pread(fd, 100, 6 * G)),
        ('at 2^40', lambda fd: os.pwrite(fd, b'far', 1 << 40)),
        ('size 2^40', lambda fd: os.fstat(fd).st_size),
        ('read at 2^40', lambda fd: os.pread(fd, 9, (1 << 40) - 1)),
        ('punched', lambda fd: libc.fallocate(
            fd, 3, ctypes.c_long(1 << 40), ctypes.c_long(4096))),
        ('punched at', lambda fd: os.pread(fd, 9, (1 << 40) - 1)),
        ('at the last byte', lambda fd: os.pread(fd, 1, (1 << 63) - 2)),
        ('over the last', lambda fd: os.pread(fd, 9, (1 << 63) - 2)),
        ('at less than none', lambda fd: os.pread(fd, 1, -1)),
        ('nothing', lambda fd: os.pread(fd, 0, 0)),
        ('writes nothing', lambda fd: os.pwrite(fd, b'', 1 << 41)),
        ('size', lambda fd: os.fstat(fd).st_size),
        ('a cut below none', lambda fd: os.ftruncate(fd, -1)),
        ('in one read', lambda fd: len(os.pread(fd, 40 << 20, 0))),
        ('in one write', lambda fd: os.pwrite(fd, b'x' * (9 << 20), 5)),
        ('in many', lambda fd: os.preadv(fd, [bytearray(1)] * 1024, 0)),
        ('cut to none', lambda fd: os.ftruncate(fd, 0)),
        ('read of none', lambda fd: os.pread(fd, 9, 0))):
    same(name, opened('big', os.O_RDWR, f))
same('read only, written', opened('big', os.O_RDONLY, lambda fd: os.pwrite(
    fd, b'x', 1 << 40)))
same('write only, read', opened('big', os.O_WRONLY, lambda fd: os.pread(
    fd, 1, 0)))

# 100,000 names, which the case has made in both.
same('which', lambda top: sorted(os.listdir(top + '/many')))
same('their types', lambda top: sum(
    e.is_file(follow_symlinks=False) for e in os.scandir(top + '/many')))
same('one of them', lambda top: os.stat(top + '/many/77777').st_size)
same('none of them', lambda top: os.stat(top + '/many/100000').st_size)
same('not empty', lambda top: os.rmdir(top + '/many'))


def deep(top):
    """A path beyond what one call takes, by steps."""
    here = os.open('.', os.O_RDONLY)
    os.chdir(top)
    depth = 0
    try:
        while depth < 30:
            os.mkdir('d' * 200)
            os.chdir('d' * 200)
            depth += 1
    except OSError as e:
        return depth, errno.errorcode[e.errno]
    finally:
        os.fchdir(here)
        os.close(here)
    return depth,


if not sys.argv[3:]:
    same('deep', deep)
elif deep(sys.argv[2])[1:] != (errno.errorcode[errno.ENAMETOOLONG],):
    differ.append('deep: no ENAMETOOLONG')
if differ:
    sys.exit('\n'.join(differ))
