#!/bin/bash
# Several clients do random things in the tree and over HTTP, each to its own
# sandboxes, of which it knows all, and to some of everybody's: treeops.py.
# The same ones each time, and others; SBX_SEED=N again. SBX_LONG=1: for ten
# minutes (MINUTES=N), and in half of them with the deaths of all servers.
# limit 1000
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
# What is made where nothing is mounted would be found nowhere.
mkdir "$W/below" && mount -t tmpfs below "$W/below" || fail "mount"
M=$W/below/sbx
mkdir "$M" && mount -o remount,ro "$W/below" || fail "remount"
trap 'rc=$?; stop_sbxfs; umount -l "$W/below"; (exit $rc); stop_all' EXIT
ID_COUNT=$((1024 * 65536)) ID_FIRST=$((2415919104 + RANDOM % 24 * 67108864))
start_sbxd '[pool.base.default]' 'min = 2' 'max = 2' \
    'storage = "16m"' '[limits]' 'jobs_kept = 10000'

random_seed() {
	od -An -N3 -tu4 /dev/urandom | tr -d ' '
}

# treeops SECONDS SEED [chaos=FILE]
treeops() {
	say "SBX_SEED=$2"
	# shellcheck disable=SC2046 # nothing, or a word
	/usr/bin/python3 "$TOP/tests/t/treeops.py" "$M" "$SOCK" "$@" \
	    $(is_remote && echo remote) || {
		tail -n 20 "$M/errors"
		fail "SBX_SEED=$2"
	}
}

# "role count" of each of our servers, and what they hold: descriptors.
held() {
	local p title

	for p in $(our_processes); do
		title=$(title "$p")
		case $title in
		sbxd:* | sbxfs:*)
			echo "$title $(find "/proc/$p/fd" -mindepth 1 | wc -l)"
			;;
		esac
	done | sort
}
as_before() {
	[ "$(held)" = "$before" ] 
}

answers() {
	healthy && mounted && cat "$M/status" >/dev/null 2>&1
}

# Each kind of death in turn; the file of the clients is odd meanwhile.
deaths() {
	local n=0 kind pid

	while kill -0 "$1" 2>/dev/null; do
		sleep $((RANDOM % 3 + 1)).$((RANDOM % 10))
		echo $((2 * n + 1)) >"$W/chaos.new" && mv "$W/chaos.new" "$W/chaos"
		kind=$((n % 4))
		say "death $n: $kind"
		case $kind in
		0)
			pid=$(role 'sbxd: front')
			kill -KILL "$pid" && wait_for 10 gone "$pid"
			;;
		1) kill_sbxfs && start_sbxfs ;;
		2) kill_broker && run_sbxd ;;
		3) kill -HUP "$sbxd_pid" ;;
		esac
		wait_for 20 answers
		n=$((n + 1))
		echo $((2 * n)) >"$W/chaos.new" && mv "$W/chaos.new" "$W/chaos"
	done
}
mounted() {
	[ "$(stat -f -c %t "$M" 2>/dev/null)" = 65735546 ]
}

start_sbxfs
treeops 1 1
wait_for 10 grep -q '^default .* ready=2 ' "$M/pool"
before=$(held)
if [ "${SBX_LONG:-}" != 1 ]; then
	for seed in ${SBX_SEED:-4711 $(random_seed)}; do
		treeops 8 "$seed"
	done
else
	half=$((${MINUTES:-10} * 30))
	treeops "$half" "${SBX_SEED:-$(random_seed)}"
fi
(wait_for 20 as_before) || {
	diff <(echo "$before") <(held)
	find "/proc/$(role 'sbxd: front')/fd" "/proc/$(role 'sbxfs: server')/fd" -mindepth 1 -printf '%l\n' | sed 's/:.*//' | sort | uniq -c
	fail "descriptors stay open"
}
if [ "${SBX_LONG:-}" = 1 ]; then
	echo 0 >"$W/chaos"
	(treeops "$half" "${SBX_SEED:-$(random_seed)}" "chaos=$W/chaos") &
	clients=$!
	deaths $clients
	wait $clients || fail "with deaths"
fi
exit 0
