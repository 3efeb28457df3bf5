#!/bin/bash
# A mount over a link that takes 20 ms each way: it works, and asks no more
# often than it must. Messages to the daemon are counted.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_fuse
MOUNT=remote
write_config
slow=$(free_port)
/usr/bin/python3 "$TOP/tests/t/slow_link.py" "$slow" "${TCP##*:}" 20 \
    "$W/count" &
link=$!
trap 'rc=$?; kill $link; (exit $rc); stop_all' EXIT
run_sbxd
URL=http://127.0.0.1:$slow
wait_for 5 test -e "$W/count"
start_sbxfs
cd "$M" || exit 1

# costs MOST COMMAND...: it succeeds, having sent that many messages or fewer.
costs() {
	local before after

	sleep .1
	before=$(stat -c %s "$W/count")
	"${@:2}" >"$W/out" 2>&1 || fail "$*: $(cat "$W/out")"
	sleep .1
	after=$(stat -c %s "$W/count")
	[ $((after - before)) -le "$1" ] ||
	    fail "${*:2}: $((after - before)) messages, at most $1"
}
run() {
	echo 'echo hi' >w/exec && cat w/exec
}
session() {
	exec 3<>w/exec && echo 'echo hi' >&3 && cat <&3 && exec 3>&-
}

costs 1 mkdir w
costs 3 cat w/status
costs 4 run
eq "its output" "$(cat "$W/out")" hi
costs 4 session
eq "a session's" "$(cat "$W/out")" hi
# the WebSocket of its files, root/, the directory: opened, read, closed
costs 6 ls w/fs/root
echo text >w/fs/root/f
# by name, opened, read, closed
costs 5 cat w/fs/root/f
eq "what is in it" "$(cat "$W/out")" text
costs 4 cat w/fs/root/f
for i in 1 2 3 4 5 6 7 8; do
	echo "$i" >"w/fs/root/$i"
done
costs 6 ls -l w/fs/root
eq "listed" "$(grep -c '^-' "$W/out")" 9
costs 4 mv w/fs/root/1 w/fs/root/0
head -c 4194304 /dev/zero | tr '\0' x >"$W/big"
began=$(date +%s%N)
check "cp to it" cp "$W/big" w/fs/root/big
check "cp back" cp w/fs/root/big "$W/back"
ms=$((($(date +%s%N) - began) / 1000000))
check "as it was" cmp "$W/big" "$W/back"
# by 4 KiB each it were 80 s
[ $ms -lt $((8000 * SLOW)) ] || fail "8 MiB took $ms ms"
eq "not before the others" "$( (cat w/fs/root/big >/dev/null & cat w/status
    wait) | sed -n 's/^state //p')" running

# It breaks, and is there again.
kill $link
wait $link 2>/dev/null
cat w/status >/dev/null 2>&1 && fail "a link that is cut"
/usr/bin/python3 "$TOP/tests/t/slow_link.py" "$slow" "${TCP##*:}" 20 \
    "$W/count" &
link=$!
back() {
	[ "$(cat w/fs/root/f 2>/dev/null)" = text ]
}
wait_for 20 back
rmdir w || fail rmdir
cd / || exit 1
exit 0
