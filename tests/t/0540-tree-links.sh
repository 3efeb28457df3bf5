#!/bin/bash
# No link that a guest makes leads outside its fs/, nor does what it swaps.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir w || fail "mkdir"
R=$M/w/fs/root
canary=$W/canary
mkdir "$W/out"
echo CANARY >"$canary"
chmod 755 "$W" && chmod 644 "$canary"

cat >w/exec <<X
cd /root
mkdir sub
ln -s $canary abs
ln -s ../../../../../../../../..$canary up
ln -s /proc/self/root$canary magic
ln -s /proc/1/root$canary magic1
ln -s / x
ln -s x/../../../../../../..$canary mid
ln -s ./../../../../../..$canary dot
ln -s abs chain
ln -s sub/../../../../../..$canary deep
ln -s loop loop
ln -s $W/out/made dangling
ln -s $W/out dirlink
ln -s /etc/hostname good
ln -s ../etc/hostname good2
ln -s sub good3
mkdir -p $W; echo INSIDE > $canary
X
cat w/exec
for l in abs up mid dot chain deep; do
	[ "$(cat "$R/$l" 2>/dev/null)" != CANARY ] || fail "$l leads outside"
done
eq "absolute, inside" "$(cat "$R/abs")" INSIDE
eq "dots, inside" "$(cat "$R/up")" INSIDE
for l in magic magic1 loop; do
	cat "$R/$l" >/dev/null 2>&1 && fail "$l leads somewhere"
done
echo pwned 2>/dev/null >"$R/dangling"
[ ! -e "$W/out/made" ] || fail "a dangling link made a file outside"
touch "$R/dirlink/f" 2>/dev/null
[ ! -e "$W/out/f" ] || fail "a link to a directory leads outside"
eq "a good link" "$(readlink "$R/good2")" ../etc/hostname
eq "a good link" "$(readlink "$R/good3")" sub
for l in abs up mid dot deep magic dangling x good; do
	t=$(readlink "$R/$l")
	case $t in
	"$M"/w/fs | "$M"/w/fs/*) ;;
	*) fail "$l is shown as $t" ;;
	esac
	[[ $t != *..* ]] || fail "$l is shown as $t"
done
mv w v
eq "after a rename" "$(readlink "$M/v/fs/root/good")" "$M/v/fs/etc/hostname"
mv v w
rm -rf "$R/dirlink" "$R/x"
eq "rm -rf of links" "$(cat "$canary")" CANARY
check "cp -a out" cp -a "$R" "$W/copy"
grep -rqs CANARY "$W/copy" && fail "cp -a took the canary along"

# A guest that swaps a file, a directory and links as fast as it can.
cat >w/exec <<X
cd /root; mkdir -p swap/d; echo in > swap/d/canary; ln -s $W swap/l
python3 - <<'P' &
import ctypes, time
c = ctypes.CDLL(None)
end = time.time() + 20
while time.time() < end:
    c.renameat2(-100, b'swap/d', -100, b'swap/l', 2)
P
X
cat w/exec
end=$((SECONDS + 4))
reads=0
while [ $SECONDS -lt $end ]; do
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		reads=$((reads + 1))
		! grep -qs CANARY "$R/swap/d/canary" "$R/swap/l/canary" ||
		    fail "read the canary"
		echo x 2>/dev/null >"$R/swap/d/w" || :
		echo x 2>/dev/null >"$R/swap/l/w" || :
		mkdir "$R/swap/l/m" 2>/dev/null
	done
done
[ ! -e "$W/w" ] && [ ! -e "$W/m" ] || fail "written outside"
eq "the canary" "$(cat "$canary")" CANARY
say "$reads rounds"
cd / || exit 1
exit 0
