# lib.sh - what the cases in tests/t share; sourced first by each (bash).
#
# A case has a work directory $W, and in it its own sbxd (run and data
# directory, socket, cgroup, range of ids, user nobody) and its own mount $M.
# At its end everything is stopped; what is left over then - a process, a
# mount, a cgroup, a file of a sandbox - fails the case.
#
#	start_sbxd [LINE...]    a daemon; LINEs are added to its configuration
#	start_sbxfs [OPTION...] its mount at $M; run_sbxfs does not wait for it
#	stop_sbxfs, stop_sbxd   end one, cleanly; stop_sbxd USR1 keeps guests
#	http METHOD PATH [BODY [CURL OPTION...]]   body to stdout, code by: code
#	eq WHAT GOT WANT, has WHAT TEXT PART, check WHAT COMMAND...
#	refused FILE LINE ERRNO-TEXT SENTENCE      a write that must fail so
#	is_remote	the mount is over TCP: MOUNT=remote
#	local_only WHAT	a part that such a mount has not, by design: false there
#	fail TEXT, skip TEXT, wait_for SECONDS COMMAND...
# shellcheck shell=bash
set -u

: "${TOP:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${B:=$TOP/build}"
if [ -z "${W:-}" ]; then
	W=$(mktemp -d /tmp/sbx.XXXXXX)
	own_work=1
fi
M=$W/sbx
RUN=$W/run
DATA=$W/data
SOCK=$RUN/sbxd.sock
CG=${SBX_CGROUP:+$SBX_CGROUP/}sbxtest-${W##*/sbx.}
# The leak checker stops its process by ptrace, which no process of ours
# allows: the unit tests look for leaks, the daemons' exit does not.
[ -z "${SBX_SAN:-}" ] || export ASAN_OPTIONS=detect_leaks=0
# See tests/run.
: "${SBX_SLOW:=${SBX_SAN:+6}}" "${SBX_SLOW:=1}"
export SBX_SLOW
SLOW=$SBX_SLOW
PROFILE=${PROFILE:-default}
sbxd_pid=
sbxfs_pid=
lib_done=

say() {
	printf '%s\n' "$*"
}

fail() {
	say "FAIL: $* (line ${BASH_LINENO[*]})"
	exit 1
}

skip() {
	say "$*"
	exit 77
}

eq() {
	[ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"
}

has() {
	case $2 in
	*"$3"*) ;;
	*) fail "$1: '$3' is not in '$2'" ;;
	esac
}

check() {
	local what=$1

	shift
	"$@" || fail "$what: failed: $*"
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local i

	for ((i = 0; i < $1 * SLOW * 20; i++)); do
		"${@:2}" && return 0
		sleep 0.05
	done
	fail "waited $1 s for: ${*:2}"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need_tool() {
	local tool

	for tool; do
		command -v "$tool" >/dev/null || skip "needs $tool"
	done
}

is_remote() {
	[ "${MOUNT:-}" = remote ]
}

local_only() {
	! is_remote || {
		say "not over TCP: $*"
		return 1
	}
}

need_fuse() {
	[ -c /dev/fuse ] || skip "needs /dev/fuse"
}

http() {
	local method=$1 path=$2 body=${3-} head=()

	shift $(($# < 3 ? $# : 3))
	[ "$method" != HEAD ] || head=(-I)
	curl -sS --max-time $((30 * SLOW)) --unix-socket "$SOCK" \
	    -X "$method" "${head[@]}" ${body:+--data-binary "$body"} \
	    -o "$W/http.body" -w '%{http_code}' "$@" "http://x$path" \
	    >"$W/http.code" || return 1
	cat "$W/http.body" 2>/dev/null
	rm -f "$W/http.body"
}

# The status code of the last http.
code() {
	cat "$W/http.code"
}

# json EXPRESSION: of the JSON in stdin, as x, in python.
json() {
	/usr/bin/python3 -c 'import json, sys
x = json.load(sys.stdin)
r = eval(sys.argv[1])
print(r if isinstance(r, str) else json.dumps(r))' "$1"
}

# A window of 64 ranges above the default one, so that daemons beside each
# other seldom share ids.
id_window() {
	local n

	n=$(od -An -N2 -tu2 /dev/urandom)
	echo $((2415919104 + n % 430 * 4194304))
}

# setting TABLE KEY VALUE LINE...: unless a LINE "TABLE.KEY = ..." says else.
setting() {
	local line

	for line in "${@:4}"; do
		case $line in
		"$1.$2 "*) echo "${line#"$1".}" && return ;;
		esac
	done
	[ -z "$3" ] || echo "$2 = $3"
}

# LINEs "server.KEY = ..." and "pool.KEY = ..." go to the tables that are
# written here, the others behind them as they are. POOL_MIN: ready ones.
write_config() {
	local line

	if is_remote && [ -z "${URL:-}" ]; then
		TCP=127.0.0.1:$(free_port)
		URL=http://$TCP
	fi
	! is_remote || set -- "server.tcp = \"$TCP\"" "$@"
	{
		echo '[server]'
		setting server socket "\"$SOCK\"" "$@"
		setting server run_dir "\"$RUN\"" "$@"
		setting server data_dir "\"$DATA\"" "$@"
		setting server user '"nobody"' "$@"
		setting server group '"nogroup"' "$@"
		setting server cgroup "\"$CG\"" "$@"
		setting server agent "\"$B/sbx-agent\"" "$@"
		setting server id_first "${ID_FIRST:=$(id_window)}" "$@"
		setting server id_count "${ID_COUNT:=4194304}" "$@"
		for line in tcp tls_cert tls_key token_file insecure \
		    node_id compat_socket workers; do
			setting server $line '' "$@"
		done
		echo '[pool]'
		setting pool min_base "${POOL_MIN:-1}" "$@"
		setting pool max_warm '' "$@"
		setting pool health_interval '' "$@"
		for line; do
			case $line in
			server.* | pool.*) ;;
			*) echo "$line" ;;
			esac
		done
	} >"$W/sbxd.toml"
}

