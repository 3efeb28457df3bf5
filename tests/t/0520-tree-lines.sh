#!/bin/bash
# Values, commands, logs: snapshots, whole lines, cut lines, sizes.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# Lines before the failing one are done, those after it are not (dash writes
# all at once).
dash -c 'printf "create c\nfrob\ncreate d\n" >ctl' 2>/dev/null &&
    fail "a wrong line was taken"
[ -d c ] && [ ! -d d ] || fail "not as far as the wrong line: $(echo *)"
rmdir c

# Sizes are exact, and times change only with what is in there.
for f in ctl status a/ctl a/status a/stats a/ports; do
	eq "size of $f" "$(stat -c %s "$f")" "$(wc -c <"$f")"
done
t=$(stat -c %y a/env)
sleep 0.1
eq "an unchanged file's time" "$(stat -c %y a/env)" "$t"
echo X=1 >a/env
[ "$(stat -c %y a/env)" != "$t" ] || fail "a changed file's time stands still"
for tool in "cat" "busybox cat" "head -c 100" "tail -n1" "sed p -n"; do
	# shellcheck disable=SC2086 # with their options
	eq "$tool" "$($tool a/env | cat)" X=1
done
cp a/env "$W/env"
eq "cp" "$(cat "$W/env")" X=1
eq "python copies" "$(python3 -c 'import shutil
shutil.copyfile("a/env", "'"$W"'/env"); print(open("'"$W"'/env").read(),
end="")')" X=1

# A reader has what was there when it opened.
exec 5<a/env
echo Y=2 >a/env
eq "a snapshot" "$(cat <&5)" X=1
exec 5<&-
eq "after it" "$(cat a/env)" Y=2

# Shells cut long lines: bash at multiples of 4096, zsh as well.
long=$(head -c 20000 /dev/zero | tr '\0' x)
for sh in bash zsh dash; do
	command -v $sh >/dev/null || continue
	check "$sh: a long line" env -i PATH="$PATH" L="${long:0:20000}" \
	    $sh -c 'echo "V=$L" >a/env'
	eq "$sh: its size" "$(stat -c %s a/env)" 20003
done
out=$(python3 -c "import os
os.write(os.open('a/env', os.O_WRONLY), b'V=' + b'x' * 140000)" 2>&1)
has "a value over 128 KiB" "$out" "Argument list too long"
: >a/env
eq "emptied" "$(stat -c %s a/env)" 0
eq "vim" "$(vim -es -u NONE -i NONE -c 'normal iA=1' -c 'normal oB=2' \
    -c wq a/env >/dev/null 2>&1; cat a/env)" $'A=1\nB=2'

# What ctl shows is what it takes.
echo 'memory 300M' >a/ctl
mkdir b
check "copy of settings" sh -c 'cat a/ctl >b/ctl'
eq "copied" "$(cat b/ctl)" "$(cat a/ctl)"
rmdir b

# Errors are one's own.
as() {
	setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"
}
if local_only "other users"; then
	echo frob-root >a/ctl 2>/dev/null
	chmod 666 ctl
	as 1000 sh -c 'echo frob-user >ctl' 2>/dev/null
	has "root sees all" "$(tail -n1 errors)" frob-user
	has "the user's" "$(as 1000 cat errors)" frob-user
	[[ $(as 1000 cat errors) != *frob-root* ]] || fail "errors of others"
fi
has "by pid" "$(bash -c 'echo frob-pid >a/ctl 2>/dev/null
    grep " pid=$$ " errors | tail -n1')" frob-pid

# Logs grow.
eq "log, size" "$(stat -c %s a/log)" 0
echo 'echo one; echo two >&2' >a/exec
cat a/exec >/dev/null
eq "log" "$(cat a/log)" $'one\ntwo'
eq "log, size" "$(stat -c %s a/log)" 8
eq "from an offset" "$(tail -c 4 a/log)" two
(timeout 2 tail -s .1 -n0 -f a/log >"$W/tail" &
    sleep 0.5
    echo 'echo tailed' >a/exec
    wait)
eq "tail -f" "$(cat "$W/tail")" tailed
has "events" "$(cat events)" " a created"
has "events" "$(cat events)" " a job-exit job=1 exit=0"
eq "writing a log" "$(bash -c 'echo x >a/log' 2>&1 | grep -c denied)" 0
cd / || exit 1
exit 0
