#!/bin/bash
# fs/: what cp, tar, git, vim, python and their like do, and who owns it.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir w || fail "mkdir"
R=$M/w/fs/root

# in SCRIPT: what it prints inside.
inside() {
	echo "$1" >w/exec
	cat w/exec
}

as() {
	setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"
}

# Tools.
check "cp -a" cp -a "$TOP/lib" "$R/"
check "as it was" diff -r "$TOP/lib" "$R/lib"
tar -C "$R" -cf "$W/x.tar" lib && mkdir "$R/t" && tar -C "$R/t" -xf "$W/x.tar"
check "tar" diff -r "$TOP/lib" "$R/t/lib"
if command -v git >/dev/null; then
	check "git" sh -e -c "mkdir '$R/g'; cd '$R/g'; git init -q .
	    cp -r '$TOP/sbxfs' .; git add .
	    git -c user.name=a -c user.email=a@b commit -qm x
	    git gc -q; git fsck 2>&1; test -z \"\$(git status --short)\""
fi
printf 'one\n' >"$R/v"
command -v vim >/dev/null && {
	vim -es -u NONE -i NONE -c 'normal otwo' -c wq "$R/v" >/dev/null 2>&1
	eq "vim" "$(cat "$R/v")" $'one\ntwo'
}
sed -i s/one/ONE/ "$R/v"
has "sed -i" "$(inside 'cat /root/v')" ONE
eq "df" "$(df --output=source "$R" | tail -n1)" sbx
check "mv" mv "$R/t" "$R/t2"
eq "find" "$(cd "$R/t2" && find . -type f | sort)" \
    "$(cd "$R" && find ./lib -type f | sort)"
eq "grep -r" "$(cd "$R/t2" && grep -rc include lib | sort)" \
    "$(cd "$TOP" && grep -rc include lib | sort)"
check "dd" dd if="$TOP/sbxfs/fs.c" of="$R/dd" bs=1000 status=none
check "as it was" cmp "$TOP/sbxfs/fs.c" "$R/dd"
eq "tee" "$(seq 9 | tee "$R/tee" | tail -n1; head -n1 "$R/tee")" $'9\n1'
(timeout 3 tail -s .1 -n0 -f "$R/tee" >"$W/tail" & sleep 0.5
    echo 'echo from inside >> /root/tee' >w/exec; wait)
eq "tail -f" "$(cat "$W/tail")" "from inside"
printf 'all: b\nb: a\n\tcp a b; echo made >>b\n' >"$R/Makefile"
echo a >"$R/a"
check "make" make -s -C "$R"
has "make again" "$(make -C "$R")" "Nothing to be done"
eq "made" "$(cat "$R/b")" $'a\nmade'
if command -v rsync >/dev/null; then
	check "rsync" rsync -a --delete "$TOP/lib/" "$R/t2/lib"
	check "rsync -X" rsync -aX --checksum "$TOP/agent/" "$R/t2/agent"
	check "as it was" diff -r "$TOP/agent" "$R/t2/agent"
fi
check "rm -r" rm -r "$R/t2"
eq "less" "$(less -FX "$R/a" | cat)" a
if command -v nano >/dev/null && command -v script >/dev/null; then
	# shellcheck disable=SC2016 # \e is nano's
	(sleep 1; printf 'nano '; sleep 0.5; printf '\017\r'; sleep 0.5
	    printf '\030') | TERM=xterm timeout 20 script -qec \
	    "nano -I $R/a" /dev/null >/dev/null
	eq "nano" "$(cat "$R/a")" "nano a"
fi

# Locks are among those who use the mount.
(flock -x 9; touch "$R/locked"; sleep 1) 9>"$R/lock" &
wait_for 5 test -e "$R/locked"
flock -n "$R/lock" true && fail "a lock is no lock"
flock -w 9 "$R/lock" true || fail "the lock stays"
check "fcntl locks" python3 - "$R/lock" <<'P'
import fcntl, os, sys
a = open(sys.argv[1], 'r+')
fcntl.lockf(a, fcntl.LOCK_EX, 10, 5)
if (pid := os.fork()) == 0:
    b = open(sys.argv[1], 'r+')
    fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)
    try:
        fcntl.lockf(b, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 14)
    except BlockingIOError:
        os._exit(0)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
