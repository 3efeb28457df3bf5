#!/bin/bash
# rm in all its variants of a job: of one that has ended, and of one that runs.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_tool busybox
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# job SCRIPT: runs it by jobs/new; its number is in $n.
job() {
	exec 3<>a/jobs/new
	echo "$1" >&3
	read -r n <&3
	exec 3>&-
}


# Runs each over a job that has ended and over one that runs.
while read -r how; do
	for script in 'echo out; echo err >&2' 'exec sleep 3600'; do
		job "$script"
		case $script in
		echo*) read -r _ <"a/jobs/$n/wait" ;;
		esac
		out=$(eval "${how//DIR/a/jobs/$n}" 2>&1) ||
		    fail "$how: $? $out"
		eq "what '$how' says" "$out" ""
		[ ! -e "a/jobs/$n" ] || fail "$how: still there"
		has "its number" " $(cd a/jobs && echo *) " " new "
		[[ " $(cd a/jobs && echo *) " != *" $n "* ]] ||
		    fail "$how: it is listed"
	done
done <<'X2'
rmdir DIR
rm -rf DIR
rm -r DIR
rm -r -v DIR >/dev/null
busybox rm -r DIR
busybox rm -rf DIR
find DIR -delete
python3 -c 'import shutil; shutil.rmtree("DIR")'
rm -f DIR/ctl && rm -r DIR
X2
eq "nothing of them runs" "$(sed -n 's/^jobs //p;s/^running //p' a/status |
    tr '\n' ' ')" "0 0 "
[ -d a/fs ] || fail "the sandbox is gone"

# It is ctl that ends it; what is left is found for a while, and not listed.
job 'echo kept'
read -r _ <"a/jobs/$n/wait"
for f in cmd status stdout output wait; do
	out=$(rm -f "a/jobs/$n/$f" 2>&1) && fail "rm of $f alone"
	has "rm of $f" "$out" "Operation not permitted"
done
has "why" "$(tail -n1 errors)" "a/jobs/$n: wait: it cannot be removed"
eq "it is whole" "$(cat "a/jobs/$n/output")" kept
check "rm of ctl" rm -f "a/jobs/$n/ctl"
eq "what is left" "$(cd "a/jobs/$n" && echo *)" \
    "cmd output status stderr stdin stdout wait"
eq "its output" "$(cat "a/jobs/$n/output" 2>&1)" \
    "cat: a/jobs/$n/output: No such file or directory"
gone() {
	[ ! -e "a/jobs/$n" ]
}
wait_for 8 gone

# Where a sandbox goes with its jobs' husks, nothing of them stays.
job true
read -r _ <"a/jobs/$n/wait"
check "a husk in it" rm -f "a/jobs/$n/ctl"
check "rm of all" rm -r a
check "mkdir" mkdir a
eq "no jobs" "$(cd a/jobs && echo *)" new
rmdir a
cd / || exit 1
exit 0
