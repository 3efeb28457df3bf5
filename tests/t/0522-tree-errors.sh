#!/bin/bash
# Whatever the files refuse has a sentence in /sbx/errors, with the pid of who
# asked, also what sbxfs decides without asking anybody.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
printf 'create a\ncreate down\n' >ctl || fail "create"
echo 'stop 0' >down/ctl || fail "stop"

# why ERRNO SENTENCE PYTHON: the statement fails with that errno, and the last
# line of errors is that sentence, by that process.
why() {
	local out

	out=$(W=$W python3 -c 'import errno, os, sys
W = os.environ["W"]
try:
    exec(sys.argv[1])
    print("ok", os.getpid())
except OSError as e:
    print(errno.errorcode[e.errno], os.getpid())' "$3")
	eq "$3" "${out% *}" "$1"
	has "errors after $3" "$(tail -n1 errors)" " pid=${out#* } $2"
}

why EPERM '.: f: nothing can be made here but sandboxes: mkdir' \
    'open("f", "w")'
why EPERM 'a: f: nothing can be made here' 'open("a/f", "w")'
why EPERM 'a: d: nothing can be made here' 'os.mkdir("a/d")'
why EPERM 'a: p: nothing can be made here' 'os.mkfifo("a/p")'
why EPERM 'a: l: nothing can be made here' 'os.symlink("x", "a/l")'
why EPERM 'a: l: nothing can be made here' 'os.link("a/env", "a/l")'
why EPERM 'a/jobs: 7: nothing can be made here' 'os.mkdir("a/jobs/7")'
why EPERM 'profiles: p: nothing can be made here' 'os.mkdir("profiles/p")'
why EPERM 'a: env: it cannot be removed' 'os.unlink("a/env")'
why EPERM '.: ctl: it cannot be removed' 'os.unlink("ctl")'
why EPERM '.: profiles: it cannot be removed' 'os.rmdir("profiles")'
why EPERM 'a: jobs: it cannot be removed' 'os.rmdir("a/jobs")'
why EBUSY 'a: fs is the sandbox' 'os.rmdir("a/fs")'
why EPERM 'a: env: only sandboxes can be renamed' 'os.rename("a/env", "a/x")'
why EPERM '.: down: a sandbox can be given another name, and no more' \
    'os.rename("down", "a/down")'
why EPERM "a: ?: nothing can be made here" 'open(b"a/\xff", "w")'
why EPERM 'a: \x0a: nothing can be made here' 'open("a/\n", "w")'

why EINVAL '.: name a b: only letters' 'os.mkdir("a b")'
why EACCES 'new: open it to read and write' 'open("new")'
why EACCES 'a/jobs/new: open it to read and write' 'open("a/jobs/new", "w")'
why EHOSTDOWN 'down/exec: the sandbox is stopped' 'open("down/exec", "w")'
why EHOSTDOWN 'down/exec: the sandbox is stopped' \
    'os.open("down/exec", os.O_RDWR)'
echo pause >a/ctl || fail pause
why EHOSTDOWN 'a/exec: the sandbox is paused' 'open("a/exec", "w")'
why EHOSTDOWN 'a/jobs/new: the sandbox is paused' \
    'f = os.open("a/jobs/new", os.O_RDWR); os.write(f, b"ls"); os.read(f, 9)'
echo resume >a/ctl || fail resume
why E2BIG 'a/exec: a script is at most 1 MiB' \
    'f = os.open("a/exec", os.O_WRONLY); os.write(f, b"#" * 1048000)
os.write(f, b"#" * 1000)'
why EINVAL 'a/exec: the script has a NUL byte' \
    'f = os.open("a/exec", os.O_WRONLY); os.write(f, b"echo a")
os.write(f, b"\0b")'
why EINVAL 'a/exec: the script has a NUL byte' \
    'f = os.open("a/exec", os.O_WRONLY); os.write(f, b"\0")'
why EINVAL 'a/jobs/new: usage: pty ROWS COLS' \
    'f = os.open("a/jobs/new", os.O_RDWR); os.write(f, b"pty 0 0\nls\n")
os.read(f, 9)'
why EBUSY "a/exec: the session's command still runs" \
    'f = os.open("a/exec", os.O_RDWR | os.O_NONBLOCK)
os.write(f, b"sleep 5")
try: os.read(f, 1)
except BlockingIOError: pass
os.write(f, b"x")'
for how in 'os.read(f, 1)' 'os.write(f, b"memory 1G")'; do
	echo 'create x' >ctl || fail "create x"
	file=log mode=RDONLY
	[[ $how == *read* ]] || file=ctl mode=RDWR
	why ESTALE "x/$file: the sandbox was destroyed" \
	    "f = os.open('x/$file', os.O_$mode)
os.write(os.open('ctl', os.O_WRONLY), b'destroy x'); $how"
done
why EINVAL 'new: frob: expected key=value before the first read' \
    'os.write(os.open("new", os.O_RDWR), b"frob")'
why E2BIG 'new: a line of 70000 bytes: at most 65536' \
    'os.write(os.open("new", os.O_RDWR), b"label.a=" + b"x" * 69992)'

# What the front refuses has one line, not two.
n=$(wc -l <errors)
echo frob >ctl 2>/dev/null
eq "one line" "$(wc -l <errors)" $((n + 1))
# Looking for what is not there is nobody's mistake.
[ ! -e nope ] && [ ! -e a/nope ] && [ ! -e a/jobs/9 ] || fail "it is there"
eq "no line" "$(wc -l <errors)" $((n + 1))
cd / || exit 1
exit 0