check "pathlib, shutil" python3 - "$R" "$TOP/lib" <<'P'
import filecmp, pathlib, shutil, sys
top = pathlib.Path(sys.argv[1], 'py')
shutil.copytree(sys.argv[2], top)
shutil.move(top, top.with_name('py2'))
top = top.with_name('py2')
cmp = filecmp.dircmp(sys.argv[2], top)
assert cmp.common_files and not cmp.left_only + cmp.right_only + cmp.diff_files
(top / 'x' / 'y').mkdir(parents=True)
(top / 'x' / 'y' / 'f').write_text('text\n')
(top / 'x' / 'y' / 'f').rename(top / 'x' / 'g')
assert (top / 'x' / 'g').read_text() == 'text\n'
assert sorted(p.name for p in top.rglob('x*')) == ['x']
shutil.make_archive(str(top), 'gztar', top)
shutil.rmtree(top)
assert not top.exists()
P

# shellcheck disable=SC2046 # nothing, or a word
check "python" python3 - "$R" $(is_remote && echo remote) <<'P'
import ctypes, errno, mmap, os, shutil, sqlite3, stat, sys
os.chdir(sys.argv[1])

def fails(name, f, *args):
    try:
        f(*args)
    except OSError as e:
        assert errno.errorcode[e.errno] == name, (f, args, e)
        return
    raise AssertionError((f, args))

# an open file without a name
f = open('unl', 'w+')
f.write('x' * 100)
f.flush()
os.unlink('unl')
assert os.fstat(f.fileno()).st_size == 100
f.truncate(7)
os.fchmod(f.fileno(), 0o600)
os.utime(f.fileno(), ns=(5, 7))
st = os.fstat(f.fileno())
assert (st.st_size, st.st_mtime_ns, stat.S_IMODE(st.st_mode)) == (7, 7, 0o600)
f.seek(0)
assert f.read() == 'x' * 7
f.close()

