#!/bin/bash
# Create and destroy through each door, 200 times (1,000 with SBX_LONG=1),
# leave no process, mount, cgroup, namespace, descriptor, file or row.
# limit 600
# serial
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
count=${COUNT:-200}
[ "${SBX_LONG:-}" != 1 ] || count=${COUNT:-1000}
ID_COUNT=$((2048 * 65536)) ID_FIRST=$((2415919104 + RANDOM % 12 * 134217728))
start_sbxd
start_sbxfs

# Everything that may be left, as lines that can be compared.
census() {
	local pid pids

	pids=$(our_processes)
	for pid in $pids; do
		echo "$(tr '\0' ' ' <"/proc/$pid/cmdline" |
		    sed 's/ *$//; s/sbx-[0-9a-f]\{32\}/ID/g')" \
		    "fds $(find "/proc/$pid/fd" -mindepth 1 2>/dev/null |
			wc -l)"
	done 2>/dev/null | grep -v '^fds\|^ fds' | sort
	for pid in $pids; do
		for ns in mnt net pid user uts ipc cgroup; do
			readlink "/proc/$pid/ns/$ns"
		done
	done 2>/dev/null | sort -u | sed 's/:.*//' | uniq -c
	echo "mounts $(wc -l </proc/"$sbxd_pid"/mountinfo)"
	echo "cgroups $(our_cgroups | wc -l)"
	echo "files $(find "$RUN" "$DATA" -mindepth 1 -not -name '*-wal' \
	    -not -name '*-shm' -not -path "$DATA/layers/*" 2>/dev/null | wc -l)"
	/usr/bin/python3 - "$DATA/state.db" <<'END'
import sqlite3, sys
db = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)
for (table,) in db.execute("select name from sqlite_master where type='table'"):
    if not table.startswith('sqlite_'):
        print('rows of', table, *db.execute(f'select count(*) from {table}').fetchone())
END
}

resting() {
	local i first

	[ "$(http GET /pools | json 'x[0]["ready"]')" = 1 ] || return 1
	first=$(census)
	for i in 1 2 3 4; do
		sleep 0.5
		[ "$(census)" = "$first" ] || return 1
	done
}

by_http() {
	local i

	for ((i = 0; i < $1; i++)); do
		http POST /sandboxes '{"name":"h"}' >/dev/null
		eq "create $i" "$(code)" 201
		http DELETE /sandboxes/h >/dev/null
		eq "destroy $i" "$(code)" 204
	done
}

by_file() {
	local i

	for ((i = 0; i < $1; i++)); do
		mkdir "$M/f" || fail "mkdir $i"
		rmdir "$M/f" || fail "rmdir $i"
	done
}

for door in http file; do
	by_$door 20
	wait_for 60 resting
	before=$(census)
	by_$door "$count"
	same() {
		[ "$(census)" = "$before" ]
	}
	for ((i = 0; i < 60; i++)); do
		! same || break
		sleep 0.5
	done
	diff <(echo "$before") <(census) ||
	    fail "left over after $count by $door"
done
say "nothing left over of $before"
exit 0
