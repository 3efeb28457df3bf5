#!/bin/bash
# Images from a directory and from a tar file: what is in them is the root of
# a sandbox; the image stays as it is; an archive that wants out stays in.
# limit 120
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
need_tool tar ldd

# root DIR: a root file system of a few programs and what they load.
root() {
	local p lib

	mkdir -p "$1"/{bin,etc,root,tmp,proc,dev,sys,usr}
	for p in sh cat ls id stat touch sleep; do
		cp "$(command -v $p)" "$1/bin/$p" || return 1
		for lib in $(ldd "$(command -v $p)" |
		    grep -o '/[^ )]*'); do
			mkdir -p "$1${lib%/*}"
			cp -n "$lib" "$1$lib"
		done
	done
	echo "of the image" >"$1/etc/mark"
	echo theirs >"$1/etc/other"
	chown 7:8 "$1/etc/other"
	chmod 640 "$1/etc/other"
	ln -s etc/mark "$1/link"
	mkdir "$1/gone" "$1/kept"
	echo below >"$1/gone/f"
}

image=$W/image
root "$image" || fail "no root file system"
tar -C "$image" -czf "$W/image.tar.gz" . || fail tar
sum=$(tar -C "$image" --sort=name -cf - . | sha256sum)
chmod 755 "$W/image"

# Names that lead out of the root, in each way an archive can write one.
/usr/bin/python3 - "$W/evil.tar" "$W" <<'END'
import io, sys, tarfile
out = tarfile.open(sys.argv[1], 'w')
def add(name, kind=tarfile.REGTYPE, link='', data=b'evil'):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    out.addfile(info, io.BytesIO(data))
add('good')
add('../../../../../../../../' + sys.argv[2].lstrip('/') + '/out1')
add(sys.argv[2] + '/out2')
add('dir', tarfile.SYMTYPE, sys.argv[2])
add('dir/out3')
add('hard', tarfile.LNKTYPE, '../../../../../../etc/passwd')
add('device', tarfile.BLKTYPE)
out.close()
END

start_sbxd '[images.d]' "path = \"$image\"" \
    '[images.t]' "path = \"$W/image.tar.gz\"" \
    '[images.evil]' "path = \"$W/evil.tar\"" \
    '[pool.base.dir]' 'image = "d"' 'min = 0' \
    '[pool.base.tar]' 'image = "t"' 'min = 1' \
    '[pool.base.evil]' 'image = "evil"' 'min = 0'
start_sbxfs

for profile in dir tar; do
	echo "create $profile profile=$profile" >"$M/ctl" ||
	    fail "create: $(tail -n1 "$M/errors")"
	fs=$M/$profile/fs
	eq "mark from outside" "$(cat "$fs/etc/mark")" "of the image"
	echo 'cat /link; stat -c "%u %g %a" /etc/other; ls /gone
	    cat /etc/other 2>/dev/null; echo changed >/etc/mark
	    echo new >/new; id -u' >"$M/$profile/exec"
	eq "inside" "$(cat "$M/$profile/exec")" "of the image
7 8 640
f
0"
	eq "changed" "$(cat "$fs/etc/mark")" changed
	eq "new" "$(cat "$fs/new")" new
	has "status" "$(cat "$M/$profile/status")" "profile $profile"
	[ ! -e "$fs/usr/bin/gcc" ] || fail "the host's /usr is in the image"
	echo "create $profile-2 profile=$profile" >"$M/ctl" || fail "second"
	eq "the next one begins anew" "$(cat "$M/$profile-2/fs/etc/mark")" \
	    "of the image"
	[ ! -e "$M/$profile-2/fs/new" ] || fail "two share a disk"
done
eq "the image is as it was" \
    "$(tar -C "$image" --sort=name -cf - . | sha256sum)" "$sum"

echo 'create evil profile=evil' >"$M/ctl" 2>/dev/null
for out in out1 out2 out3; do
	[ ! -e "$W/$out" ] || fail "the archive wrote $out outside"
done
if [ -d "$M/evil" ]; then
	[ ! -s "$M/evil/fs/hard" ] || fail "a hard link to the host's passwd"
	[ ! -b "$M/evil/fs/device" ] || fail "a device of the archive"
fi

# What cannot be an image is said where it is configured.
for bad in "$W/nothing" /dev/null; do
	write_config '[images.x]' "path = \"$bad\""
	"$B/sbxd" --check -c "$W/sbxd.toml" >"$W/out" 2>&1 &&
	    fail "--check takes $bad as an image"
	has "names the path" "$(cat "$W/out")" "$bad"
	has "names the line" "$(cat "$W/out")" "line "
done
exit 0
