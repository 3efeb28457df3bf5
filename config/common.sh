# common.sh - what up and down share; sourced.
# shellcheck shell=sh disable=SC2034
: "${B:=build}" "${PREFIX:=/usr/local}"
run=/run/sbxd
data=/var/lib/sbxd
mount=/sbx
sbxd=$PREFIX/sbin/sbxd
sbxfs=$PREFIX/sbin/sbxfs

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

systemd() {
	[ -d /run/systemd/system ] && command -v systemctl >/dev/null
}

# The pid of the broker that runs, as it has written it itself.
broker() {
	pid=$(cat "$run/broker.lock" 2>/dev/null) && [ -n "$pid" ] &&
	    grep -q '^sbxd: broker' "/proc/$pid/cmdline" 2>/dev/null &&
	    echo "$pid"
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

api() {
	curl -sf --max-time 30 --unix-socket "$run/sbxd.sock" "$@"
}

# await COMMAND...: a minute at most.
await() {
	n=0
	until "$@"; do
		n=$((n + 1))
		[ $n -lt 600 ] || return 1
		sleep 0.1
	done
}
