#!/bin/bash
# 20 creates in a row with min 2 all succeed, each with an instance of its
# own; a minute later the pool is full again; the dead in it are replaced.
# limit 150
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
POOL_MIN=2
start_sbxd 'pool.health_interval = "1s"'
start_sbxfs

ready() {
	http GET /pools | json 'x[0]["ready"]'
}
full() {
	[ "$(ready)" -ge 2 ]
}

wait_for 20 full
for n in $(seq 20); do
	http POST /sandboxes "{\"name\":\"p$n\",\"memory\":\"64m\"}" >/dev/null
	eq "create $n" "$(code)" 201
done
eq "20 instances" "$(for n in $(seq 20); do
	http POST "/sandboxes/p$n/exec" '{"command":"hostname"}' |
	    json 'x["stdout"].strip()'
done | sort -u | wc -l)" 20
# What a create asks for holds in an instance that was started before it.
eq "limit of a warm one" "$(http GET /sandboxes/p1/stats |
    json 'x["memory_limit_bytes"]')" 67108864
wait_for 60 full
counts=$(sed -n 's/.* hits=\([0-9]*\) misses=\([0-9]*\).*/\1+\2/p' "$M/pool")
eq "hits and misses" $((counts)) 20
[ "${counts%+*}" -ge 2 ] || fail "hits: $counts"

for n in $(seq 20); do
	rmdir "$M/p$n" || fail "rmdir p$n"
done
eq "none left" "$(http GET /sandboxes)" "[]"
wait_for 20 full

# Kill what waits in the pool: it is found out, and replaced.
agents() {
	local pid

	for pid in $(our_processes); do
		case $(title "$pid") in
		*sbx-agent*) echo "$pid" ;;
		esac
	done
}
before=$(agents)
[ -n "$before" ] || fail "no agent is seen"
# shellcheck disable=SC2086 # pids
kill -KILL $before
replaced() {
	local pid

	full || return 1
	for pid in $before; do
		! kill -0 "$pid" 2>/dev/null || return 1
	done
}
wait_for 20 replaced
echo 'create q' >"$M/ctl" || fail "create after the kill"
echo 'echo alive' >"$M/q/exec"
eq "claimed after the kill" "$(cat "$M/q/exec")" alive

echo 'default 3 min=3' >"$M/pool" ||
    fail "resize: $(tail -n 1 "$M/errors")"
three() {
	[ "$(ready)" -ge 3 ]
}
wait_for 20 three
echo 'flush default' >"$M/ctl" || fail "flush"
wait_for 20 three

# What is wanted, and its bounds; what it shows is what it takes.
pool() {
	sed 's/ ready=.*//' "$M/pool"
}
echo 'default 1 max=4' >"$M/pool" || fail "max"
eq "with a maximum" "$(pool)" 'default 1 min=1 max=4'
echo 'default 2 min=0 max=3' >"$M/pool" || fail "min"
eq "with both" "$(pool)" 'default 2 min=0 max=3'
check "as it is shown" cp "$M/pool" "$W/pool"
echo 'default 0' >"$M/pool" || fail "none"
eq "none" "$(pool)" 'default 0 min=0 max=0'
check "back" cp "$W/pool" "$M/pool"
eq "as it was" "$(pool)" 'default 2 min=0 max=3'
refused "$M/pool" 'default 5 max=4' 'Invalid argument' \
    '5: is not between min=5 and max=4'
refused "$M/pool" 'default 1 min=2' 'Invalid argument' \
    '1: is not between min=2 and max=3'
refused "$M/pool" 'default 99999' 'Invalid argument' 'pool.max_warm'
refused "$M/pool" 'default 1 min=x' 'Invalid argument' 'expected a number'
eq "as it was, still" "$(pool)" 'default 2 min=0 max=3'
http PUT /pools/default '{"count":1}' >/dev/null
eq "by HTTP" "$(pool)" 'default 1 min=1 max=3'

# Stopped while it is being filled: nothing is left of what was beginning.
destroy_all
stop_sbxfs
stop_sbxd
POOL_MIN=0
for n in 1 2 3 4 5 6 7 8; do
	start_sbxd
	# asked for and stopped by one process, to be soon enough
	/usr/bin/python3 - "$SOCK" "$sbxd_pid" $n <<'P'
import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'PUT /pools/default HTTP/1.1\r\nHost: x\r\n'
          b'Content-Length: 11\r\n\r\n{"count":1}')
time.sleep(0.0004 * int(sys.argv[3]))
os.kill(int(sys.argv[2]), signal.SIGTERM)
P
	stop_sbxd
	eq "left by stop $n" "$(ls "$DATA/sandboxes")" ""
done
exit 0
