#!/bin/bash
# The sessions of sessions.sh under each shell and in python, as root, as a
# member of the group, and in what was delegated; who is neither has errors.
# limit 180
# shellcheck disable=SC2010,SC2012 # names are ours
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir -m 777 "$W/tmp"

# The uids are nobody's: 1000 is in the group of the socket, 1001 is not.
as() {
	case $1 in
	root) "${@:2}" ;;
	member) setpriv --reuid=1000 --regid=1000 --groups=nogroup "${@:2}" ;;
	stranger) setpriv --reuid=1001 --regid=1001 --clear-groups "${@:2}" ;;
	esac
}

session() {
	local who=$1 sh=$2 name=$1-${2//[^a-z]/}

	mkdir -m 777 "$W/tmp/$name"
	# shellcheck disable=SC2086 # "busybox sh" is two words
	as "$who" env P="$name-" T="$W/tmp/$name" timeout $((30 * SLOW)) \
	    $sh -c '. "$0"' "$TOP/tests/t/sessions.sh" >"$W/tmp/$name.out" 2>&1
}

who=root
! local_only "other users" || who="root member"

# Two at a time: root's shell beside the member's.
for sh in bash dash zsh "busybox sh"; do
	command -v "${sh%% *}" >/dev/null || continue
	pids=()
	for i in $who; do
		session "$i" "$sh" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in $who; do
		eq "$i, $sh" "$(cat "$W/tmp/$i-${sh//[^a-z]/}.out")" "done"
	done
done

# The same in python, which has no shell's FLUSH in between.
cat >"$W/tmp/session.py" <<'P'
import asyncio, mmap, os, pathlib, signal, subprocess, sys, threading, time

def fails(code, f, *args):
    try:
        f(*args)
    except OSError as e:
        assert e.errno == code, (f, args, e)
        return
    raise AssertionError((f, args))

import errno
box = pathlib.Path(sys.argv[1] + '-py')
box.mkdir()
run, wait = box / 'exec', box / 'wait'
run.write_text('echo by pathlib; exit 2')
assert run.read_text() == 'by pathlib\n'
assert wait.read_text().split()[1] == '2'
run.write_text('seq 3')
assert [line for line in open(run)] == ['1\n', '2\n', '3\n']
assert subprocess.run(['sort', '-r'], stdin=open(run), check=True,
                      capture_output=True).stdout == b'3\n2\n1\n'
# A wrong line is an error of the write, and of an implicit close.
fails(errno.EINVAL, (box / 'ctl').write_text, 'frob')
fd = os.open(box / 'ctl', os.O_WRONLY)
assert os.write(fd, b'memory 66M\nfrob\ncpu 1\n') == len('memory 66M\n')
fails(errno.EINVAL, os.write, fd, b'frob\ncpu 1\n')
os.close(fd)
assert 'memory %d\n' % (66 << 20) in (box / 'ctl').read_text()

s = open(run, 'r+b', buffering=0)
s.write(b'echo one; echo two')
assert s.read() == b'one\ntwo\n'
s.write(b'sleep .4; echo three')
got = []
reader = threading.Thread(target=lambda: got.append(s.read()))
reader.start()
time.sleep(.1)
began = time.monotonic()
fails(errno.EBUSY, s.write, b'echo four')
assert time.monotonic() - began < .25, 'a write waits for a read'
reader.join()
assert got == [b'three\n']
# Of a command that ended what was not read gives way to the next one's.
s.write(b'echo not read')
assert s.read(4) == b'not '
while True:
    try:
        s.write(b'echo next')
        break
    except OSError as e:
        assert e.errno == errno.EBUSY, e
        time.sleep(.01)
assert s.read() == b'next\n'
s.close()
try:
    open(run, 'r+')
    raise AssertionError('a stream in text mode, to read and write')
except OSError:
    pass

# ^C: the read ends, the job does not.
class Interrupt(Exception):
    pass
def interrupt(number, frame):
    raise Interrupt
signal.signal(signal.SIGALRM, interrupt)
run.write_text('sleep .8; echo survived')
for path in run, wait:
    signal.setitimer(signal.ITIMER_REAL, .2)
    try:
        path.read_text()
        raise AssertionError('not interrupted')
    except Interrupt:
        pass
assert run.read_text() == 'survived\n'

# An event loop's epoll.
async def ended():
    fd = os.open(wait, os.O_RDONLY | os.O_NONBLOCK)
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, done.set)
    await asyncio.wait_for(done.wait(), 20)
    asyncio.get_running_loop().remove_reader(fd)
    return os.read(fd, 100)
run.write_text('sleep .3; exit 9')
assert asyncio.run(ended()).split()[1] == b'9'

# Who inherits the descriptor of new keeps what it holds.
fd = os.open('new', os.O_RDWR)
name = os.read(fd, 100).decode().strip()
child = subprocess.Popen(['sleep', '1'], pass_fds=[fd])
os.close(fd)
time.sleep(.3)
assert os.path.isdir(name)
child.wait()
until = time.monotonic() + 20
while os.path.exists(name):
    assert time.monotonic() < until, 'it outlives its descriptor'
    time.sleep(.02)

# Maps: private ones show the file, shared ones there are none.
fd = os.open(box / 'status', os.O_RDONLY)
text = (box / 'status').read_bytes()
m = mmap.mmap(fd, len(text), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
assert m[:8] == text[:8] == b'name ' + sys.argv[1].encode()[:3]
if len(sys.argv) < 3: # where there is no passthrough, it is a copy
    fails(errno.ENODEV, mmap.mmap, fd, len(text), mmap.MAP_SHARED,
          mmap.PROT_READ)
box.rmdir()
assert not box.exists()
P
for i in $who; do
	# shellcheck disable=SC2046 # nothing, or a word
	eq "$i, python" "$(as "$i" timeout $((30 * SLOW)) /usr/bin/python3 \
	    "$W/tmp/session.py" "$i" $(is_remote && echo remote) 2>&1)" ""
done
! is_remote || exit 0

# Who is neither in the group nor given anything.
mkdir mine given || fail mkdir
denied() {
	has "a stranger: $1" "$(as stranger sh -c "$1" 2>&1)" \
	    "ermission denied"
}
denied 'echo "create x" >ctl'
denied 'cat ctl'
denied 'mkdir x'
denied 'rmdir mine'
denied 'mv mine x'
denied 'cat mine/status'
denied 'cat <>new'
denied 'cat pool'
denied 'ls mine'
denied 'echo x >mine/exec'
eq "a stranger's list" "$(as stranger ls)" "$(ls | grep -vx 'mine\|given')"
eq "a stranger's events" "$(as stranger cat events)" ""
has "anybody's status" "$(as stranger cat status)" "version 1"
has "anybody's profiles" "$(as stranger cat profiles/default)" "image "

# What is given by chown is theirs; by chmod, as far as the mode goes.
chown 1001:1001 given
eq "its new owner's list" "$(as stranger ls | grep -x given)" given
eq "runs there" "$(as stranger sh -c 'echo "id -u; exit 3" >given/exec
    cat given/exec; read -r j code s <given/wait; echo $code')" "0
3"
check "sets there" as stranger sh -c 'echo "memory 99M" >given/ctl
    echo E=1 >given/env; echo f >given/fs/root/f; rm given/fs/root/f'
has "its own events" "$(as stranger cat events)" " given job-exit"
denied 'mv given taken'
check "ends it" as stranger sh -c 'echo destroy >given/ctl'
[ ! -e given ] || fail "given is still there"
chmod 711 mine && chmod 666 mine/exec && chmod 444 mine/wait || fail chmod
eq "a file of it" "$(as stranger sh -c 'echo "echo lent" >mine/exec
    cat mine/exec; cut -d" " -f2 mine/wait')" "lent
0"
eq "a session of it" "$(as stranger sh -c 'exec 3<>mine/exec
    echo "echo s" >&3; cat <&3')" s
denied 'echo x >mine/ctl'
denied 'cat mine/env'
denied 'ls mine/jobs'
denied 'ls mine'
chmod 600 mine/exec
denied 'cat mine/exec'
rmdir mine
eq "nothing is left" "$(ls | tr '\n' ' ')" \
    "ctl errors events new pool profiles status "
cd / || exit 1
exit 0
