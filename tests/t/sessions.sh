# sessions.sh - what people type at a shell, in a directory that is a mount of
# sandboxes; sourced by bash, dash, zsh and busybox sh (0505). $P begins the
# names it makes, $T is a directory to write in. Prints what is not as it
# should be, and at last "done".
# shellcheck shell=sh disable=SC2002,SC2010,SC2012,SC2320,SC2016,SC2126,SC2028,SC1010

t() {
	[ "$2" = "$3" ] || printf '%s: got "%s", want "%s"\n' "$1" "$2" "$3"
}

# Commands, errors, and whose they are.
a=${P}a b=${P}b
echo "create $a memory=64M" >ctl || tail -n1 errors
t "made" "$(ls -d "$a")" "$a"
(echo "create $a" >ctl) 2>/dev/null && echo "a name was taken twice"
t "its sentence" "$(grep -c "the name $a is taken" errors)" 1
echo frob 2>/dev/null >ctl
t "what failed" "$?" 1
t "my errors" "$(grep " pid=$$ " errors | tail -n1 | grep -c '"frob"$')" 1
(set -e; echo frob >ctl; echo "set -e goes on") 2>/dev/null
t "set -e" $? 1
(set -e; echo 'memory 65M' >"$a/ctl"; echo reached >"$T/reached")
t "set -e, a good line" "$(cat "$T/reached")" reached

# Scripts, by every way to write one.
echo 'ls -d /; echo err >&2' >"$a/exec"
t "echo, cat" "$(cat "$a/exec")" "/
err"
cat >"$a/exec" <<'E'
for i in 1 2 3; do echo $i; done
E
t "heredoc" "$(cat "$a/exec")" "1
2
3"
word=expanded
cat >"$a/exec" <<E
echo $word
E
t "heredoc that expands" "$(cat "$a/exec")" expanded
printf 'echo from\necho a file\n' >"$T/script"
cat "$T/script" >"$a/exec"
t "cat script" "$(cat "$a/exec" | tr '\n' ' ')" "from a file "
cp "$T/script" "$a/exec"
t "cp script" "$(cat "$a/exec" | tr '\n' ' ')" "from a file "
{ echo 'echo a'; /bin/echo 'echo b'; cat "$T/script"; } >"$a/exec"
t "several writers" "$(cat "$a/exec" | tr '\n' ' ')" "a b from a file "
printf 'echo %s\n' x y | tee "$a/exec" >/dev/null
t "tee" "$(cat "$a/exec" | tr '\n' ' ')" "x y "
: >"$a/exec"
t "nothing written runs nothing" "$(cat "$a/exec" | tr '\n' ' ')" "x y "
printf '#!/bin/cat\nitself\n' >"$a/exec"
t "#!" "$(cat "$a/exec")" "#!/bin/cat
itself"
echo 'seq 1 1000' >"$a/exec"
t "a pipe" "$(cat "$a/exec" | grep -c 9)" 271
t "head closes it" "$(cat "$a/exec" | head -n 1)" 1
t "while read" "$(n=0; while read -r i; do n=$((n + i)); done <"$a/exec"
    echo $n)" 500500
echo 'cat; echo end' >"$a/exec"
t "no input" "$(cat "$a/exec")" end

# Exit status.
echo 'echo out; exit 3' >"$a/exec"
cat "$a/exec" >/dev/null
read -r job code secs <"$a/wait"
t "its exit" "$code" 3
t "its number" "$job" "$(readlink "$a/jobs/last")"
t "its seconds" "$(echo "$secs" | grep -cE '^[0-9]+\.[0-9]{3}$')" 1
(echo 'exit 4' >"$a/exec"; cat "$a/exec"
    read -r job code secs <"$a/wait"; exit "$code")
t "as a command's own" $? 4
echo 'sleep .2; kill -9 $$' >"$a/exec"
read -r job code secs <"$a/wait"
t "of a signal" "$code" 137
echo 'false; echo $?' >"$a/exec"
t "in the output" "$(cat "$a/exec")" 1
t "in status" "$(sed -n 's/^exit //p' "$a/status")" 0

# A session.
exec 3<>"$a/exec"
echo 'cd /tmp; echo x >f; ls' >&3
n=0
while read -r f <&3; do
	n=$((n + 1))
	t "a file" "$f" f
done
t "lines" $n 1
echo 'df / | tail -n 1' >&3
t "the next command" "$(cat <&3 | wc -l)" 1
echo 'echo several
echo lines' >&3
t "of several lines" "$(cat <&3)" "several
lines"
cat >&3 <<'E'
echo by heredoc
E
t "heredoc in a session" "$(cat <&3)" "by heredoc"
echo 'sleep 5' >&3
(echo 'echo more' >&3) 2>"$T/err"
t "while one runs" "$(grep -ci 'busy\|i/o error' "$T/err")" 1
exec 3>&-
t "closed: its job is killed" "$(cut -d' ' -f2 <"$a/jobs/last/wait")" 137

# noclobber.
set -C
(echo A=1 >"$a/env") 2>/dev/null && echo "set -C: > went through"
echo A=1 >|"$a/env"
echo B=2 >>"$a/env"
set +C
t "set -C" "$(cat "$a/env" | tr '\n' ' ')" "A=1 B=2 "
echo "C=it's \"all\" verbatim  " >"$a/env"
echo 'echo "$A$C."' >"$a/exec"
t "env" "$(cat "$a/exec")" "it's \"all\" verbatim  ."

