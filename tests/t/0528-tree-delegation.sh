#!/bin/bash
# chmod and chown delegate, and are remembered over every restart; members of
# the group make sandboxes of their own and see no others.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_tool setpriv
local_only "other users" || exit 77
start_sbxd
start_sbxfs
cd "$M" || exit 1

# as UID GROUP COMMAND...: of that group and of no other.
as() {
	setpriv --reuid="$1" --regid="$2" --clear-groups "${@:3}"
}
group=$(stat -c %g ctl)
member=(as 1000 "$group")
other=(as 1001 "$group")

# Whoever is in the group makes its own, by every way there is.
check "create" "${member[@]}" sh -c 'echo "create mine" >ctl'
check "mkdir" "${member[@]}" mkdir made
check "new" "${member[@]}" bash -c \
    'exec 3<>new; read -r n <&3; echo keep >&3; mv $n held'
for name in mine made held; do
	eq "owner of $name" "$(stat -c '%u %a' $name)" '1000 700'
	eq "owner of its files" \
	    "$(stat -c %u $name/ctl $name/exec $name/fs/root | sort -u)" 1000
done
check "another's" "${other[@]}" mkdir theirs
eq "a name is one for all" "$("${other[@]}" mkdir mine 2>&1 |
    grep -c 'File exists')" 1
eq "its list" "$("${other[@]}" sh -c 'echo */')" 'profiles/ theirs/'
eq "its ctl" "$("${other[@]}" cat ctl)" 'create theirs profile=default'
eq "its status" "$("${other[@]}" sed -n 's/^sandboxes //p' status)" 1
eq "its events" "$("${other[@]}" awk '{ print $3 }' events | sort -u)" theirs
"${other[@]}" sh -c 'echo frob >theirs/ctl' 2>/dev/null
eq "its errors" "$("${other[@]}" cat errors | wc -l)" 1
for what in 'cat mine/status' 'rmdir mine' 'rm -rf mine' 'mv mine yours' \
    'ls mine' 'mkdir mine/x' 'cat pool'; do
	"${other[@]}" sh -c "$what" >/dev/null 2>&1 &&
	    fail "another user's '$what' is done"
done
eq "destroy of another's" "$("${other[@]}" bash -c 'echo "destroy mine" >ctl' \
    2>&1 | grep -c 'No such file')" 1
[ -d mine ] || fail "it is gone"
eq "a stranger" "$(as 1002 1002 bash -c 'echo create >ctl' 2>&1 |
    grep -c 'Permission denied')" 1
eq "a stranger's mkdir" "$(as 1002 1002 mkdir strange 2>&1 |
    grep -c 'Permission denied')" 1

# The owner lets a team in, by the files it wants.
chown 1000:2000 mine || fail "chown"
check "the directory" as 1000 2000 chmod 750 mine
check "env" as 1000 2000 chmod 660 mine/env
check "exec" as 1000 2000 chmod 620 mine/exec
check "fs" as 1000 2000 sh -c 'echo hi >mine/fs/root/f'
team=(as 1003 2000)
check "the team's env" "${team[@]}" sh -c 'echo T=1 >>mine/env'
check "the team's exec" "${team[@]}" sh -c 'echo "echo \$T" >mine/exec'
eq "what it did" "$(cat mine/exec)" 1
eq "not its ctl" "$("${team[@]}" bash -c 'echo stop >mine/ctl' 2>&1 |
    grep -c 'Permission denied')" 1
eq "not to read" "$("${team[@]}" cat mine/exec 2>&1 |
    grep -c 'Permission denied')" 1
eq "not the team" "$(as 1001 2001 cat mine/status 2>&1 |
    grep -c 'Permission denied')" 1
eq "nobody gives away" "$("${member[@]}" chown 1001 made 2>&1 |
    grep -c 'not permitted')" 1

# Root gives the root's files to whom it trusts.
chown 1000:2000 pool && chmod 640 pool && chmod 0640 errors ||
    fail "pool"
check "the pool's owner" "${member[@]}" sh -c 'echo "default 1 max=3" >pool'
check "its group reads" "${team[@]}" cat pool >/dev/null
chmod 666 ctl || fail "chmod ctl"
check "a stranger now" as 1002 1002 sh -c 'echo "create strange" >ctl'
eq "who has it" "$(stat -c %u strange)" 1002
eq "nobody but root" "$("${member[@]}" chmod 666 new 2>&1 |
    grep -c 'not permitted')" 1

