#!/bin/bash
# limit 180
# A mount in another network namespace, over TLS with a token: the tree, bytes
# both ways, what happens when the connection, its process, the front or the
# sandbox goes, certificates, and a user's own mount.
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_tool openssl ip nsenter setpriv
n=$(($(od -An -N2 -tu2 /dev/urandom) % 16384))
net=198.18.$((n / 64)).$((n % 64 * 4))
us=${net%.*}.$((${net##*.} + 1)) them=${net%.*}.$((${net##*.} + 2))
dev=sbxt$n
unshare -n -m --propagation slave sleep 1000 &
far=$!
undo() {
	local rc=$?

	kill "$far"
	ip link del "${dev}a"
	(exit "$rc")
	stop_all
}
trap 'undo 2>/dev/null' EXIT
wait_for 5 test "/proc/$far/ns/net" -ef "/proc/$far/ns/net"
sleep 0.1
ip link add ${dev}a type veth peer name ${dev}b 2>/dev/null ||
    skip "needs virtual network devices"
ip link set "${dev}b" netns "$far" && ip addr add "$us/30" dev "${dev}a" &&
    ip link set "${dev}a" up || fail "no network"
there() {
	nsenter -t $far -n "$@"
}
there ip addr add "$them/30" dev "${dev}b" && there ip link set "${dev}b" up ||
    fail "no network there"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout "$W/key.pem" -out "$W/cert.pem" -days 2 -subj /CN=sbxd \
    -addext "subjectAltName=IP:$us" 2>/dev/null || fail "no certificate"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout "$W/other.key" -out "$W/other.pem" -days 2 -subj /CN=sbxd \
    -addext "subjectAltName=IP:$us" 2>/dev/null
token=$(openssl rand -hex 24)
echo "$token alice" >"$W/tokens"
echo "$token" >"$W/token"
chmod 600 "$W/tokens" "$W/token" "$W/key.pem"
port=$(free_port)
start_sbxd "server.tcp = \"$us:$port\"" \
    "server.tls_cert = \"$W/cert.pem\"" "server.tls_key = \"$W/key.pem\"" \
    "server.token_file = \"$W/tokens\""

# mount_there OPTIONS: the mount, in the other namespace
mount_there() {
	mkdir -p "$M"
	# not by the function: the pid is to be sbxfs's
	nsenter -t $far -n "$B/sbxfs" -f -o "url=https://$us:$port,$1" "$M" \
	    >>"$W/sbxfs.log" 2>&1 </dev/null &
	sbxfs_pid=$!
	wait_for 10 mounted
}
good=cafile=$W/cert.pem,token-file=$W/token

# Refused at once, with a sentence: what cannot be right.
for bad in url=ftp://x url=http://$us,token-file=$W/token \
    "url=https://$us,token-file=$W/none" url=https://u@$us url=https://; do
	"$B/sbxfs" -f -o "$bad" "$W" >"$W/out" 2>&1 && fail "mounted with $bad"
	[ -s "$W/out" ] || fail "$bad: nothing was said"
done

# A server that is another one: nothing goes there.
mount_there "cafile=$W/other.pem,token-file=$W/token"
said() {
	grep -q "$1" "$W/sbxfs.log"
}
wait_for 10 said 'SSL\|certificate\|CA'
has "a file of it" "$(cat "$M/status" 2>&1)" 'Input/output error'
stop_sbxfs
mount_there cafile="$W/cert.pem"
wait_for 10 said 401
stop_sbxfs

mount_there "$good"
synced() {
	cat "$M/status" >/dev/null 2>&1
}
wait_for 10 synced
mkdir "$M/web" || fail mkdir
has "whose it is" "$(cat "$M/web/status")" 'owner alice'
echo 'echo out; echo err >&2; exit 3' >"$M/web/exec"
eq "its output" "$(sort "$M/web/exec" | tr '\n' ' ')" "err out "
has "its status" "$(cat "$M/web/wait")" '1 3 '
has "the log" "$(cat "$M/web/log")" out
exec 3<>"$M/web/exec"
echo 'seq 1 200000' >&3
eq "a session" "$(md5sum <&3)" "$(seq 1 200000 | md5sum)"
echo 'echo again' >&3
eq "and again" "$(cat <&3)" again
exec 3>&-
exec 3<>"$M/new"
read -r name <&3
[ -d "$M/$name" ] || fail "new: $name"
exec 3>&-
gone_box() {
	[ ! -d "$M/$name" ]
}
wait_for 5 gone_box
refused "$M/ctl" frob 'Invalid argument' 'unknown word frob'
echo frob 2>/dev/null >"$M/ctl"
grep -q " pid=$$ ctl: " "$M/errors" || fail "errors have another's pid"

size=33554433
[ "${SBX_LONG:-}" != 1 ] || size=1073741825
head -c $size /dev/zero | openssl enc -aes-128-ctr -nosalt -pass pass:x \
    2>/dev/null >"$W/big"
if [ "${SBX_LONG:-}" = 1 ]; then
	echo 'storage 2G' >"$M/web/ctl" 2>/dev/null
	rm -rf "$M/web"
	echo 'create web storage=2G memory=3G' >"$M/ctl" || fail "create"
fi
cp "$W/big" "$M/web/fs/root/big" || fail "cp to it"
echo 'md5sum <big' >"$M/web/exec"
eq "what came" "$(cat "$M/web/exec")" "$(md5sum <"$W/big")"
cmp "$W/big" "$M/web/fs/root/big" || fail "what came back"
eq "read at once by who asks how much" "$(stat -c %o "$M/web/fs/root/big")" \
    1048576
dd if="$M/web/fs/root/big" bs=1000003 skip=7 count=3 2>/dev/null |
    cmp - <(dd if="$W/big" bs=1000003 skip=7 count=3 2>/dev/null) ||
    fail "a part of it"
echo gone >"$M/web/fs/root/t"
/usr/bin/python3 - "$M/web/fs/root/t" <<'P' || fail "flags of open"
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)
assert os.fstat(fd).st_size == 0 and os.read(fd, 9) == b''
a = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
b = os.open(sys.argv[1], os.O_WRONLY)
os.write(a, b'one')
os.write(a, b'two')
os.write(b, b'O')
os.unlink(sys.argv[1])
assert os.fstat(a).st_nlink == 0 and os.pread(fd, 9, 0) == b'Onetwo'
try:
    os.open(sys.argv[1] + '/x', os.O_RDONLY)
except FileNotFoundError:
    pass
P
mkdir "$W/tree"
cp -r /usr/include/linux/netfilter "$W/tree/"
cp -r "$W/tree" "$M/web/fs/root/" || fail "cp -r"
diff -r "$W/tree" "$M/web/fs/root/tree" || fail "trees differ"

# No token anywhere but in its file.
for pid in $(our_processes); do
	for f in cmdline environ; do
		! grep -qsF "$token" "/proc/$pid/$f" || fail "/proc/$pid/$f"
	done
done
for role in 'sbxfs: server' 'sbxfs: net'; do
	eq "$role: capabilities" "$(awk '/CapPrm|CapEff|CapBnd/ { print $2 }' \
	    "/proc/$(role "$role")/status" | sort -u)" 0000000000000000
done

# The process that speaks to the network dies: EIO at once, or another one is
# there already; then as before.
# (The agent's connection and the tree's come back each by itself.)
back() {
	[ "$(cat "$M/web/fs/root/f" 2>/dev/null)" = f ] &&
	    cat "$M/web/status" >/dev/null 2>&1
}
echo f >"$M/web/fs/root/f"
exec 3<"$M/web/fs/root/big" 4<"$M/web/fs/root/big"
kill -KILL "$(role 'sbxfs: net')"
timeout 5 cat <&3 >/dev/null 2>"$W/err"
case $?$(cat "$W/err") in
0 | 1*'Input/output error') ;;
*) fail "a read of what was open: $? $(cat "$W/err")" ;;
esac
wait_for 10 back
cmp "$W/big" <&4 || fail "what was open does not go on"
exec 3<&- 4<&-
echo 'echo works' >"$M/web/exec"
eq "exec" "$(cat "$M/web/exec")" works