healthy() {
	curl -s --max-time 2 --unix-socket "$SOCK" http://x/health \
	    >/dev/null 2>&1
}

# run_sbxd: starts it again with the configuration that is there.
run_sbxd() {
	need_root
	chmod 711 "$W"
	"$B/sbxd" -f -c "$W/sbxd.toml" >>"$W/sbxd.log" 2>&1 </dev/null &
	sbxd_pid=$!
	wait_for 20 sbxd_is_up
}

sbxd_is_up() {
	kill -0 "$sbxd_pid" 2>/dev/null || {
		cat "$W/sbxd.log"
		fail "sbxd ended at its start"
	}
	healthy
}

# A TCP port of this machine that nobody listens on.
free_port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

start_sbxd() {
	need_root
	write_config "$@"
	run_sbxd
}

mounted() {
	mountpoint -q "$M"
}

# The option of sbxfs that says where the daemon is.
door() {
	if is_remote; then
		echo "-ourl=$URL"
	else
		echo "-s$RUN/files.sock"
	fi
}

run_sbxfs() {
	need_fuse
	mkdir -p "$M" 2>/dev/null
	"$B/sbxfs" -f "$(door)" "$@" "$M" >>"$W/sbxfs.log" 2>&1 </dev/null &
	sbxfs_pid=$!
}

start_sbxfs() {
	run_sbxfs "$@"
	wait_for 10 sbxfs_is_up
}

sbxfs_is_up() {
	kill -0 "$sbxfs_pid" 2>/dev/null || {
		cat "$W/sbxfs.log"
		fail "sbxfs ended at its start"
	}
	mounted && [ -e "$M/ctl" ]
}

# gone PID
gone() {
	! kill -0 "$1" 2>/dev/null
}

# ended PID SECONDS: waits for our child; its status is in $status.
ended() {
	local i

	for ((i = 0; i < $2 * SLOW * 20; i++)); do
		if gone "$1"; then
			wait "$1"
			# shellcheck disable=SC2034 # cases look at it
			status=$?
			return 0
		fi
		sleep 0.05
	done
	return 1
}

stop_sbxfs() {
	[ -n "$sbxfs_pid" ] || return 0
	kill -TERM "$sbxfs_pid" 2>/dev/null
	ended "$sbxfs_pid" 10 || {
		kill -KILL "$sbxfs_pid"
		wait "$sbxfs_pid" 2>/dev/null
		sbxfs_pid=
		leak "sbxfs did not end by SIGTERM"
		return 0
	}
	sbxfs_pid=
}

# stop_sbxd [SIGNAL]
stop_sbxd() {
	[ -n "$sbxd_pid" ] || return 0
	kill "-${1:-TERM}" "$sbxd_pid" 2>/dev/null
	ended "$sbxd_pid" 30 || {
		kill -KILL "$sbxd_pid"
		wait "$sbxd_pid" 2>/dev/null
		sbxd_pid=
		leak "sbxd did not end by SIG${1:-TERM}"
		return 0
	}
	sbxd_pid=
}

leaks=
leak() {
	say "LEAK: $*"
	leaks=1
}

# Pids of everything in our cgroups, or with a file of ours open (each of our
# programs has its log), or our directory on its line; but not the dead whose
# parent died, which are init's to reap, in its own time.
our_processes() {
	local pid

	{
		grep -lsE "/$CG(/|\$)" /proc/[0-9]*/cgroup
		grep -lsaF "$W/" /proc/[0-9]*/cmdline
		find /proc/[0-9]*/exe /proc/[0-9]*/fd/[12] -maxdepth 0 \
		    -lname "$W/*"
	} 2>/dev/null | cut -d/ -f3 | sort -un | while read -r pid; do
		case $pid in
		"$$" | "$BASHPID") continue ;;
		esac
		[ -d "/proc/$pid" ] || continue
		! grep -qs '^State:	Z' "/proc/$pid/status" ||
		    ! grep -qs '^PPid:	1$' "/proc/$pid/status" || continue
		echo "$pid"
	done
}

