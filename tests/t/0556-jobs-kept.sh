#!/bin/bash
# What is kept of output is bounded, with a mark; who follows gets every byte
# all the same. Finished jobs are bounded in number and in bytes.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd '[limits]' 'job_output = "1m"' 'jobs_kept = 5' 'jobs_bytes = "4m"'
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# begin SCRIPT: which waits until go.
begin() {
	rm -f a/fs/root/go
	printf '%s\n' 'until [ -e go ]; do sleep .02; done' "$1" >a/exec
}
go() {
	touch "a/fs/root/${1:-go}"
}

# 20 MB at once, and 20 MB with pauses; two readers, one of them slow.
LINES=2500000
mark='\[output over 1048576 bytes is not kept\]'
for pause in '' '; sleep .3; seq 1 10'; do
	begin "seq 1 $LINES$pause"
	exec 5<a/exec 6<a/exec
	md5sum <&5 >"$W/fast" &
	fast=$!
	(sleep .5; md5sum) <&6 >"$W/slow" &
	slow=$!
	exec 5<&- 6<&-
	go
	wait $fast $slow
	for r in fast slow; do
		eq "a $r reader$pause" "$(cat "$W/$r")" \
		    "$( (seq 1 $LINES; [ -z "$pause" ] || seq 1 10) | md5sum)"
	done
done
n=$(readlink a/jobs/last)
size=$(stat -c %s "a/jobs/$n/output")
[ "$size" -gt 1000000 ] && [ "$size" -lt 1049000 ] || fail "kept $size bytes"
eq "the mark" "$(grep -c "$mark" "a/jobs/$n/output")" 1
eq "exact size" "$(wc -c <"a/jobs/$n/output")" "$size"
eq "a late reader" "$(grep -c "$mark" <a/exec)" 1

eq "a session" "$(bash -c 'exec 3<>a/exec
echo "seq 1 2500000; echo end" >&3; cat <&3' | md5sum)" \
    "$( (seq 1 $LINES; echo end) | md5sum)"
# The log, which has restarted meanwhile, has the last of it.
n=$(stat -c %s a/log)
n=$((n < 1000000 ? n : 1000000))
eq "the log" "$(tail -c $n a/log | md5sum)" \
    "$( (seq 1 $LINES; echo end) | tail -c $n | md5sum)"

# What a session's command says comes with its end where it is short text,
# by a file where it is not.
session() {
	bash -c 'exec 3<>a/exec
echo "$1" >&3; cat <&3; echo "${2:-true}" >&3; cat <&3' - "$@"
}
eq "nothing" "$(session true 'echo x')" x
eq "text with a NUL" "$(session "printf 'a\\0\\303\\244'" | od -An -tx1 | tr -d " ")" 6100c3a4
eq "no text" "$(session "printf '\\377\\0x'" | od -An -tx1 | tr -d " ")" ff0078
for size in 4096 4097 9000 100000; do
	eq "$size bytes" "$(session "head -c $size /dev/zero | tr '\\0' x" \
	    'echo y' | tr -d '\n' | sha256sum)" \
	    "$( (head -c $size /dev/zero | tr '\0' x; printf y) | sha256sum)"
done
eq "slowly" "$(session 'echo a; sleep .1; echo b; sleep .1; echo c' 'echo d' |
    tr -d '\n')" abcd

# Who comes late has the mark, and the end.
begin "seq 1 $LINES; until [ -e go2 ]; do sleep .02; done; echo end"
exec 5<a/exec
cat <&5 >"$W/first" &
first=$!
exec 5<&-
go
cut_now() {
	[ "$(stat -c %s a/jobs/last/output)" -gt 1040000 ]
}
wait_for 5 cut_now
exec 5<a/exec
go go2
eq "late while it runs" "$(grep -c "$mark" <&5)" 1
exec 5<&-
wait $first
eq "the first one" "$(tail -n1 "$W/first")" end

# A reader that reads nothing holds it up, one that is killed does not.
begin "seq 1 $LINES; touch done"
exec 5<a/exec
go
wait_for 5 cut_now
sleep .3
[ ! -e a/fs/root/done ] || fail "nobody waited for a reader"
exec 5<&-
cat a/wait >/dev/null
[ -e a/fs/root/done ] || fail "it did not go on"
echo "seq 1 $LINES; rm done" >a/exec
cat a/exec >/dev/null &
kill -KILL $!
cat a/wait >/dev/null
[ ! -e a/fs/root/done ] || fail "a killed reader stops the job"

# The front dies while the pipe is in use: what it had in hand is lost, the job
# goes on, and so does who reads.
begin "seq 1 $LINES; sleep 1; echo end"
exec 5<a/exec
go
head -c 3000000 <&5 >/dev/null
old=$(role 'sbxd: front')
kill -KILL "$old"
wait_for 10 gone "$old"
wait_for 20 healthy
reads() {
	cat <&5 >>"$W/rest" 2>/dev/null
}
if is_remote; then # the job does not wait for who was cut off
	reads && fail "that bytes are lost is not said"
	wait_for 10 reads
else
	wait_for 10 reads
	has "after a restart" "$(tail -n1 "$W/rest")" end
fi
exec 5<&-

# Bounded in number, and in bytes: the oldest go, the newest stays.
for i in 1 2 3 4 5 6 7 8; do
	echo "echo $i" >a/exec
	cat a/exec >/dev/null
done
numbers() {
	for d in a/jobs/[0-9]*; do
		basename "$d"
	done
}
last=$(readlink a/jobs/last)
eq "five" "$(numbers | sort -n | tr '\n' ' ')" \
    "$(seq -s' ' $((last - 4)) "$last") "
for i in 1 2 3 4; do
	echo "seq 1 $LINES" >a/exec
	cat a/exec >/dev/null
done
eq "4 MiB" "$(numbers | wc -l)" 3
id=$(sed -n "s/^id //p" a/status)
used=$(du -s --apparent-size -k "$DATA/sandboxes/$id/spool" | cut -f1)
# three jobs, and the log, of 16 MiB
[ "$used" -lt 25000 ] || fail "the spool has $used KiB"

# One that makes room as its sandbox is destroyed brings nothing of it back:
# neither its name nor, after a restart, its row.
mkdir b || fail mkdir
for _ in 1 2 3 4 5; do
	echo true >b/exec
	read -r _ <b/wait
done
chmod 750 b/jobs/1 || fail chmod
echo 'sleep 99' >b/exec
wait_for 5 test -d b/jobs/6
rmdir b || fail rmdir
[ ! -e b ] || fail "b is there again"
cd / || exit 1
stop_sbxfs
stop_sbxd USR1
run_sbxd
eq "after a restart" "$(http GET /sandboxes | json 'x[0]["name"], len(x)')" \
    '["a", 1]'
exit 0
