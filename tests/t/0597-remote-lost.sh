#!/bin/bash
# What is open in fs/ of a mount over TCP when the connection breaks: it goes
# on, by another handle on the same file, and what is another file by then is
# ESTALE. No write is sent twice.
# limit 120
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_fuse
MOUNT=remote
write_config
port=$(free_port)
link=(/usr/bin/python3 "$TOP/tests/t/slow_link.py" "$port" "${TCP##*:}" 1
    "$W/count")
"${link[@]}" &
pid=$!
trap 'rc=$?; kill $pid 2>/dev/null; (exit $rc); stop_all' EXIT
run_sbxd
URL=http://127.0.0.1:$port
wait_for 5 test -e "$W/count"
start_sbxfs
# on a disk the number of a removed file is the next one's
echo "create w storage=0" >"$M/ctl" || fail create
mkdir "$M/w/fs/root/d"
/usr/bin/python3 "$TOP/tests/t/remote_follow.py" "$M/w" $pid ||
    fail "remote_follow.py"
# Its last cut may last a moment; remote_lost.py looks for the file.
wait_for 20 eval '{ cat "$M/w/status" && : >"$M/w/fs/root/there"; } \
    >/dev/null 2>&1'
coproc /usr/bin/python3 "$TOP/tests/t/remote_lost.py" "$M/w" \
    "$(sed -n 's/^id //p' "$M/w/status")" "$SOCK" $pid "${link[@]}"
# shellcheck disable=SC2153 # coproc's
python=$COPROC_PID to=${COPROC[1]}
while read -r what; do
	front=$(role "sbxd: $what")
	kill -KILL "$front"
	wait_for 20 gone "$front"
	wait_for 20 healthy
	echo "done" >&"$to"
done <&"${COPROC[0]}"
wait "$python" || fail "remote_lost.py"
exit 0
