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
# A pool that keeps one, whatever was asked for lately.
start_sbxd '[pool.base.default]' 'memory = "512m"' 'cpu = 1.0' 'min = 1' \
    'max = 1'
start_sbxfs

# Everything that may be left, as lines that can be compared.
census() {
	# shellcheck disable=SC2046 # pids
	/usr/bin/python3 - "$RUN" "$DATA" "$(our_cgroups | wc -l)" \
	    "$sbxd_pid" $(our_processes) <<'END'
import collections, os, re, shutil, sqlite3, sys, tempfile
run, data, cgroups, broker, *pids = sys.argv[1:]
lines, spaces = [], {}
for pid in pids:
    try:
        with open(f'/proc/{pid}/cmdline', encoding='utf-8') as f:
            title = f.read().replace('\0', ' ').strip()
        fds = len(os.listdir(f'/proc/{pid}/fd'))
        for ns in 'mnt net pid user uts ipc cgroup'.split():
            spaces.setdefault(ns, set()).add(os.readlink(f'/proc/{pid}/ns/{ns}'))
    except FileNotFoundError:
        continue
    if not title.startswith(('/bin/bash', 'bash', 'curl')):
        lines.append(f'{title}: {fds} descriptors')
for line in sorted(lines):
    print(line)
for ns in sorted(spaces):
    print(f'namespaces {ns} {len(spaces[ns])}')
with open(f'/proc/{broker}/mountinfo', encoding='utf-8') as f:
    # ours: others come and go beside us
    print('mounts', sum(l.split()[4].startswith((run, data)) for l in f))
print('cgroups', cgroups)
for top in run, data:
    count = collections.Counter()
    for folder, dirs, files in os.walk(top):
        # what images are made of does not come and go with sandboxes
        if folder == data:
            dirs[:] = [d for d in dirs if d != 'layers']
        name = re.sub('sbx-[0-9a-f]{32}', 'ID', folder[len(top):] or '/')
        count[name] += len(dirs) + sum(
            not f.endswith(('-wal', '-shm')) for f in files)
    for name in sorted(count):
        print('files', name, count[name])
# The daemon keeps its store locked: a copy of it, the log of it too.
copy = tempfile.mkdtemp()
for name in 'state.db', 'state.db-wal':
    shutil.copy(f'{data}/{name}', copy)
db = sqlite3.connect(f'{copy}/state.db')
for (table,) in db.execute("select name from sqlite_master where type='table'"):
    print('rows of', table, *db.execute(f'select count(*) from {table}').fetchone())
shutil.rmtree(copy)
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
