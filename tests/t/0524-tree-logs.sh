#!/bin/bash
# Logs are followed by poll, epoll and tail; they say at once that they grew.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

SLOW=$SLOW python3 - <<'P' || fail "see above"
import os, select, sys, time

SLOW = int(os.environ['SLOW'])
def bad(text):
    sys.exit('FAIL: ' + text)

def write(path, text):
    f = os.open(path, os.O_WRONLY)
    try:
        os.write(f, text)
    except OSError:
        pass
    os.close(f)

def job(n):
    write('a/exec', b'echo %d' % n)

grow = {
    'events': lambda n: write('a/ctl', b'%s' % (b'pause' if n % 2 else b'resume')),
    'errors': lambda n: write('ctl', b'frob %d' % n),
    'a/log': job,
}

def all_of(f):
    got = b''
    while True:
        p = os.read(f, 65536)
        if p == b'':
            return got
        got += p

# poll: nothing while there is nothing, at once when there is something.
for name, more in grow.items():
    f = os.open(name, os.O_RDONLY)
    all_of(f)
    p = select.poll()
    p.register(f, select.POLLIN)
    if p.poll(300) != []:
        bad('%s: there is something at its end' % name)
    t = time.monotonic()
    for n in range(20):
        more(n + 1)
        if p.poll(5000 * SLOW) == []:
            bad('%s: it grew and poll does not say so' % name)
        if all_of(f) == b'':
            bad('%s: poll says more and there is none' % name)
    took = time.monotonic() - t
    if took > 1.2 * SLOW:
        bad('%s: 20 times took %.2f s' % (name, took))
    os.close(f)

# epoll, edge-triggered: an edge each time, none of its own.
for name, more in grow.items():
    f = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    all_of(f)
    e = select.epoll()
    e.register(f, select.EPOLLIN | select.EPOLLET)
    e.poll(.2)
    all_of(f)
    for n in range(6):
        more(n + 1)
        if e.poll(5 * SLOW) == []:
            bad('%s: no edge' % name)
        all_of(f)
        while e.poll(.1) != []:
            all_of(f)
    e.close()
    os.close(f)

# Two readers see the same, each from its own place.
f, g = os.open('events', os.O_RDONLY), os.open('events', os.O_RDONLY)
whole = all_of(f)
if all_of(g) != whole or os.pread(f, 10, 5) != whole[5:15]:
    bad('two readers')
if os.pread(f, 10, len(whole) + 100) != b'':
    bad('beyond the end')
if os.fstat(f).st_size != len(whole):
    bad('size')
# A log whose sandbox is gone has an error and no end that waits.
write('ctl', b'create gone')
f = os.open('gone/log', os.O_RDONLY)
p = select.poll()
p.register(f, select.POLLIN)
if p.poll(100) != []:
    bad('an empty log is readable')
write('ctl', b'destroy gone')
if p.poll(5000 * SLOW) == []:
    bad('poll waits for a sandbox that is gone')
P

# The session of the page.
timeout 20 bash -c 'tail -s .1 -n0 -f events | while read -r seq t name ev rest
do
	echo "$name $ev $rest"
	[ "$ev" != destroyed ] || break
done' >"$W/followed" 2>/dev/null &
sleep .5
printf 'create x\ndestroy x\n' >ctl || fail "create, destroy"
followed() {
	grep -q '^x destroyed' "$W/followed"
}
wait_for 5 followed
has "followed" "$(cat "$W/followed")" 'x created profile=default'
has "followed" "$(cat "$W/followed")" 'x started'
# tail ends when it writes to nobody
echo 'label k=v' >a/ctl
echo true >a/exec
for opt in -f -F; do
	(timeout 2 tail -s .1 -n1 $opt errors >"$W/tail" &
		sleep .4
		echo "more$opt" >ctl
		wait) 2>/dev/null
	eq "tail $opt" "$(grep -c . "$W/tail")" 2
done
cd / || exit 1
exit 0