# Words are quoted as in a shell.
echo "label note='it'\''s' " >"$a/ctl"
t "a quote" "$(sh -c "printf '%s.\n' $(sed -n 's/^label //p' "$a/ctl")")" \
    "note=it's."
echo "label note=\"a b\"" >"$a/ctl"
grep '^label ' "$a/ctl" >"$T/label"
echo 'label note' >"$a/ctl"
cat "$T/label" >"$a/ctl"
t "read back" "$(grep -c '^label .*a b' "$a/ctl")" 1
printf '# a comment\n\nmemory 70M\n' >"$a/ctl"
t "comments" "$(grep '^memory' "$a/ctl")" "memory $((70 << 20))"

# Settings and sandboxes, saved and restored.
mkdir "$b"
cat "$a/ctl" >"$b/ctl"
t "cat a/ctl > b/ctl" "$(cat "$b/ctl")" "$(cat "$a/ctl")"
grep "^create ${P}[ab] " ctl >"$T/saved"
rmdir "$b"
echo "destroy $a" >ctl
t "destroyed" "$(ls | grep -c "^$P")" 0
cat "$T/saved" >ctl
t "restored" "$(grep "^create ${P}[ab] " ctl)" "$(cat "$T/saved")"

# Background jobs of the shell, and many at once.
echo 'sleep .3; echo late' >"$a/exec"
cat "$a/exec" >"$T/1" &
one=$!
cat "$a/wait" >"$T/2" &
t "meanwhile" "$(sed -n 's/^running //p' "$a/status")" 1
wait $one $!
t "in the background" "$(cat "$T/1") $(cut -d' ' -f2 "$T/2")" "late 0"
printf '%s\n' 1 2 3 4 | xargs -I% -P 4 mkdir "${P}x%"
t "xargs mkdir" "$(ls | grep -c "^${P}x")" 4
for i in 1 2 3 4; do
	(echo "echo $i" >"${P}x$i/exec"; cat "${P}x$i/exec" >"$T/x$i") &
done
wait
t "in parallel" "$(cat "$T"/x[1-4] | tr '\n' ' ')" "1 2 3 4 "
t "find -exec" "$(find "${P}"x* -maxdepth 1 -name status -exec \
    grep -l '^state running$' {} + | wc -l)" 4
t "grep -l" "$(grep -l '^running 0' "${P}"x*/status | wc -l)" 4
echo 'ls -d' "${P}"x* | sed 's/ls -d //' | xargs rmdir
t "xargs rmdir" "$(ls | grep -c "^${P}x")" 0

# Interrupts end the question, not the job.
echo 'sleep 1; echo survived' >"$a/exec"
timeout -s INT .2 cat "$a/exec"
t "^C of cat exec" $? 124
timeout -s INT .2 cat "$a/wait"
t "^C of cat wait" $? 124
timeout -s INT .2 sh -c "read -r j c s <$a/wait"
t "^C of read" $? 124
t "the job goes on" "$(cat "$a/exec")" survived

# A job of one's own, by number.
exec 5<>"$a/jobs/new"
echo 'echo mine; echo no >&2; exit 5' >&5
read -r j <&5
exec 5>&-
read -r n code secs <"$a/jobs/$j/wait"
t "jobs/N" "$n $code $(cat "$a/jobs/$j/stdout") $(cat "$a/jobs/$j/stderr")" \
    "$j 5 mine no"
t "cmd" "$(cat "$a/jobs/$j/cmd")" 'echo mine; echo no >&2; exit 5'
t "jobs/last" "$(cat "$a/jobs/last/cmd")" "$(cat "$a/jobs/$j/cmd")"
rmdir "$a/jobs/$j"
t "forgotten" "$(ls "$a/jobs" | grep -cx "$j")" 0

# Logs that are followed.
(timeout 4 tail -s .1 -n0 -f "$a/log" | head -n 1 >"$T/tail") &
# Whose size the kernel has at hand may be another user's: sbx(7), BUGS.
(timeout 4 tail -s .1 -n0 -f events 2>/dev/null | while read -r seq time name ev rest; do
	[ "$name $ev" != "$a job-exit" ] || echo "$ev $rest" >"$T/event"
done) &
sleep 1
echo 'echo followed; exit 6' >"$a/exec"
read -r job code secs <"$a/wait"
wait
t "tail -f log" "$(cat "$T/tail")" followed
t "tail -f events" "$(cat "$T/event")" "job-exit job=$job exit=6"

# As long as this descriptor.
exec 4<>new
echo 'memory=64M label.of=session' >&4
read -r n <&4
echo 'pids 100' >&4
t "new" "$(grep -c '^memory 67108864\|^label of=session\|^pids 100' "$n/ctl")" 3
sleep 5 4<&- &
exec 4>&-
i=0
while [ -d "$n" ] && [ $i -lt 60 ]; do sleep .05; i=$((i + 1)); done
[ ! -d "$n" ] || echo "$n outlives its descriptor"
kill $! && wait $! 2>/dev/null

# Up and down, names, the end.
echo stop >"$a/ctl"
(echo true >"$a/exec") 2>"$T/err"
t "exec of a stopped one" "$(grep -ci 'host is down' "$T/err")" 1
printf 'start\npause\nresume\n' >"$a/ctl"
t "up again" "$(sed -n 's/^state //p' "$a/status")" running
mv "$a" "${P}c"
t "mv" "$(sed -n 's/^name //p' "${P}c/status")" "${P}c"
echo kept >"${P}c/fs/root/file"
rm -rf "${P}c"
rmdir "$b"
t "nothing left" "$(ls | grep -c "^$P")" 0
echo done
