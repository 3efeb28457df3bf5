#!/bin/bash
# Files in fs/ that are open: handed to the kernel, or each read and write
# served (-o direct_io); both sides see one file.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
local_only "passthrough" || exit 77
start_sbxd

# Bytes that the server has read and written.
moved() {
	awk '/^[rw]char/ { n += $2 } END { print n }' \
	    "/proc/$(role 'sbxfs: server')/io"
}

blocks_free() {
	stat -f -c %f w/fs/root
}

# both_sides DIRECTORY MODE
both_sides() {
	python3 - "$1" "$2" "$M/w/exec" <<'P'
import ctypes, errno, mmap, os, sys
where, mode, run = sys.argv[1], sys.argv[2], sys.argv[3]
os.chdir('w/fs/' + where)

def inside(script):
    with open(run, 'w') as f:
        f.write('cd /%s || exit 1\n%s' % (where, script))
    with open(run) as f:
        return f.read()

# what is mapped here is what is there, at once, and the other way
fd = os.open('m', os.O_CREAT | os.O_RDWR)
os.truncate('m', 8192)
if mode == 'passthrough':
    m = mmap.mmap(fd, 8192)
    m[0:5] = b'there'
    assert inside('head -c 5 m') == 'there'
    inside('printf HERE | dd of=m conv=notrunc bs=4 seek=1024 2>&1')
    assert m[4096:4100] == b'HERE', m[4096:4100]
    os.pwrite(fd, b'by write', 100)
    assert m[100:108] == b'by write'
    m.close()
else:
    os.pwrite(fd, b'there', 0)
    assert inside('head -c 5 m') == 'there'
    inside('printf HERE | dd of=m conv=notrunc bs=4 seek=1024 2>&1')
    assert os.pread(fd, 4, 4096) == b'HERE'
# two that write, one that appends, each with an open file of its own
a, b = os.open('m', os.O_WRONLY | os.O_APPEND), os.open('m', os.O_RDONLY)
os.write(a, b'end')
assert os.pread(b, 10, 8192) == b'end'
assert os.fstat(fd).st_size == os.fstat(b).st_size == 8195
os.ftruncate(fd, 4)
assert os.read(b, 100) == b'ther'
os.unlink('m')
os.write(a, b'e')
assert os.pread(b, 10, 0) == b'there'
for f in fd, a, b:
    os.close(f)

# O_DIRECT: what is aligned is written and read
d = os.open('d', os.O_CREAT | os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 8192)
page.write(b'x' * 8192)
assert os.pwritev(d, [page], 0) == 8192
assert os.preadv(d, [page], 4096) == 4096
os.close(d)
assert open('d', 'rb').read() == b'x' * 8192

# holes
h = os.open('d', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
off_t = ctypes.c_long
assert libc.fallocate(h, 3, off_t(0), off_t(4096)) == 0  # punch
assert os.lseek(h, 0, os.SEEK_DATA) == 4096
assert os.lseek(h, 0, os.SEEK_HOLE) == 0
assert os.pread(h, 4097, 0) == b'\0' * 4096 + b'x'
out = os.open('c', os.O_CREAT | os.O_RDWR)
assert os.copy_file_range(h, out, 8192, 0, 10) == 8192
assert os.pread(out, 9000, 0) == b'\0' * 4106 + b'x' * 4096
assert os.sendfile(out, h, 4096, 4096) == 4096
os.close(h)
os.close(out)

# setuid is gone after a write, whoever writes, and after O_TRUNC
for change in (lambda: open('c', 'ab').write(b'x'), lambda: open('c', 'w'),
               lambda: os.truncate('c', 1)):
    os.chmod('c', 0o6755)
    assert os.stat('c').st_mode & 0o7777 == 0o6755
    change()
    assert os.stat('c').st_mode & 0o7777 == 0o755, oct(os.stat('c').st_mode)
for name in 'c', 'd':
    os.unlink(name)
P
}

default=passthrough
! "$B/sbxd" --check -c "$W/sbxd.toml" | grep -q 'no passthrough' ||
    default=direct_io # before Linux 6.9
for option in '' direct_io; do
	mode=${option:-$default}
	start_sbxfs ${option:+-o "$option"}
	cd "$M" || exit 1
	mkdir w || fail "mkdir"
	: >w/fs/root/warm
	before=$(moved)
	head -c 20000000 /dev/urandom >w/fs/root/data
	sum=$(md5sum <w/fs/root/data)
	bytes=$(($(moved) - before))
	case $mode in
	passthrough)
		[ "$bytes" -lt 1000000 ] || fail "not handed over: $bytes bytes"
		;;
	*) [ "$bytes" -ge 80000000 ] || fail "past the server: $bytes" ;;
	esac
	echo 'md5sum </root/data' >w/exec
	eq "$mode: what is there" "$(cat w/exec)" "$sum"
	rm w/fs/root/data
	for where in root tmp; do
		both_sides $where "$mode" || fail "$mode: $where"
	done

	# From an image's layer, which the first write copies up.
	exec 5<w/fs/etc/hostname
	was=$(cat w/fs/etc/hostname)
	echo more >>w/fs/etc/hostname
	eq "$mode: copied up" "$(cat w/fs/etc/hostname)" "$was"$'\n'more
	eq "$mode: the size" "$(stat -c %s w/fs/etc/hostname)" \
	    "$(wc -c <w/fs/etc/hostname)"
	exec 5<&-

	# Nothing holds what has no name and is closed.
	free=$(blocks_free)
	bash -c 'exec 5<>w/fs/root/big; rm w/fs/root/big
	    head -c 30000000 /dev/zero >&5'
	wait_for 5 eval '[ "$(blocks_free)" -ge "$free" ]'
	rmdir w
	cd / || exit 1
	stop_sbxfs
done
exit 0