# One job's output, and no other's; a profile is root's to show.
for n in 2 3; do
	echo "echo job $n" >mine/exec
	[ "$(cat mine/exec)" = "job $n" ] || fail "job $n"
done
as 1000 2000 chmod 710 mine/jobs && as 1000 2000 chmod 750 mine/jobs/3 &&
    as 1000 2000 chmod 400 mine/jobs/3/stderr &&
    as 1000 2000 chmod 660 mine/jobs/new || fail "chmod of a job"
eq "its output" "$("${team[@]}" cat mine/jobs/3/output)" "job 3"
eq "what is there" "$("${team[@]}" ls mine/jobs/3 | wc -w)" 8
for what in 'ls mine/jobs' 'cat mine/jobs/3/stderr' 'cat mine/jobs/2/output' \
    'echo kill >mine/jobs/3/ctl' 'rmdir mine/jobs/3'; do
	eq "$what" "$("${team[@]}" bash -c "$what" 2>&1 |
	    grep -c 'Permission denied')" 1
done
eq "the team's own" "$("${team[@]}" bash -c \
    'exec 3<>mine/jobs/new; echo true >&3; read -r n <&3; echo $n')" 4
chmod 750 mine/jobs/4 && chmod 600 mine/jobs/4/ctl || fail "chmod of 4"
check "rm of a job" "${member[@]}" rm -r mine/jobs/4
chgrp 2000 profiles/default && chmod 440 profiles/default || fail "profile"
check "the team reads it" "${team[@]}" cat profiles/default >/dev/null
eq "others do not" "$("${member[@]}" cat profiles/default 2>&1 |
    grep -c 'Permission denied')" 1
eq "nobody but root" "$("${member[@]}" chmod 444 profiles/default 2>&1 |
    grep -c 'not permitted')" 1

modes() {
	stat -c '%n %a %u %g' ctl new pool errors profiles mine mine/env \
	    mine/exec mine/ctl made strange profiles/default mine/jobs \
	    mine/jobs/new mine/jobs/[23] mine/jobs/3/*
}
before=$(modes)
eq "as told" "$(stat -c '%a %u %g' pool mine mine/env ctl | tr '\n' ' ')" \
    "640 1000 2000 750 1000 2000 660 1000 2000 666 0 $group "
# What one mount is told, another that stands there shows soon.
mkdir "$W/two" && "$B/sbxfs" -f -s "$RUN/files.sock" "$W/two" \
    >>"$W/sbxfs.log" 2>&1 </dev/null &
two=$!
there() {
	[ -e "$W/two/mine/jobs/3" ]
}
wait_for 10 there
is_771() {
	[ "$(stat -c %a .)" = 771 ]
}
for dir in mine mine/jobs mine/jobs/3; do
	cd "$W/two/$dir" || exit 1
	stat -c %a . >/dev/null
	chmod 771 "$M/$dir" || fail "chmod"
	wait_for 5 is_771
	cd "$M" || exit 1
done
chmod 750 mine mine/jobs/3 && chmod 710 mine/jobs || fail "chmod back"
umount "$W/two" && ended $two 5 || fail "the other mount stays"
cd / || exit 1
stop_sbxfs
start_sbxfs
eq "another sbxfs" "$(cd "$M" && modes)" "$before"
front=$(role 'sbxd: front')
kill -KILL "$front"
another_front() {
	local now

	now=$(role 'sbxd: front')
	[ -n "$now" ] && [ "$now" != "$front" ] && healthy &&
	    [ -e "$M/mine/ctl" ]
}
wait_for 20 another_front
eq "another front" "$(cd "$M" && modes)" "$before"
stop_sbxfs
stop_sbxd USR1
# What is said of a job goes with it.
row=$(python3 -c 'import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(
        "SELECT modes FROM sandbox WHERE name = ?", ("mine",)):
    print(row[0])' "$DATA/state.db")
has "of a job" "$row" '"jobs/3/stderr"'
[[ "$row" != *jobs/4* ]] || fail "it outlives the job: $row"
run_sbxd
start_sbxfs
eq "another daemon" "$(cd "$M" && modes)" "$before"
cd "$M" || exit 1
check "the team still may" "${team[@]}" sh -c 'echo T=2 >>mine/env'
check "the owner ends it" "${member[@]}" rm -r mine made held
check "its owner ends it" as 1002 "$group" rmdir strange
rmdir theirs || fail "rmdir"
cd / || exit 1
exit 0
