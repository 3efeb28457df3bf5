#!/bin/bash
# A hostile guest owns its agent: whatever it says, the daemon lives, stays
# small, answers others at once, and the sandbox can be destroyed.
# limit 300
# serial
. "${0%/*}/lib.sh"

need_root
need_tool musl-gcc curl

front_kb() {
	local p

	for p in $(our_processes); do
		tr '\0' ' ' <"/proc/$p/cmdline" | grep -q 'front' &&
		    awk '/^VmRSS/ { print $2 }' "/proc/$p/status"
	done | sort -n | tail -n1
}

# evil N: one daemon whose sandboxes have the N-th agent.
evil() {
	local id before after t

	musl-gcc -static -O1 -DEVIL="$1" -o "$W/evil-agent" \
	    "$TOP/tests/tools/evil_agent.c" || fail "evil_agent.c"
	POOL_MIN=0 start_sbxd 'server.agent = "'"$W"'/evil-agent"' \
	    '[pool.base.default]' 'image = "host"' 'memory = "64m"' 'cpu = 1.0' \
	    'storage = "16m"' 'min = 0'
	before=$(front_kb)
	id=$(http POST /sandboxes '{}' --max-time 15 | json 'x.get("id", "")' \
	    2>/dev/null)
	if [ -n "$id" ]; then
		http POST "/sandboxes/$id/exec" \
		    '{"command":"true","timeout":1}' --max-time 5 >/dev/null 2>&1
	fi
	t=$(curl -s --max-time 2 --unix-socket "$SOCK" -o /dev/null \
	    -w '%{http_code} %{time_total}' http://x/health) ||
	    fail "agent $1: /health does not answer"
	eq "agent $1: /health" "${t%% *}" 200
	after=$(front_kb)
	# the sanitizer keeps what was freed
	[ -n "${SBX_SAN:-}" ] || [ $((after - before)) -lt 65536 ] ||
	    fail "agent $1: the front grew from $before to $after KiB"
	if [ -n "$id" ]; then
		http DELETE "/sandboxes/$id" >/dev/null
		case $(code) in
		204 | 200 | 404) ;;
		*) fail "agent $1: DELETE: $(code)" ;;
		esac
	fi
	kill -0 "$sbxd_pid" || fail "agent $1: the daemon is gone"
	# a front that died was made again: the log would say so
	! grep -q 'broker: front: ' "$W/sbxd.log" ||
	    fail "agent $1: $(grep 'broker: front: ' "$W/sbxd.log")"
	stop_sbxd
	: >"$W/sbxd.log"
}

for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
	SECONDS=0
	evil "$i"
	say "agent $i: $SECONDS s"
done
say "twelve hostile agents, one healthy daemon"
