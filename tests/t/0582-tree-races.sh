#!/bin/bash
# 8 clients make, rename and remove the same names through both doors, in
# every way there is: each answer is one that may be, who stays is always
# listed, both doors agree at the end, and nothing is left over.
# SEED=N (printed), SECONDS_LONG=N.
# limit 120
# shellcheck disable=SC2012,SC2011 # names are ours
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
seconds=8
[ "${SBX_LONG:-}" != 1 ] || seconds=60
ID_COUNT=$((2048 * 65536)) ID_FIRST=$((2415919104 + RANDOM % 12 * 134217728))
start_sbxd '[pool.base.default]' 'memory = "64m"' 'storage = "16m"' 'min = 2'
start_sbxfs
cd "$M" || exit 1
for i in $(seq 20); do
	mkdir "stays$i" || fail mkdir
done

cat >"$W/races.py" <<'P'
import errno, http.client, json, os, random, shutil, socket, subprocess
import sys, threading, time
sock, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
NAMES = [f'r{i}' for i in range(12)]
end = time.monotonic() + seconds
done, wrong = {}, []
longest = [0, '']

class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(sock)

def request(method, path, body=None):
    c = Unix('x')
    c.request(method, path, None if body is None else json.dumps(body))
    r = c.getresponse()
    r.read()
    c.close()
    return r.status

def ok(*codes):
    """The errnos that a race may have for an answer."""
    return {getattr(errno, c) for c in codes}

# rmtree opens what it looked at before, and says without an errno when
# another directory has the name by then.
ANOTHER = {None}

def run(name):
    with open(f'{name}/exec', 'w') as f:
        f.write(f'echo {name}')
    with open(f'{name}/exec') as f:
        f.read()

def tool(*argv):
    # A tool that loses a race says so; it must end, and by itself.
    p = subprocess.run(argv, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=30, check=False)
    assert p.returncode >= 0, (argv, p.returncode)

GONE = ('ENOENT', 'ESTALE', 'EHOSTDOWN')
OPS = [
    ('mkdir', lambda a, b: os.mkdir(a), ok('EEXIST')),
    ('rmdir', lambda a, b: os.rmdir(a), ok(*GONE)),
    ('mv', os.rename, ok(*GONE, 'EEXIST', 'EINVAL')),
    ('unlink ctl', lambda a, b: os.unlink(a + '/ctl'), ok(*GONE)),
    ('rmtree', lambda a, b: shutil.rmtree(a),
     ok(*GONE, 'EEXIST', 'ENOTEMPTY', 'EPERM', 'EBUSY') | ANOTHER),
    ('rm -rf', lambda a, b: tool('rm', '-rf', a), set()),
    ('find -delete', lambda a, b: tool('find', a, '-xdev', '-delete'), set()),
    ('exec', lambda a, b: run(a), ok(*GONE)),
    ('write in fs/', lambda a, b: open(a + '/fs/root/f', 'w').close(),
     ok(*GONE)),
    ('stop', lambda a, b: open(a + '/ctl', 'w').write('stop 0\n'),
     ok(*GONE, 'EBUSY', 'EINTR', 'EIO')),
    ('start', lambda a, b: open(a + '/ctl', 'w').write('start\n'),
     ok(*GONE, 'EBUSY', 'EIO', 'ETIMEDOUT')),
    ('create', lambda a, b: open('ctl', 'w').write(f'create {a}\n'),
     ok('EEXIST', *GONE, 'EINTR', 'EIO')),
    ('POST', lambda a, b: request('POST', '/sandboxes', {'name': a}),
     {201, 409, 404, 500, 503}),
    ('DELETE', lambda a, b: request('DELETE', f'/sandboxes/{a}'),
     {200, 204, 404}),
    ('PATCH', lambda a, b: request('PATCH', f'/sandboxes/{a}', {'name': b}),
     {200, 404, 409, 400}),
    ('POST exec', lambda a, b: request('POST', f'/sandboxes/{a}/exec',
                                       {'command': 'true', 'timeout': 5}),
     {200, 404, 409, 410, 500, 502, 503}),
]

def client(number):
    rnd = random.Random(seed * 100 + number)
    while time.monotonic() < end and not wrong:
        name, work, may = rnd.choice(OPS)
        a, b = rnd.sample(NAMES, 2)
        began = time.monotonic()
        try:
            r = work(a, b)
            bad = isinstance(r, int) and r >= 200 and r not in may
            answer = r if isinstance(r, int) and r >= 200 else 'ok'
        except OSError as e:
            bad = e.errno not in may
            answer = errno.errorcode.get(e.errno, repr(e))
        except Exception as e:
            bad, answer = True, repr(e)
        took = time.monotonic() - began
        if took > longest[0]:
            longest[:] = [took, f'{name} {a}: {answer}']
        if bad:
            wrong.append(f'{name} {a} {b}: {answer}')
        done[name, answer] = done.get((name, answer), 0) + 1

def lister():
    want = {f'stays{i}' for i in range(1, 21)}
    fd = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
    n = 0
    while time.monotonic() < end and not wrong:
        # In one go, and by an open directory that is read from its start.
        for names in os.listdir('.'), os.listdir(fd):
            if not want <= set(names):
                wrong.append(f'not listed: {want - set(names)}')
            if len(names) != len(set(names)):
                wrong.append('listed twice')
        for name in rnd_names.sample(sorted(want), 3):
            if 'state running\n' not in open(name + '/status').read():
                wrong.append(f'{name} does not run')
        n += 1
    done['lists', 'ok'] = n

rnd_names = random.Random(seed)
threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
threads.append(threading.Thread(target=lister))
for t in threads:
    t.start()
for t in threads:
    t.join(seconds + 60)
    if t.is_alive():
        wrong.append('a client hangs')
for key in sorted(done, key=str):
    print(*key, done[key])
print(f'longest: {longest[0]:.2f} s, {longest[1]}')
if wrong:
    print('WRONG:', *wrong[:5], sep='\n')
    os._exit(1)
P
SEED=${SEED:-$RANDOM}
say "SEED=$SEED"
timeout $(((seconds + 80) * SLOW)) /usr/bin/python3 "$W/races.py" "$SOCK" \
    "$seconds" "$SEED" || fail "see above"
by_http() {
	http GET /sandboxes | json '"\n".join(sorted(s["name"] for s in x))'
}
by_file() {
	ls -d stays* r[0-9]* 2>/dev/null | LC_ALL=C sort
}
eq "both doors" "$(by_file)" "$(by_http)"
for i in $(seq 20); do
	[ -d "stays$i" ] || fail "stays$i is gone"
done
eq "one of them works" "$(echo 'echo works' >stays7/exec; cat stays7/exec)" \
    works
ls -d stays* r[0-9]* 2>/dev/null | xargs -P 8 -n 2 rmdir ||
    fail "rmdir of the rest"
eq "none is left" "$(http GET /sandboxes)" "[]"
cd / || exit 1
exit 0
