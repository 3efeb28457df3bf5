#!/bin/bash
# Jobs that wait for their sandbox to be made run when it is, also after the
# death of the front; nothing of them stays behind.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_held 20s
hold
mkdir a b || fail "mkdir"
echo 'echo first >>order; echo one' >a/exec
exec 3<>a/jobs/new
printf 'echo second >>order; cat; echo \xff\n' >&3
read -r n <&3 || fail "jobs/new"
eq "its number" "$n" 2
exec 4<>b/jobs/new
printf 'pty 20 60\necho third >>order; stty size\n' >&4
read -r t <&4 || fail "a terminal"
exec 4>&-
echo 'echo never' >b/exec
rmdir b/jobs/2 || fail "rmdir of one that waits"
has "it waits" "$(cat a/jobs/1/status)" $'state queued\n'

front=$(role 'sbxd: front')
kill -KILL "$front"
wait_for 10 gone "$front"
go
another() {
	[ -e a/ctl ] && healthy && grep -qs '^state running' a/status
}
wait_for 30 another
read -r job code _ <a/jobs/1/wait
eq "the first one" "$job $code" "1 0"
eq "what it said" "$(cat a/jobs/1/output)" one
eq "its script" "$(cat a/jobs/1/cmd)" 'echo first >>order; echo one'
# jobs/new holds the input of the second one still.
echo typed >a/jobs/2/stdin
read -r job code _ <a/jobs/2/wait
eq "the second one" "$job $code" "2 0"
eq "what it was given" "$(head -n1 a/jobs/2/output)" typed
eq "bytes of its script" "$(tail -n1 a/jobs/2/output | od -An -tx1)" " ff 0a"
eq "both ran" "$(sort a/fs/root/order | tr '\n' ' ')" "first second "
eq "begun in their order" "$(sed -n 's/.* a job-started //p' events |
    tr '\n' ' ')" "job=1 job=2 "
read -r job code _ <"b/jobs/$t/wait"
eq "the terminal" "$job $code" "1 0"
has "its size" "$(cat "b/jobs/$t/output")" "20 60"
eq "what was forgotten" "$(echo b/jobs/[0-9]*)" "b/jobs/1"
exec 3>&-
eq "the next one" "$(echo 'echo next' >a/exec; cat a/exec
    cut -d' ' -f1,2 <a/wait)" $'next\n3 0'
eq "nothing is said of their spool" "$(grep -c spool "$W/sbxd.log")" 0

# Destroyed with one that waits.
hold
mkdir c || fail "mkdir c"
echo 'echo x' >c/exec
grep -q 'state creating' c/status || fail "c: $(cat c/status)"
rmdir c
go
# What never ran began and ended all the same.
events_of() {
	grep " $1" events | cut -d' ' -f4- | tr '\n' ';'
}
eq "events of the forgotten one" "$(events_of 'b .* job=2')" \
    'job-started job=2;job-exit job=2 exit=137;'
eq "events of c" "$(events_of 'c ' | sed 's/created[^;]*;//')" \
    'job-started job=1;job-exit job=1 exit=126;destroyed;'
cd / || exit 1
stop_sbxfs
stop_sbxd USR1
eq "rows that are left" "$(python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute(
    "SELECT count(*) FROM queued").fetchone()[0])' "$DATA/state.db")" 0
run_sbxd
exit 0
