#!/bin/bash
# Jobs change files while the outside looks at them: after a job's end every
# look is exact, by name and by what is open.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd

coherence() {
	python3 - "$1" <<'P'
import os, random, sys, threading
rounds = int(sys.argv[1])
os.chdir('w')
TOP = 'fs/root/d'

def run(script):
    """A job, to its end."""
    fd = os.open('exec', os.O_RDWR)
    os.write(fd, script.encode())
    out = b''
    while part := os.read(fd, 65536):
        out += part
    os.close(fd)
    return out.decode()

def attributes(st):
    return '%o %d %d %d' % (st.st_mode, st.st_nlink, st.st_size, st.st_mtime)

def line(path):
    """What path is, as a job prints it."""
    st = os.lstat(path)
    if os.path.isdir(path) and not os.path.islink(path):
        what = '%o' % st.st_mode
    elif os.path.islink(path):
        what = os.readlink(path)
    else:
        what = attributes(st) + ' ' + open(path).read()
    return path.removeprefix(TOP) + ' ' + what + '\n'

def by_name():
    """What has one of the names that jobs give: nothing is listed, which
    would refresh what is cached."""
    for name in NAMES:
        try:
            yield line(TOP + '/' + name)
        except FileNotFoundError:
            pass

def by_list():
    for where, dirs, files in os.walk(TOP):
        for name in dirs + files:
            yield line(os.path.join(where, name))

def check_open(opened):
    for f in opened:
        st = os.fstat(f.fileno())
        assert os.pread(f.fileno(), 1 << 20, 0).decode() == \
            open('/proc/self/fd/%d' % f.fileno()).read()
        assert st.st_size == os.lseek(f.fileno(), 0, os.SEEK_END)
        assert st.st_size == len(os.pread(f.fileno(), 1 << 20, 0))

INSIDE = '''python3 - <<'X'
import os
TOP = '/root/d'
for where, dirs, files in os.walk(TOP):
    for name in dirs + files:
        path = os.path.join(where, name)
        st = os.lstat(path)
        line = path.removeprefix(TOP) + ' '
        if os.path.isdir(path) and not os.path.islink(path):
            line += '%o' % st.st_mode
        elif os.path.islink(path):
            line += os.readlink(path)
        else:
            line += '%o %d %d %d ' % (st.st_mode, st.st_nlink, st.st_size,
                                      st.st_mtime) + open(path).read()
        print(line)
X
'''
CHANGES = (
    'echo rewritten $RANDOM > f%d', 'echo appended >> f%d', ': > f%d',
    'echo replaced > n; mv n f%d', 'rm -f f%d', 'rm -f f%d; mkdir -p f%d',
    'rmdir f%d', 'rm -rf f%d; ln -s f0 f%d', 'chmod 700 f%d', 'ln f%d g',
    'rm -f g', 'touch -d @12345 f%d', 'mkdir -p s; echo in > s/x%d',
    'mv s t; mv t/x%d .', 'rm -rf s t', 'cp f%d f0', 'truncate -s 5000 f%d')
NAMES = ['f%d' % i for i in range(5)] + ['g', 's', 't'] + \
    [w + 'x%d' % i for w in ('', 's/', 't/') for i in range(5)]
r = random.Random()
seed = int(os.environ.get('SBX_SEED') or r.randrange(1 << 32))
r.seed(seed)
os.mkdir(TOP)
opened = []
stop = False

def look():
    """What keeps the kernel's caches full meanwhile."""
    while not stop:
        for i in range(5):
            try:
                with open('%s/f%d' % (TOP, i)) as f:
                    f.read()
                os.listdir(TOP)
                os.stat(TOP + '/g')
            except OSError:
                pass

lookers = [threading.Thread(target=look, daemon=True) for _ in range(2)]
for t in lookers:
    t.start()
for i in range(rounds):
    script = 'cd /root/d || exit\nexec 2>/dev/null\n' + '\n'.join(
        c.replace('%d', str(r.randrange(5)))
        for c in r.choices(CHANGES, k=3))
    run(script)
    check_open(opened)
    named = ''.join(by_name()).splitlines()
    here = sorted(''.join(by_list()).splitlines())
    there = sorted(run(INSIDE).splitlines())
    if here != there or not set(named) <= set(there):
        print('seed', seed, 'round', i, script)
        print(*('by name: ' + l for l in named if l not in there), sep='\n')
        for l in sorted(set(here) ^ set(there)):
            print('outside' if l in here else 'inside', l)
        sys.exit(1)
    try:
        opened.append(open('%s/f%d' % (TOP, r.randrange(5))))
    except OSError:
        pass
    if len(opened) > 5:
        opened.pop(0).close()
stop = True
for t in lookers:
    t.join()
print('seed', seed, rounds, 'rounds')
P
}

rounds=25
[ "${SBX_LONG:-}" != 1 ] || rounds=1000
for opt in '' -odirect_io; do
	start_sbxfs ${opt:+"$opt"}
	cd "$M" && mkdir w || fail "mkdir"
	coherence $rounds || fail "with '$opt'"
	rmdir w
	cd / || exit 1
	stop_sbxfs
done
exit 0