# The front dies in the middle of a transfer.
front=$(role 'sbxd: front')
(sleep 0.2; kill -KILL "$front") &
until gone "$front"; do
	timeout 20 cat "$M/web/fs/root/big" >/dev/null 2>&1
	[ $? != 124 ] || fail "a read hangs without the front"
done
wait $!
wait_for 20 back

# Stopped: files are there. Paused: nobody answers, nothing hangs.
echo stop >"$M/web/ctl" || fail stop
eq "of a stopped one" "$(cat "$M/web/fs/root/f")" f
echo g >"$M/web/fs/root/g" || fail "write to a stopped one"
echo start >"$M/web/ctl" || fail start
eq "and started" "$(cat "$M/web/fs/root/g")" g
# What is open goes on with each of its agents.
exec 3<"$M/web/fs/root/f" 4>>"$M/web/fs/root/g"
echo t >"$M/web/fs/tmp/t"
exec 6<"$M/web/fs/tmp/t"
echo 'stop 0' >"$M/web/ctl" || fail stop
echo one >&4 || fail "a write, stopped"
echo start >"$M/web/ctl" || fail start
echo two >&4 || fail "a write, started"
eq "a read" "$(cat <&3)" f
eq "a look" "$(tr '\n' ' ' <"$M/web/fs/root/g")" "g one two "
has "a read of what is not there any more" "$(cat <&6 2>&1)" 'Stale file handle'
exec 3<&- 4>&- 6<&-
# Who only looks does not see its agents come and go.
/usr/bin/python3 - "$M/web" <<'P' || fail "a look failed meanwhile"
import os, sys, threading
top = sys.argv[1]
def restart():
    for i in range(4):
        for line in 'stop 0\n', 'start\n':
            open(top + '/ctl', 'w').write(line)
