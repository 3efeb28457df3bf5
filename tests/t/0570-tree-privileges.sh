#!/bin/bash
# What the server of the mount keeps, and that it keeps nothing else.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
local_only "capabilities" || exit 77
start_sbxd
start_sbxfs
server=$(role 'sbxfs: server')
value() {
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$server/status"
}
# CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, SYS_ADMIN
want=$(printf '%016x' $((1 << 0 | 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 |
    1 << 21)))
for set in CapPrm CapEff CapBnd; do
	eq $set "$(value $set)" "$want"
done
for set in CapInh CapAmb; do
	eq $set "$(value $set)" 0000000000000000
done
eq "no_new_privs" "$(value NoNewPrivs)" 1
[ -n "${SBX_SAN:-}" ] || eq "seccomp" "$(value Seccomp)" 2
eq "threads: one for requests, four for storage" "$(value Threads)" 5
for task in "/proc/$server/task"/*; do
	eq "caps of $task" "$(sed -n 's/^CapEff:[[:space:]]*//p' \
	    "$task/status")" "$want"
done
eq "options" "$(findmnt -no FSTYPE,OPTIONS "$M" | tr -s ' ' |
    cut -d, -f1-5)" "fuse.sbx rw,nosuid,nodev,noexec,noatime"

# Descriptors: none for what was looked at, one for what is open.
cd "$M" || exit 1
mkdir a || fail "mkdir"
n() {
	find "/proc/$server/fd" -mindepth 1 | wc -l
}
find a/fs/usr/bin a/fs/etc a/fs/root >/dev/null
before=$(n)
[ "$before" -lt 20 ] || fail "$before descriptors"
for i in $(seq 200); do
	echo "$i" >"a/fs/root/f$i"
done
cat a/fs/root/f* a/status a/log >/dev/null
for i in 1 2 3 4 5; do
	echo 'echo x' >a/exec
	cat a/exec a/wait >/dev/null
done
wait_for 5 eval '[ "$(n)" -le "$before" ]'
rmdir a
wait_for 5 eval '[ "$(n)" -lt "$before" ]'
cd / || exit 1
exit 0
