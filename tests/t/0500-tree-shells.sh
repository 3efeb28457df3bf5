#!/bin/bash
# What shells and programs do with exec, wait, env, new and jobs/new.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
# shellcheck disable=SC2016 # the scripts are for other shells
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# run SHELL SCRIPT: its output in one line.
run() {
	# shellcheck disable=SC2086 # "busybox sh" is two words
	timeout $((20 * SLOW)) $1 -c "$2" 2>&1 | tr '\n' ' '
}

for sh in bash dash zsh "busybox sh"; do
	command -v "${sh%% *}" >/dev/null || continue
	eq "$sh: echo, cat" \
	    "$(run "$sh" 'echo "echo hi; echo err >&2" >a/exec; cat a/exec')" \
	    "hi err "
	eq "$sh: heredoc" "$(run "$sh" 'cat >a/exec <<\X
for i in 1 2 3; do echo $i; done
X
cat a/exec')" "1 2 3 "
	eq "$sh: several writers of one script" "$(run "$sh" \
	    '{ echo "echo one"; /bin/echo "echo two"; } >a/exec; cat a/exec')" \
	    "one two "
	eq "$sh: cat inside the braces" "$(run "$sh" \
	    '{ echo "echo x"; } >a/exec; { cat a/exec; cat a/exec; }')" "x x "
	eq "$sh: wait" "$(run "$sh" \
	    'echo "exit 3" >a/exec; read -r j c s <a/wait; echo "$c"')" "3 "
	eq "$sh: wait after a signal" "$(run "$sh" \
	    'echo "kill -9 \$\$" >a/exec; read -r j c s <a/wait; echo "$c"')" \
	    "137 "
	eq "$sh: wait's line" "$(run "$sh" 'echo true >a/exec
	    cat a/wait' | grep -cE '^[0-9]+ 0 [0-9]+\.[0-9]{3} $')" 1
	eq "$sh: a session" "$(run "$sh" 'exec 3<>a/exec
	    echo "cd /tmp; pwd" >&3; cat <&3
	    echo "echo two; echo three" >&3
	    while read -r l <&3; do echo "got $l"; done
	    printf "echo a\necho b\n" >&3; cat <&3; cat <&3; echo end')" \
	    "/tmp got two got three a b end "
	eq "$sh: a session is not the newest job" "$(run "$sh" \
	    'echo "echo newest" >a/exec; cat a/exec >/dev/null
	    exec 3<>a/exec; echo "echo mine" >&3; cat <&3; cat a/exec')" \
	    "mine newest "
	eq "$sh: env" "$(run "$sh" 'echo FOO=1 >a/env; echo "B=x  y" >>a/env
	    cat a/env; echo FOO >>a/env; echo "echo \"\$B\$FOO\"" >a/exec
	    cat a/exec; : >a/env; cat a/env')" "FOO=1 B=x  y x  y "
	eq "$sh: a line that is wrong" "$(run "$sh" \
	    'echo frob >ctl || echo failed' | grep -c failed)" 1
	eq "$sh: new" "$(run "$sh" 'exec 4<>new; read -r n <&4
	    [ -d "$n" ] && echo made; echo "echo in" >$n/exec; cat $n/exec
	    exec 4>&-; i=0
	    while [ -d "$n" ] && [ $i -lt 40 ]; do sleep .05; i=$((i+1)); done
	    [ -d "$n" ] || echo gone')" "made in gone "
	eq "$sh: new and keep" "$(run "$sh" 'exec 4<>new; read -r n <&4
	    echo keep >&4; exec 4>&-; sleep .3; [ -d "$n" ] && echo kept
	    rmdir "$n"; [ -d "$n" ] || echo gone')" "kept gone "
	run "$sh" 'exec 4<>new; read -r n <&4; kill -9 $$' >/dev/null
	# shellcheck disable=SC2012 # names are ours
	wait_for 5 eval '[ "$(ls | grep -c "^s[0-9]")" = 0 ]'
	eq "$sh: jobs/new" "$(run "$sh" 'exec 5<>a/jobs/new
	    echo "echo out; echo err >&2; exit 4" >&5; read -r j <&5
	    read -r n c s <a/jobs/$j/wait; echo "$c $((n - j))"
	    cat a/jobs/$j/stdout a/jobs/$j/stderr
	    cat a/jobs/$j/cmd')" "4 0 out err echo out; echo err >&2; exit 4 "
done

out=$(python3 - <<'P'
import os, select
f = open('a/exec', 'r+b', buffering=0)
f.write(b'echo one; sleep .1; echo two')
print(f.read().split())
f.write(b'echo again')
print(f.read())
f.close()
fd = os.open('a/exec', os.O_RDWR | os.O_NONBLOCK)
os.write(fd, b'sleep .3; echo polled')
try:
    os.read(fd, 10)
    print('no EAGAIN')
except BlockingIOError:
    pass
p = select.poll()
p.register(fd, select.POLLIN)
print(p.poll(5000) != [], os.read(fd, 20))
while True:
    try:
        if os.read(fd, 20) == b'':
            break
    except BlockingIOError:
        p.poll(5000)
os.write(fd, b'echo by poll')
print(p.poll(5000) != [], os.read(fd, 20))
P
)
eq "python" "$out" "[b'one', b'two']
b'again\\n'
True b'polled\\n'
True b'by poll\\n'"

# Many at once, each with its own sandbox: nobody reads another's output.
many() {
	local i
	mkdir "p$1" || return 1
	for i in $(seq 10); do
		echo "echo $1-$i" >"p$1/exec"
		[ "$(cat "p$1/exec")" = "$1-$i" ] || echo "p$1: mismatch $i"
	done
	rmdir "p$1"
}
for i in 1 2 3 4; do
	many "$i" >"$W/many.$i" 2>&1 &
	jobs_[i]=$!
done
for i in 1 2 3 4; do
	wait "${jobs_[i]}"
	eq "in parallel" "$(cat "$W/many.$i")" ""
done

eq "jobs/last" "$(readlink a/jobs/last)" "$(cd a/jobs && echo [0-9]* |
    tr ' ' '\n' | sort -n | tail -n 1)"
check "rmdir of a job" rmdir a/jobs/1
[ ! -e a/jobs/1 ] || fail "job 1 is still there"
cd / || exit 1
exit 0