t = threading.Thread(target=restart)
t.start()
g = os.open(top + '/fs/root/g', os.O_RDONLY)
n = 0
while t.is_alive():
    n += 1
    os.stat(top + '/fs/root/g')
    assert not os.path.exists(top + '/fs/root/none-%d' % n)
    os.statvfs(top + '/fs/root')
    os.close(os.open(top + '/fs/root/g', os.O_RDONLY))
    assert os.pread(g, 1, 0) == b'g'
t.join()
P
echo pause >"$M/web/ctl" || fail pause
timeout 5 cat "$M/web/fs/root/f" >/dev/null 2>&1
eq "of a paused one" $? 1
echo resume >"$M/web/ctl" || fail resume
wait_for 5 back

# A network that swallows everything: it is found out.
if [ "${SBX_LONG:-}" = 1 ]; then
	ip link set "${dev}a" down
	timeout 60 cat "$M/web/status" >/dev/null 2>&1
	eq "without a network" $? 1
	ip link set "${dev}a" up
	wait_for 40 back
fi
rm -r "$M/web" || fail "rm -r"
[ -z "$(http GET /sandboxes | json '" ".join(s["id"] for s in x)')" ] ||
    fail "sandboxes are left"
stop_sbxfs
! mounted || fail "still mounted"

# An ordinary user, by fusermount3: all of it is theirs. In a mount namespace
# where /dev/fuse is for users as well.
[ -u /usr/bin/fusermount3 ] || skip "needs a setuid fusermount3"
uid=$(id -u games 2>/dev/null) || skip "needs a user called games"
chown "$uid" "$W/token" "$M"
mkdir "$W/dev"
nsenter -t $far -m sh -c "mount -t tmpfs -o mode=755 none '$W/dev' &&
    mknod -m 666 '$W/dev/fuse' c 10 229 &&
    mount --bind '$W/dev/fuse' /dev/fuse" || skip "needs a /dev/fuse for users"
user() {
	nsenter -t $far -n -m setpriv --reuid="$uid" --regid="$uid" \
	    --clear-groups --reset-env "$@"
}
user test -x "$B/sbxfs" || skip "a user does not reach $B"
user "$B/sbxfs" -f "$M" >"$W/out" 2>&1 && fail "a user mounts files.sock"
nsenter -t $far -n -m setpriv --reuid="$uid" --regid="$uid" --clear-groups \
    "$B/sbxfs" -f -o "url=https://$us:$port,$good" "$M" \
    >>"$W/sbxfs.log" 2>&1 </dev/null &
sbxfs_pid=$!
theirs() {
	user cat "$M/status" >/dev/null 2>&1
}
wait_for 10 theirs
user mkdir "$M/mine" || fail "a user's mkdir"
user sh -c "echo hi >'$M/mine/fs/root/f'; echo 'cat f' >'$M/mine/exec'"
eq "a user's exec" "$(user cat "$M/mine/exec")" hi
eq "whose" "$(user stat -c %u "$M" "$M/ctl" "$M/mine" "$M/mine/fs/root/f" |
    sort -u)" "$uid"
user chown 5 "$M/mine" 2>/dev/null && fail "a user gave it away"
user rm -r "$M/mine" || fail "a user's rm -r"
stop_sbxfs
user mountpoint -q "$M" && fail "a user's mount is left"
exit 0
