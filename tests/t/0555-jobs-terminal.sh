#!/bin/bash
# A job with a terminal: its size, raw bytes, signals by keys, editors.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# terminal SCRIPT: starts it, $n is its number.
terminal() {
	exec 4<>a/jobs/new
	printf 'pty 24 80\n%s\n' "$1" >&4
	read -r n <&4 || fail "no number: $(tail -n1 errors)"
	exec 4>&-
	d=a/jobs/$n
}
# shows TEXT: the job's output has it.
shows() {
	grep -qF -- "$1" "$d/output"
}
code() {
	cut -d' ' -f2 "$d/wait"
}

terminal 'stty size; tty; echo $TERM; read x; stty size; echo "got $x"'
wait_for 5 shows "24 80"
wait_for 5 shows /dev/pts/
wait_for 5 shows xterm
eq "ctl" "$(cat "$d/ctl")" "winsize 24 80"
echo 'winsize 50 132' >"$d/ctl" || fail winsize
eq "ctl after winsize" "$(cat "$d/ctl")" "winsize 50 132"
echo hello >"$d/stdin"
eq "exit" "$(code)" 0
has "a line" "$(cat "$d/output")" "got hello"
has "the new size" "$(cat "$d/output")" "50 132"
has "echo by the terminal" "$(tr -d "\r" <"$d/output")" "hello
"
eq "stderr" "$(cat "$d/stderr")" ""

# Its input does not end with a writer; ^D and ^C are keys.
terminal 'cat; echo end'
echo one >"$d/stdin"
echo two >"$d/stdin"
wait_for 5 shows two
echo eof >"$d/ctl" || fail eof
eq "after eof" "$(code)" 0
has "end" "$(cat "$d/output")" end
terminal 'trap "echo interrupted; exit 3" INT; echo ready; sleep 99 & wait'
wait_for 5 shows ready
printf '\003' >"$d/stdin"
eq "^C" "$(code)" 3
has "says" "$(cat "$d/output")" interrupted
terminal 'trap "echo resized; exit 4" WINCH; echo ready; sleep 99 & wait'
wait_for 5 shows ready
echo 'winsize 10 20' >"$d/ctl"
eq "SIGWINCH" "$(code)" 4

# Raw: every byte arrives as it is, both ways.
terminal 'stty raw -echo; echo ready; head -c 256 | md5sum; head -c 100000 /dev/urandom >r; cat r'
wait_for 5 shows ready
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))' >"$W/all"
cat "$W/all" >"$d/stdin"
eq "raw" "$(code)" 0
has "256 bytes" "$(head -c 100 "$d/output")" "$(md5sum <"$W/all")"
eq "100,000 bytes" "$(tail -c 100000 "$d/output" | md5sum)" \
    "$(md5sum <a/fs/root/r)"

# All that it said before its end is there, though nobody looked meanwhile.
terminal 'seq 1 20000'
eq "exit" "$(code)" 0
eq "20,000 lines" "$(tr -d '\r' <"$d/output" | md5sum)" \
    "$(seq 1 20000 | md5sum)"
# What holds the terminal after the job's end keeps nobody waiting.
terminal 'sleep 5 & echo over'
eq "background" "$(timeout 4 cat "$d/wait" | cut -d' ' -f2)" 0
# Its end hangs up: what is in the foreground does not stay.
terminal 'echo $$; exec sleep 1000'
wait_for 5 grep -q '^[0-9]' "$d/output"
echo 'kill HUP' >"$d/ctl"
eq "hung up" "$(code)" 129

# A session of `cat exec` sees it as it comes; so does a follower of output.
terminal 'i=0; while read -r x; do echo "[$x]"; done'
timeout 20 tail -s .1 -n +1 -f "$d/output" >"$W/tail" &
tail=$!
echo abc >"$d/stdin"
wait_for 5 grep -q '\[abc\]' "$W/tail"
kill $tail
eq "cat exec" "$( (sleep .3; printf '\004' >"$d/stdin") & tr -d '\r' <a/exec)" "abc
[abc]"

for bad in 'pty 0 80' 'pty 24' 'pty x y' 'pty 24 80 1' 'pty 1 70000'; do
	out=$( (exec 4<>a/jobs/new; printf '%s\ntrue\n' "$bad" >&4
	read -r n <&4) 2>&1)
	has "$bad" "$out" "Invalid argument"
	has "$bad: says" "$(tail -n1 errors)" "usage: pty ROWS COLS"
done

# Editors.
wait_gone() {
	[ "$(sed -n 's/^state //p' "$d/status")" = ended ]
}
edited=
if command -v vim.basic >/dev/null; then
	terminal 'exec vim.basic -u NONE -N new.txt'
	wait_for 10 shows 'new.txt'
	printf 'ihello from vim\rsecond line\033' >"$d/stdin"
	wait_for 5 shows second
	echo 'winsize 40 100' >"$d/ctl" || fail winsize
	printf ':wq\r' >"$d/stdin"
	eq "vim" "$(code)" 0
	eq "what it wrote" "$(cat a/fs/root/new.txt)" "hello from vim
second line"
	edited=1
fi
if command -v nano >/dev/null; then
	terminal 'exec nano -I other.txt'
	wait_for 10 shows 'other.txt'
	printf 'by nano' >"$d/stdin"
	wait_for 5 shows nano
	printf '\017\r' >"$d/stdin"
	wait_for 5 test -s a/fs/root/other.txt
	printf '\030' >"$d/stdin"
	eq "nano" "$(code)" 0
	eq "what it wrote" "$(cat a/fs/root/other.txt)" "by nano"
	edited=1
fi
[ -n "$edited" ] || skip "neither vim nor nano"
cd / || exit 1
exit 0