open('s', 'w').write('hello')
os.truncate('s', 3)
assert open('s').read() == 'hel'
os.utime('s', ns=(5, 7))
assert os.stat('s').st_mtime_ns == 7
os.chmod('s', 0o4751)
assert stat.S_IMODE(os.stat('s').st_mode) == 0o4751
fails('EEXIST', os.open, 's', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
fails('ENOTDIR', os.mkdir, 's/x')
fails('EISDIR', os.open, '.', os.O_WRONLY)
fails('ENAMETOOLONG', os.mkdir, 'x' * 256)

# holes, ranges, maps
open('big', 'wb').truncate(1 << 20)
fd = os.open('big', os.O_RDWR)
os.pwrite(fd, b'z', 500000)
assert os.lseek(fd, 0, os.SEEK_DATA) <= 500000
os.posix_fallocate(fd, 0, 2 << 20)
assert os.stat('big').st_size == 2 << 20
m = mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
assert m[500000:500001] == b'z'
out = os.open('big2', os.O_CREAT | os.O_RDWR)
os.lseek(fd, 0, os.SEEK_SET)
n = 0
while n < 2 << 20:
    more = os.copy_file_range(fd, out, (2 << 20) - n)
    assert more > 0
    n += more
os.fsync(out)
os.fdatasync(out)
assert open('big2', 'rb').read() == open('big', 'rb').read()

# names
os.mkdir('d1')
open('d1/f', 'w').write('1')
g = open('d1/f')
os.rename('d1', 'd2')
assert open('d2/f').read() == '1' and g.read() == '1'
fails('ENOENT', os.stat, 'd1')
fails('ENOTEMPTY', os.rmdir, 'd2')
fails('EINVAL', os.rename, 'd2', 'd2/x')
libc = ctypes.CDLL(None, use_errno=True)
def renameat2(a, b, flags):
    if libc.renameat2(-100, a, -100, b, flags):
        raise OSError(ctypes.get_errno(), '')
open('ea', 'w').write('A')
open('eb', 'w').write('B')
renameat2(b'ea', b'eb', 2)
assert open('ea').read() == 'B' and open('eb').read() == 'A'
fails('EEXIST', renameat2, b'ea', b'eb', 1)
os.link('ea', 'ec')
assert os.stat('ec').st_nlink == 2
assert os.stat('ea').st_ino == os.stat('ec').st_ino
os.unlink('ea')
assert os.stat('ec').st_nlink == 1
open('ec', 'w').write('more')
os.link('ec', 'ed')
open('ed', 'a').write(' and more')
assert os.stat('ec').st_size == os.stat('ed').st_size == 13
os.truncate('ec', 1)
assert os.stat('ed').st_size == 1 and open('ed').read() == 'm'

# extended attributes: user.*, of files and directories
def attributes():
    for path in 'ec', 'd2', '../tmp':
        os.setxattr(path, 'user.a', b'value')
        os.setxattr(path, 'user.empty', b'')
        assert os.getxattr(path, 'user.a') == b'value'
        assert os.getxattr(path, 'user.empty') == b''
        assert sorted(os.listxattr(path)) == ['user.a', 'user.empty']
        fails('EEXIST', os.setxattr, path, 'user.a', b'', os.XATTR_CREATE)
        fails('ENODATA', os.setxattr, path, 'user.b', b'', os.XATTR_REPLACE)
        os.removexattr(path, 'user.a')
        os.removexattr(path, 'user.empty')
        fails('ENODATA', os.getxattr, path, 'user.a')
        fails('ENODATA', os.removexattr, path, 'user.a')
        for name in 'security.x', 'trusted.x':
            fails('ENOTSUP', os.setxattr, path, name, b'x')
        for name in 'security.capability', 'system.posix_acl_access', 'trusted.x':
            fails('ENOTSUP', os.getxattr, path, name)
        assert os.listxattr(path) == []
    big = os.urandom(60000)
    os.setxattr('ed', 'user.big', big)
    assert os.getxattr('ec', 'user.big') == big
    open('w', 'w').write('x')
    g = open('w', 'a')
    os.unlink('w')
    os.setxattr(g.fileno(), 'user.gone', b'here')
    assert os.getxattr(g.fileno(), 'user.gone') == b'here'
    g.close()

# tmpfs has them since Linux 6.6
if tuple(map(int, os.uname().release.split('.')[:2])) >= (6, 6):
    attributes()
for path in '../../env', '../../../ctl', '../..':
    fails('ENOTSUP', os.setxattr, path, 'user.a', b'')
    fails('ENOTSUP', os.getxattr, path, 'user.a')
    assert os.listxattr(path) == []
os.symlink('s', 'l')
fails('EPERM', lambda: os.setxattr('l', 'user.a', b'', follow_symlinks=False))
assert os.readlink('l') == 's'
os.chown('l', 0, 0, follow_symlinks=False)
os.mkfifo('ff')
assert stat.S_ISFIFO(os.stat('ff').st_mode)
fails('EPERM', os.mknod, 'dev', 0o600 | stat.S_IFCHR, os.makedev(1, 3))
os.makedirs('/'.join(['deep' * 10] * 30))
shutil.rmtree('deep' * 10)
# deeper than one system call can say, and than the agent is asked for
here = os.open('.', os.O_RDONLY)
for i in range(60 if len(sys.argv) < 3 else 18):
    os.mkdir('d' * 200)
    os.chdir('d' * 200)
open('deepest', 'w').write('down here')
os.symlink('deepest', 'l')
assert open('l').read() == 'down here' and len(os.listdir('.')) == 2
os.rename('l', 'l2')
os.fchdir(here)
shutil.rmtree('d' * 200)
os.mkdir('many')
for i in range(2000):
    open('many/%d' % i, 'w').close()
assert len(os.listdir('many')) == 2000
assert len(list(os.scandir('many'))) == 2000
shutil.rmtree('many')

db = sqlite3.connect('db')
db.execute('create table t(a)')
db.executemany('insert into t values(?)', [(i,) for i in range(1000)])
db.commit()
assert db.execute('select count(*) from t').fetchone()[0] == 1000
assert os.statvfs('.').f_blocks > 0
for path, name in (('../tmp', 'EBUSY'), ('../usr', 'EBUSY'),
                   ('../proc', 'EBUSY')):
    fails(name, os.rmdir, path)
    fails(name, os.rename, path, '../elsewhere')
fails('EPERM', os.mkdir, '../proc/x')
fails('EPERM', os.mkdir, '../dev/x')
fails('EXDEV', os.link, 's', '../tmp/s')
fails('EXDEV', os.rename, 's', '../tmp/s')
assert os.listdir('../proc') == os.listdir('../dev') == []
fails('EINVAL', os.chown, 's', 70000, 0)
fails('EROFS', os.mkdir, '../usr/x')
P
check "mv to another tree copies" mv "$R/v" "$M/w/fs/tmp/v"
has "in its /tmp" "$(inside 'cat /tmp/v')" ONE
eq "/usr" "$(ls "$M/w/fs/usr")" "$(ls /usr)"
eq "/usr/bin/env" "$(cmp /usr/bin/env "$M/w/fs/usr/bin/env" && echo same)" same

# Both sides see one file, at once.
inside 'echo made inside > /root/in; mkdir -p /root/dir' >/dev/null
eq "made inside" "$(cat "$R/in")" "made inside"
ls "$R/dir" >/dev/null
inside 'echo new > /root/in; touch /root/dir/x; rm -rf /root/lib' >/dev/null
eq "changed inside" "$(cat "$R/in") $(echo "$R"/dir/* | sed 's|.*/||')" "new x"
[ ! -e "$R/lib" ] || fail "removed inside, and still seen"
exec 5<"$R/in"
inside 'echo longer than before >> /root/in' >/dev/null
eq "an open file's size" "$(stat -Lc %s /dev/fd/5)" 23
exec 5<&-
python3 -c "
import os, sys
fd = os.open('$R/ap', os.O_CREAT | os.O_APPEND | os.O_WRONLY)
os.write(fd, b'a')
open('$M/w/exec', 'w').write('printf INSIDE >> /root/ap')
open('$M/w/exec').read()
os.write(fd, b'b')"
eq "both append" "$(cat "$R/ap")" aINSIDEb

# Owners: root inside is the owner outside.
eq "root's" "$(inside 'stat -c %u:%g /root/s /root/big' | tr '\n' ' ')" \
    "0:0 0:0 "
if local_only "owners"; then
	echo x >"$M/w/fs/tmp/t" && chown 33:44 "$M/w/fs/tmp/t"
	eq "another's" "$(stat -c %u:%g "$M/w/fs/tmp/t")" 33:44
	eq "inside as well" "$(inside 'stat -c %u:%g /tmp/t')" 33:44
	chown 1000:1000 w
	eq "as its new owner's" "$(stat -c %u:%g "$R/s")" 1000:1000
	check "the owner edits" as 1000 sh -c "echo o >'$R/o'; echo p >>'$R/in'"
	eq "is root's inside" "$(inside 'stat -c %u:%g /root/o')" 0:0
	eq "others may not" "$(as 1001 cat "$R/o" 2>&1 | grep -c denied)" 1
	chown 0:0 w
fi

# While it is stopped.
echo stop >w/ctl
eq "reads while stopped" "$(cat "$R/ap")" aINSIDEb
check "writes while stopped" sh -c "echo stopped >'$R/stopped'"
echo start >w/ctl
eq "after its start" "$(inside 'cat /root/stopped')" stopped
server=$(role 'sbxfs: server')
n=$(find "/proc/$server/fd" -mindepth 1 | wc -l)
[ "$n" -lt 20 ] || fail "$n descriptors are open"
cd / || exit 1
exit 0
