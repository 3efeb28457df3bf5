#!/bin/sh
# agent-loop.sh - the loop of a coding agent: generate a function, run its
# tests in a sandbox, score it by the exit status; ten candidates at once.
#
#	examples/agent-loop.sh      SBX=/sbx is where the mount is;
#	GENERATE=COMMAND            gets a number, prints a candidate in Python
#
# Nothing a candidate does can reach the others or this machine: one of those
# below deletes what it can, another never ends.
set -eu
sbx=${SBX:-/sbx}
work=$(mktemp -d)
boxes=
# shellcheck disable=SC2086 # a list of words
trap 'rmdir $boxes 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# What a model would answer to "write leap(year)": some right, some not.
generate() {
	case $1 in
	1) body='year % 4 == 0' ;;
	2) body='year % 4 == 0 and year % 100 != 0' ;;
	3) body='year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)' ;;
	4) body='year % 400 == 0 or year % 100 and not year % 4' ;;
	5) body='__import__("calendar").isleap(year)' ;;
	6) body='leap(year - 4) if year > 4 else False' ;;
	7) body='__import__("os").system("rm -rf /root /etc") == 0' ;;
	8) body='[] is not [x for x in iter(int, 1)]' ;;
	9) body='year / 0' ;;
	*) body='bytearray(1 << 40)' ;;
	esac
	printf 'def leap(year):\n    return bool(%s)\n' "$body"
}

# try N: score it; one line "N EXIT SECONDS" in $work/N.
try() {
	box=$sbx/agent-$$-$1
	${GENERATE:-generate} "$1" >"$box/fs/root/leap.py"
	cat >"$box/fs/root/test_leap.py" <<'END'
from leap import leap
for year, want in ((2024, True), (2023, False), (1900, False), (2000, True)):
    got = leap(year)
    assert got == want, f'leap({year}) is {got}'
END
	echo 'timeout 5' >"$box/ctl"
	echo 'python3 test_leap.py' >"$box/exec"
	cat "$box/exec" >"$work/$1.out"
	# shellcheck disable=SC2034 # the job's number
	read -r job code seconds <"$box/wait"
	echo "$1 $code $seconds" >"$work/$1"
}

candidates='1 2 3 4 5 6 7 8 9 10'
for n in $candidates; do
	boxes="$boxes $sbx/agent-$$-$n"
	mkdir "$sbx/agent-$$-$n"
	try "$n" &
done
wait

passed=0
for n in $candidates; do
	read -r _ code seconds <"$work/$n"
	if [ "$code" = 0 ]; then
		passed=$((passed + 1))
		echo "candidate $n: passed in $seconds s"
	else
		echo "candidate $n: exit $code: $(tail -n 1 "$work/$n.out")"
	fi
done
best=$(grep -h ' 0 ' "$work"/[0-9] "$work"/10 | sort -k 3 -n | head -n 1)
echo "$passed of 10 passed; the fastest is ${best%% *}"
[ "$passed" -gt 0 ]
