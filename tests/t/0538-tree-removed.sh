#!/bin/bash
# What was removed while somebody has it open or stands in it answers as on a
# plain disk: directories, FIFOs, links, and files that O_PATH opened.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
mkdir "$M/a" "$W/plain" || fail "mkdir"

cat >"$W/removed.py" <<'P'
import errno, os, socket, sys
base = sys.argv[1]
os.chdir(base)

def show(what, call):
    try:
        got = call()
    except OSError as e:
        got = errno.errorcode[e.errno]
    print(what + ':', got)

def st(fd):
    s = os.fstat(fd)
    size = 0 if os.path.stat.S_ISDIR(s.st_mode) else s.st_size
    return oct(s.st_mode), s.st_nlink, size, s.st_uid, s.st_gid

def made(name):
    """Each kind of thing, opened."""
    os.mkdir(name + 'dir', 0o750)
    os.mkdir(name + 'at', 0o711)
    os.mkfifo(name + 'fifo', 0o640)
    os.symlink('nowhere', name + 'link')
    open(name + 'file', 'w').write('text')
    socket.socket(socket.AF_UNIX).bind(name + 'socket')
    P, D = os.O_PATH | os.O_NOFOLLOW, os.O_RDONLY | os.O_DIRECTORY
    return {n: os.open(name + n, f) for n, f in (
        ('dir', D), ('at', P), ('fifo', os.O_RDWR), ('link', P),
        ('file', P), ('socket', P))}

def look(how, fds):
    for name, fd in fds.items():
        show('%s, %s' % (how, name), lambda: st(fd))
    d = fds['dir']
    show('its list', lambda: os.listdir(d))
    show('opened again', lambda: os.listdir(
        os.open('.', os.O_RDONLY, dir_fd=d)))
    show('made in it', lambda: os.open('x', os.O_CREAT | os.O_WRONLY,
                                       dir_fd=d))
    show('looked up', lambda: os.stat('x', dir_fd=d))
    show('its mode', lambda: os.fchmod(d, 0o700))
    show('fsync', lambda: os.fsync(d))
    show('a list by O_PATH', lambda: os.listdir(
        '/proc/self/fd/%d' % fds['at']))
    f = fds['fifo']
    show('through the FIFO', lambda: (os.write(f, b'x'), os.read(f, 9)))
    for fd in fds.values():
        os.close(fd)

fds = made('')
for name in fds:
    (os.rmdir if name in ('dir', 'at') else os.unlink)(name)
look('removed', fds)
# Others of these names in their place.
fds = made('')
made('new-')
for name in fds:
    os.rename('new-' + name, name)
look('replaced', fds)
# It has another name still.
f = os.open('fifo', os.O_RDWR)
os.link('fifo', 'other')
os.unlink('fifo')
show('of two names', lambda: st(f))
# A shell stands in it.
os.mkdir('here')
os.chdir('here')
d = os.open('.', os.O_RDONLY)
os.rmdir('../here')
os.close(d)
show('stat', lambda: oct(os.stat('.').st_mode))
show('list', lambda: os.listdir('.'))
show('getcwd', os.getcwd)
show('make', lambda: open('x', 'w'))
os.chdir('..')
show('and out', lambda: sorted(os.listdir('.')))
P
python3 "$W/removed.py" "$W/plain" >"$W/want" || fail "on the disk"
python3 "$W/removed.py" "$M/a/fs/root" >"$W/got" || fail "$(cat "$W/got")"
diff "$W/want" "$W/got" || fail "another answer than a disk's"

# One that the guest has given another name is not gone, nor empty.
mkdir "$M/a/fs/root/moved" && cd "$M/a/fs/root/moved" || exit 1
touch kept
echo 'mv /root/moved /root/elsewhere' >"$M/a/exec"
cat "$M/a/exec"
out=$(ls . 2>&1) && [ "$out" = "" ] && fail "it seems to be empty"
cd / || exit 1
exit 0