# title PID: what ps shows of it.
title() {
	local words line

	{ mapfile -d '' -t words <"/proc/$1/cmdline"; } 2>/dev/null
	line="${words[*]:-}"
	echo "${line%"${line##*[! ]}"}"
}

# The pid of our process with this title, "sbxd: front".
role() {
	local pid

	for pid in $(our_processes); do
		if [ "$(title "$pid")" = "$1" ]; then
			echo "$pid"
			return
		fi
	done
}

no_daemon() {
	[ -z "$(role 'sbxd: front')" ] && [ -z "$(role 'sbxd: worker')" ]
}

# start_held TIMEOUT: a daemon with one worker and none ready, however many are
# asked for, its mount, and we in it; for hold and go.
start_held() {
	# shellcheck disable=SC2034 # start_sbxd's
	POOL_MIN=0
	start_sbxd 'server.workers = 1' '[pool.base.default]' \
	    "start_timeout = \"$1\""
	start_sbxfs
	cd "$M" || exit 1
	echo 'default 0' >pool || fail "pool"
	mkdir warm_up && rmdir warm_up || fail "a first one"
	# Whatever happens: the daemon could not end.
	trap 'rc=$?; go 2>/dev/null; (exit $rc); stop_all' EXIT
}

# The broker's only worker stands still: what is made stays in creating.
hold() {
	worker=$(role 'sbxd: worker')
	[ -n "$worker" ] || fail "no worker"
	kill -STOP "$worker"
}

go() {
	kill -CONT "$worker"
}

# Kills the broker; the others see it and end.
kill_broker() {
	kill -KILL "$sbxd_pid"
	wait "$sbxd_pid" 2>/dev/null
	sbxd_pid=
	wait_for 20 no_daemon
}

# Kills what serves the mount; its guard unmounts and ends.
kill_sbxfs() {
	local server

	server=$(role 'sbxfs: server')
	[ -n "$server" ] || fail "no process is called sbxfs: server"
	kill -KILL "$server"
	ended "$sbxfs_pid" 10 || fail "the guard of sbxfs does not end"
	sbxfs_pid=
	! mounted || fail "the dead mount is still there"
}

our_cgroups() {
	find /sys/fs/cgroup -depth -mindepth 1 -type d -path "*/$CG*" \
	    2>/dev/null
}

our_mounts() {
	awk -v w="$W" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo
}

destroy_all() {
	local id

	[ -n "$sbxd_pid" ] && healthy || return 0
	for id in $(http GET /sandboxes | json '" ".join(s["id"] for s in x)')
	do
		http DELETE "/sandboxes/$id" >/dev/null
	done
}

# What a clean end leaves, is none; and what there is, goes.
sweep() {
	local p m d

	for p in $(our_processes); do
		[ "$p" != "$sbxd_pid" ] || continue
		! gone "$p" || continue # it was ending just then
		leak "process $p: $(title "$p")" \
		    "$(grep -s ^State "/proc/$p/status")"
		kill -KILL "$p" 2>/dev/null
	done
	for m in $(our_mounts | sort -r); do
		[ "$m" = "$RUN/mnt" ] || [ "$m" = "$RUN/mnt/ns" ] ||
		    case $m in "$RUN"/*) true ;; *) false ;; esac ||
		    leak "mount $m"
		umount -l "$m"
	done
	for d in $(our_cgroups); do
		case $d in
		*/"$CG"/*) leak "cgroup $d" ;;
		esac
		wait_for 5 rmdir_gone "$d"
	done
	for d in "$DATA"/sandboxes/*; do
		[ ! -e "$d" ] || leak "file $d"
	done
}

rmdir_gone() {
	rmdir "$1" 2>/dev/null || [ ! -d "$1" ]
}

stop_all() {
	local rc=$?

	[ -z "$lib_done" ] || return
	lib_done=1
	trap '' TERM INT
	set +e
	cd /
	if [ $rc = 0 ]; then
		destroy_all
	fi
	# The mount first: with the daemon gone its requests would fail.
	stop_sbxfs
	stop_sbxd
	if [ $rc != 0 ]; then
		# What a failed case left is not news: it goes quietly.
		sweep >/dev/null 2>&1
	else
		sweep
		[ -z "$leaks" ] || rc=1
	fi
	[ -z "${own_work:-}" ] || {
		[ $rc = 0 ] || [ $rc = 77 ] || tail -n 50 "$W"/*.log
		rm -rf "$W"
	}
	exit $rc
}
trap stop_all EXIT
trap 'exit 143' TERM INT

# refused FILE LINE ERRNO-TEXT SENTENCE: writing LINE fails with ERRNO-TEXT
# as the shell shows it, and /sbx/errors says SENTENCE of it.
refused() {
	local out

	out=$( (printf '%s\n' "$2" >"$1") 2>&1) &&
	    fail "'$2' > $1 was taken"
	has "'$2' > ${1#"$M"/}" "$out" "$3"
	has "/sbx/errors after '$2'" "$(tail -n1 "$M/errors")" "$4"
}
