"""Random operations of several clients on the tree and over HTTP, each of
which knows what its own sandboxes are and compares.

    treeops.py MOUNT SOCKET SECONDS SEED [remote] [chaos=FILE]

FILE counts up before each death of a server and when it is served again:
what fails meanwhile is not wrong, and what was done before it holds.
"""
import collections
import errno
import http.client
import json
import mmap
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

SLOW = int(os.environ.get('SBX_SLOW', '1'))
BOUND = 2 * SLOW    # of an operation in which nothing waits
HANG = 20 * SLOW    # of any
SHARED = ('both1', 'both2')
DEFAULT = {}        # of a sandbox's ctl, by key; see main
R, W, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR


class Wrong(Exception):
    pass


def check(what, got, want):
    if got != want:
        raise Wrong(f'{what}: {got!r}, not {want!r}')


def name_of(e):
    if e.errno is None:
        raise e
    return errno.errorcode[e.errno]


def may(call, *names):
    """What call returns, or the name of its errno, one of names."""
    try:
        return call()
    except OSError as e:
        if name_of(e) not in names:
            raise
        return name_of(e)


def fails(call, *names):
    """Which of names it fails with."""
    try:
        got = call()
    except OSError as e:
        if name_of(e) not in names:
            raise
        return name_of(e)
    raise Wrong(f'it succeeded: {got!r}, and should be {names}')


def put(path, text, flags=W | os.O_TRUNC):
    fd = os.open(path, flags)
    try:
        left = text.encode()
        while left:
            left = left[os.write(fd, left):]
    finally:
        os.close(fd)


def get(path):
    with open(path, 'rb', buffering=0) as f:
        return f.read().decode()


def until(what, call, seconds=5):
    end = time.monotonic() + seconds * SLOW
    while not call():
        if time.monotonic() > end:
            raise Wrong(f'{what}: not within {seconds} s')
        time.sleep(.005)


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('x')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(HANG)
        self.sock.connect(self.path)


class Job:
    """out: None where nobody knows; code: None while it runs, a set of those
    that may be where it was ended."""

    def __init__(self, n, out=None, code=None, script=None):
        self.n, self.out, self.code, self.script = n, out, code, script


class Box:
    def __init__(self, name):
        self.name, self.state = name, 'running'
        self.env, self.ctl, self.labels = {}, {}, {}
        self.next = 1       # number of the next job
        self.jobs = {}      # by number, those that are kept
        self.newest = None  # what exec and wait mean
        self.sure = True    # false: operations were cut off
        self.told = collections.Counter()   # events there must be
        self.exits = {}     # of all jobs, by number: as Job.code

    def running(self):
        return [j for j in self.jobs.values() if j.code is None]

    def ended(self, *codes):
        """All that run were ended."""
        for j in self.running():
            j.code = set(codes)
            j.out = None

    def job(self, out, code, shared=True, script=None):
        j = Job(self.next, out, code, script)
        self.next += 1
        self.jobs[j.n] = j
        self.exits[j.n] = j
        if shared:
            self.newest = j
        return j


# What a job says, and with what it ends. {} is a word of its own.
SCRIPTS = [
    ('echo {}', '{}\n', 0),
    ('printf %s {}; exit 3', '{}', 3),
    ('echo {}; echo {} >&2; exit 255', '{}\n{}\n', 255),
    ('true', '', 0),
    ('false', '', 1),
    ('kill -9 $$', '', 137),
    ('kill -TERM $$', '', 143),
    ('sleep .02; echo {}', '{}\n', 0),
    ('echo {}; sleep .02; echo {}', '{}\n{}\n', 0),
    ('seq 1 2000', ''.join(f'{i}\n' for i in range(1, 2001)), 0),
    ('head -c 300000 /dev/zero | tr "\\0" x', 'x' * 300000, 0),
    ('cat; echo {}', '{}\n', 0),
    ('sleep 30 & echo {}', '{}\n', 0),
    ('cd /tmp && pwd', '/tmp\n', 0),
    ('#!/bin/sh\necho {}', '{}\n', 0),
    ('# {}', '', 0),
    ('frob{}x 2>/dev/null', '', 127),
]


class Client:
    def __init__(self, number, uid, args, slot):
        self.mount, self.sock, seconds, seed = args[:4]
        self.chaos = next((a[6:] for a in args if a.startswith('chaos=')), '')
        self.remote = 'remote' in args
        self.number, self.uid, self.slot = number, uid, slot
        self.rnd = random.Random(int(seed) * 100 + number)
        self.end = time.monotonic() + float(seconds)
        self.boxes, self.past = {}, []
        self.made = 0
        self.conn = None
        self.longest = (0, '')
        self.did = collections.Counter()
        self.trace = collections.deque(maxlen=12)
        self.events_at, self.events_seq = None, None
        self.seen = {}      # name: what the events say of the living one
        self.told = []      # the same of all, in their order
        self.ended = []     # and of those that are gone, as self.past

    # --- doors

    def at(self, *path):
        return os.path.join(self.mount, *path)

    def http(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        for again in True, False:
            if self.conn is None:
                self.conn, again = Unix(self.sock), False
            try:
                self.conn.request(method, path, data)
                r = self.conn.getresponse()
                text = r.read()
                break
            except (http.client.HTTPException, OSError):
                self.conn.close()
                self.conn = None
                if not again or method not in ('GET', 'HEAD'):
                    raise
        if self.remote and method != 'GET':
            time.sleep(.1 * SLOW) # the mount hears of it in its own time
        return r.status, json.loads(text) if text else None

    def by_http(self):
        return self.rnd.random() < .3

    def word(self):
        self.made += 1
        return f'w{self.number}x{self.made}'

    def free_name(self):
        used = set(self.boxes)
        return self.rnd.choice([n for n in
                                (f'c{self.number}-{i}' for i in range(8))
                                if n not in used])

    def note(self, text):
        self.trace.append(text)

    # --- models

    def learn(self, b):
        """Adopts what its files say; it runs then."""
        until(f'{b.name} settles', lambda: self.status(b)['state'] in
              ('running', 'stopped', 'paused', 'error'), 30)
        st = self.status(b)
        check('state', st['state'] == 'error', False)
        again = {'paused': 'resume\n', 'stopped': 'start\n'}
        put(self.at(b.name, 'ctl'), again.get(st['state'], ''))
        b.state = 'running'
        b.ctl, b.labels = self.settings(b)
        b.env = self.environment(b)
        code, _ = self.http('POST', f'/sandboxes/{b.name}/exec',
                            {'command': 'true'})
        check('POST exec', code, 200)
        b.next = int(self.status(b)['last']) + 1
        b.jobs, b.newest, b.sure = {}, None, False

    def status(self, b):
        return dict(x.split(' ', 1) for x in
                    get(self.at(b.name, 'status')).splitlines())

    def settings(self, b):
        lines = [x.split(' ', 1)
                 for x in get(self.at(b.name, 'ctl')).splitlines()]
        labels = [v for k, v in lines if k == 'label']
        return ({k: v for k, v in lines if k != 'label'},
                dict(x.split('=', 1) for x in labels))

    def environment(self, b):
        return dict(x.split('=', 1) for x in
                    get(self.at(b.name, 'env')).splitlines())

    def compare(self, b):
        """Everything that stays as it is."""
        until('it is made', lambda: self.status(b)['state'] != 'creating')
        check('state', self.status(b)['state'], b.state)
        check('ctl', self.settings(b), (b.ctl, b.labels))
        check('env', self.environment(b), b.env)
        names = set(os.listdir(self.at(b.name, 'jobs')))
        if b.sure:
            check('jobs', {n for n in names if n.isdigit()},
                  {str(n) for n in b.jobs})
            check('running', self.status(b)['running'],
                  str(len(b.running())))
        for j in self.rnd.sample(sorted(b.jobs.values(), key=lambda j: j.n),
                                 min(2, len(b.jobs))):
            self.look_at(b, j)

    def look_at(self, b, j):
        text = get(self.at(b.name, 'jobs', str(j.n), 'status'))
        st = dict(x.split(' ', 1) for x in text.splitlines())
        if j.code is None:
            check(f'job {j.n}', st['state'], 'running')
            return
        check(f'job {j.n}', st['state'], 'ended')
        line = get(self.at(b.name, 'jobs', str(j.n), 'wait')).split()
        self.exits(j, int(line[1]))
        check('number in wait', line[0], str(j.n))
        if j.out is not None:
            check(f'output of {j.n}',
                  get(self.at(b.name, 'jobs', str(j.n), 'output')), j.out)

    @staticmethod
    def exits(j, code):
        if isinstance(j.code, set):
            if code not in j.code:
                raise Wrong(f'job {j.n} ended with {code}, not {j.code}')
            j.code = code
        check(f'exit of {j.n}', code, j.code)

    def add(self, name):
        b = self.boxes[name] = Box(name)
        b.ctl = dict(DEFAULT)
        b.told['created'] = b.told['started'] = 1
        return b

    def drop(self, b):
        del self.boxes[b.name]
        b.ended(137)
        b.told['destroyed'] = 1
        self.past.append(b)

    # --- sandboxes

    def create(self):
        name = self.free_name()
        self.note(f'create {name}')
        word = self.word()
        way = self.rnd.choice(('mkdir', 'ctl', 'http'))
        if way == 'mkdir':
            os.mkdir(self.at(name))
            self.add(name)
        elif way == 'ctl':
            put(self.at('ctl'), f'create {name} label.l={word} pids=77 '
                f'env.E={word} timeout=100\n')
            b = self.add(name)
            b.labels, b.env = {'l': word}, {'E': word}
            b.ctl.update(pids='77', timeout='100')
        else:
            code, answer = self.http('POST', '/sandboxes', {
                'name': name, 'labels': {'l': word}})
            check('POST', (code, answer.get('state')), (201, 'running'))
            b = self.add(name)
            b.labels, b.ctl['ttl'] = {'l': word}, '0'
        fails(lambda: os.mkdir(self.at(name)), 'EEXIST')

    def some(self, *states):
        """One of our own, in one of the states if there is one."""
        every = list(self.boxes.values())
        fit = [b for b in every if b.state in states or not states]
        return self.rnd.choice(fit or every)

    def destroy(self):
        b = self.some()
        way = self.rnd.choice(('rmdir', 'rmtree', 'rm', 'unlink', 'ctl',
                               'destroy', 'http'))
        self.note(f'destroy {b.name} by {way}')
        path = self.at(b.name)
        held = b.ctl['protect'] == 'on'
        if held and way == 'rm':
            way = 'rmtree' # which ends there; rm tries all of /usr
        if way == 'rm':
            r = subprocess.run(['rm', '-rf', path], stderr=subprocess.PIPE,
                               check=False, timeout=HANG)
            check('rm -rf', (r.returncode, r.stderr), (0, b''))
        elif way == 'http':
            code, _ = self.http('DELETE', f'/sandboxes/{b.name}')
            check('DELETE', code in ((409,) if held else (200, 204)), True)
        else:
            call = {
                'rmdir': lambda: os.rmdir(path),
                'rmtree': lambda: shutil.rmtree(path),
                'unlink': lambda: os.unlink(path + '/ctl'),
                'ctl': lambda: put(path + '/ctl', 'destroy\n'),
                'destroy': lambda: put(self.at('ctl'),
                                       f'destroy {b.name}\n'),
            }[way]
            fails(call, 'EBUSY') if held else call()
        if held:
            self.compare(b)
            return
        if way == 'unlink':
            # the husk: found until its rmdir
            may(lambda: os.rmdir(path), 'ENOENT')
        fails(lambda: get(path + '/status'), 'ENOENT', 'ESTALE')
        fails(lambda: os.rmdir(path), 'ENOENT')
        check('listed', b.name in os.listdir(self.mount), False)
        check('GET', self.http('GET', f'/sandboxes/{b.name}')[0], 404)
        self.drop(b)

    def rename(self):
        b, name = self.some(), self.free_name()
        self.note(f'rename {b.name} {name}')
        other = self.some()
        if other is not b:
            fails(lambda: os.rename(self.at(b.name), self.at(other.name)),
                  'EEXIST', 'ENOTEMPTY')
        if self.by_http():
            code, answer = self.http('PATCH', f'/sandboxes/{b.name}',
                                     {'name': name})
            check('PATCH', (code, answer.get('name')), (200, name))
        else:
            os.rename(self.at(b.name), self.at(name))
        del self.boxes[b.name]
        fails(lambda: get(self.at(b.name, 'status')), 'ENOENT')
        b.name = name
        self.boxes[name] = b
        b.told['renamed'] += 1

    def verb(self):
        """start, stop and their like, in every state."""
        verb = self.rnd.choice(('start', 'stop 0', 'restart 0', 'pause',
                                'resume'))
        b = self.some(*(('running',) if self.rnd.random() < .5 else ()))
        self.note(f'{verb} {b.name} {b.state}')
        s, word = b.state, verb.split()[0]
        to = {'start': 'running', 'stop': 'stopped', 'restart': 'running',
              'pause': 'paused', 'resume': 'running'}[word]
        bad = (word == 'start' and s == 'paused' or s == 'stopped' and
               word in ('pause', 'resume'))
        if self.by_http():
            until('it is made', lambda: self.status(b)['state'] != 'creating')
            body = {'grace': 0} if ' ' in verb else None
            code, answer = self.http('POST', f'/sandboxes/{b.name}/{word}',
                                     body)
            check('POST', code, 409 if bad else 200)
        elif bad:
            fails(lambda: put(self.at(b.name, 'ctl'), verb + '\n'), 'EBUSY')
        else:
            put(self.at(b.name, 'ctl'), verb + '\n')
        if bad:
            to = s
        if word in ('stop', 'restart') and s != 'stopped':
            b.ended(137)
            b.told['stopped'] += 1
        if word == 'restart' or s != to:
            event = {'restart': 'started', 'start': 'started',
                     'pause': 'paused', 'resume': 'resumed'}.get(word)
            if event:
                b.told[event] += 1
        b.state = to
        check('state', self.status(b)['state'], to)

    def set(self):
        b = self.some()
        change = {}
        for key, values in self.rnd.sample(sorted({
                'memory': (64 << 20, 96 << 20), 'pids': (50, 60, 70),
                'timeout': (0, 500), 'idle': (0, 5000, 6000),
                'ttl': (-1, 4000), 'cpu': (1, 2, .5),
                'protect': (False, False, True)}.items()),
                self.rnd.randint(1, 4)):
            change[key] = self.rnd.choice(values)
        self.note(f'set {b.name} {change}')
        label, word = 'lm'[self.rnd.random() < .5], self.word()
        shown = {k: 'none' if v == -1 else 'on' if v is True else
                 'off' if v is False else str(v) for k, v in change.items()}
        if self.by_http():
            if 'memory' in change:
                change['memory'] = shown['memory']
            code, answer = self.http('PATCH', f'/sandboxes/{b.name}',
                                     dict(change, labels={label: word}))
            check(f'PATCH {answer}', code, 200)
        else:
            text = ''.join(f'{k} {v}\n' for k, v in shown.items())
            text += f'label {label}={word}\n'
            if self.rnd.random() < .3: # to the line that fails
                fd = os.open(self.at(b.name, 'ctl'), W)
                n = os.write(fd, (text + 'frob\nlabel never=1\n').encode())
                check('short write', n, len(text))
                fails(lambda: os.write(fd, b'frob\n'), 'EINVAL')
                os.close(fd)
            else:
                put(self.at(b.name, 'ctl'), text)
        b.ctl.update(shown)
        b.labels[label] = word
        check('ctl', self.settings(b), (b.ctl, b.labels))

    def setenv(self):
        b, word = self.some(), self.word()
        key = 'ABE'[self.rnd.randrange(3)]
        way = self.rnd.choice(('add', 'replace', 'unset', 'http', 'bad'))
        self.note(f'env {b.name} {way} {key}={word}')
        path = self.at(b.name, 'env')
        if way == 'add':
            put(path, f'{key}={word} x\n', W | os.O_APPEND)
            b.env[key] = word + ' x'
        elif way == 'replace':
            put(path, f'\n# c\n{key}={word}\nZ=\n')
            b.env = {key: word, 'Z': ''}
        elif way == 'unset':
            put(path, key + '\n', W)
            b.env.pop(key, None)
        elif way == 'http':
            b.env = {key: word, 'Y': '1'}
            code, _ = self.http('PUT', f'/sandboxes/{b.name}/env', b.env)
            check('PUT', code in (200, 204), True)
            check('GET', self.http('GET', f'/sandboxes/{b.name}/env'),
                  (200, b.env))
        else:
            fd = os.open(path, W)
            line = f'{key}={word}\n'
            check('short write', os.write(fd, (line + '1=2\n').encode()),
                  len(line))
            fails(lambda: os.write(fd, b'1=2\n'), 'EINVAL')
            os.close(fd)
            b.env[key] = word
        check('env', self.environment(b), b.env)

    # --- jobs

    def script(self, b):
        if self.rnd.random() < .15:
            keys = sorted(b.env)
            return (''.join(f'echo "{k}=${k}"\n' for k in keys) + 'exit 9',
                    ''.join(f'{k}={b.env[k]}\n' for k in keys), 9)
        text, out, code = self.rnd.choice(SCRIPTS)
        word = self.word()
        return text.replace('{}', word), out.replace('{}', word), code

    @staticmethod
    def same(what, script, got, want):
        if '>&2' in script: # two pipes
            got, want = sorted(got.splitlines()), sorted(want.splitlines())
        check(f'{what} of {script!r}', got, want)

    def echo_cat(self):
        b = self.some('running')
        path, (script, out, code) = self.at(b.name, 'exec'), self.script(b)
        self.note(f'exec {b.name} {b.state} {script[:40]!r}')
        if b.state != 'running':
            fails(lambda: put(path, script), 'EHOSTDOWN')
            return
        put(path, script, W)
        j = b.job(out, code, script=script)
        self.same('output', script, get(path), out)
        n, got, _ = get(self.at(b.name, 'wait')).split()
        check('wait', (n, got), (str(j.n), str(code)))
        self.keep(j)
        check('last', self.status(b)['last'], str(j.n))

    def keep(self, j):
        if '>&2' in (j.script or ''):
            j.out = None

    def http_exec(self):
        b = self.some('running')
        script, out, code = self.script(b)
        self.note(f'HTTP exec {b.name} {b.state} {script[:40]!r}')
        body = {'command': script}
        if 'cat' in script and self.rnd.random() < .5:
            body['stdin'] = 'typed\n'
            out = 'typed\n' + out
        status, r = self.http('POST', f'/sandboxes/{b.name}/exec', body)
        if b.state != 'running':
            check('POST exec', status, 409)
            return
        check('POST exec', status, 200)
        b.job(out, code, False, script)
        self.keep(b.jobs[b.next - 1])
        self.same('stdout + stderr', script, r['stdout'] + r['stderr'], out)
        check('exit', (r['exit_code'], r.get('signal')),
              (-1, {137: 'SIGKILL', 143: 'SIGTERM'}[code])
              if code in (137, 143) else (code, None))

    def session(self):
        b = self.some('running')
        self.note(f'session {b.name} {b.state}')
        path = self.at(b.name, 'exec')
        if b.state != 'running':
            fails(lambda: os.open(path, RW), 'EHOSTDOWN')
            return
        fd = os.open(path, RW | (os.O_NONBLOCK if self.rnd.random() < .4
                                 else 0))
        try:
            for _ in range(self.rnd.randint(1, 3)):
                if not self.conversation(b, fd):
                    break
        finally:
            os.close(fd)
        for j in b.running():
            if j.script == 'session':
                until('a closed session ends', lambda: self.job_state(b, j)
                      == 'ended')
                j.code = {137}

    def job_state(self, b, j):
        text = get(self.at(b.name, 'jobs', str(j.n), 'status'))
        return text.splitlines()[0].split()[1]

    def read_all(self, fd):
        got = []
        while True:
            size = self.rnd.choice((1, 100, 65536, 1 << 20))
            r = may(lambda n=size: os.read(fd, n), 'EAGAIN')
            if r == 'EAGAIN':
                p = select.poll()
                p.register(fd, select.POLLIN)
                if not p.poll(HANG * 1000):
                    raise Wrong('poll of a session does not end')
            elif r == b'':
                return b''.join(got).decode()
            else:
                got.append(r)

    def conversation(self, b, fd):
        """One command; false: closed while it runs."""
        if self.rnd.random() < .3:
            os.write(fd, b'echo begin; sleep 50')
            p = select.poll()
            p.register(fd, select.POLLIN)
            p.poll(HANG * 1000)
            b.job(None, None, False, 'session')
            check('begin', os.read(fd, 3), b'beg')
            fails(lambda: os.write(fd, b'echo x'), 'EBUSY')
            return False
        script, out, code = self.script(b)
        self.note(f'- {script[:40]!r}')
        os.write(fd, script.encode())
        b.job(out, code, False, script)
        self.keep(b.jobs[b.next - 1])
        got = self.read_all(fd)
        self.same('session', script, got, out)
        check('idle', os.read(fd, 10), b'')
        return True

    def new_job(self):
        """jobs/new: an input, its end, a terminal, a kill."""
        b = self.some('running')
        kind = self.rnd.choice(('cat', 'eof', 'tty', 'held', 'close'))
        self.note(f'jobs/new {b.name} {b.state} {kind}')
        word = self.word()
        script, out = {
            'cat': (f'cat; echo {word}', f'a\nb\n{word}\n'),
            'eof': ('cat; exit 4', 'typed\n'),
            'tty': ('pty 24 80\nread -r x; stty size; exit 5', None),
            'held': ('exec sleep 60', ''),
            'close': (f'cat; echo {word}', f'{word}\n'),
        }[kind]
        fd = os.open(self.at(b.name, 'jobs/new'), RW)
        try:
            os.write(fd, script.encode())
            if b.state != 'running':
                fails(lambda: os.read(fd, 20), 'EHOSTDOWN')
                return
            n = int(os.read(fd, 20))
            check('number', n, b.next)
            check('its end', os.read(fd, 20), b'')
            j = b.job(out, None, script=kind)
            self.talk(b, j, kind, fd)
        finally:
            os.close(fd)
        if kind == 'close':
            j.code = 0
        if kind != 'held':
            n, code, _ = get(self.at(b.name, 'jobs', str(j.n), 'wait')).split()
            check('wait', (int(n), int(code)), (j.n, j.code))
            self.look_at(b, j)

    def talk(self, b, j, kind, fd):
        path = self.at(b.name, 'jobs', str(j.n)) + '/'
        wait = os.open(path + 'wait', R | os.O_NONBLOCK)
        fails(lambda: os.read(wait, 10), 'EAGAIN')
        os.close(wait)
        if kind == 'cat':
            put(path + 'stdin', 'a\nb\n', W)
            j.code = 0
        elif kind == 'eof':
            s = os.open(path + 'stdin', W)
            os.write(s, b'typed\n')
            put(path + 'ctl', 'eof\n')
            fails(lambda: put(path + 'ctl', 'eof\n'), 'EPIPE', 'ESRCH')
            fails(lambda: os.write(s, b'more'), 'EPIPE')
            os.close(s)
            j.code = 4
        elif kind == 'tty':
            fails(lambda: put(path + 'ctl', 'winsize 0 1\n'), 'EINVAL')
            put(path + 'ctl', 'winsize 33 44\n')
            check('winsize', get(path + 'ctl'), 'winsize 33 44\n')
            put(path + 'stdin', 'x\n', W)
            j.code = 5
            check('wait', get(path + 'wait').split()[1], '5')
            check('stty', '33 44' in get(path + 'output'), True)
        elif kind == 'held':
            fails(lambda: put(path + 'ctl', 'winsize 1 1\n'), 'EINVAL')
            b.newest = j

    def kill(self):
        """The newest job, or one by its own ctl."""
        b = self.some('running')
        j = self.rnd.choice(list(b.jobs.values()) or [None])
        own = j is not None and self.rnd.random() < .5
        if not own:
            j = b.newest
        self.note(f'kill {b.name} {b.state} {j and j.n}')
        sig, code = self.rnd.choice((('', 143), (' KILL', 137), (' 1', 129),
                                     (' SIGINT', 130)))
        path = self.at(b.name, *(('jobs', str(j.n)) if own else ()), 'ctl')
        if j is None or j.code is not None:
            if b.sure:
                fails(lambda: put(path, f'kill{sig}\n'), 'ESRCH')
            return
        put(path, f'kill{sig}\n')
        j.code = {code, 143, 137, 129, 130}
        j.out = None
        if b.state == 'paused': # it gets it when it goes on
            put(self.at(b.name, 'ctl'), 'resume\n')
            b.state = 'running'
            b.told['resumed'] += 1
        self.exits(j, int(get(self.at(b.name, 'jobs', str(j.n),
                                      'wait')).split()[1]))

    def forget(self):
        b = self.some()
        if not b.jobs:
            return
        j = self.rnd.choice(list(b.jobs.values()))
        way = self.rnd.choice(('rmdir', 'rmtree'))
        self.note(f'{way} {b.name} {b.state} job {j.n} {j.code}')
        path = self.at(b.name, 'jobs', str(j.n))
        if way == 'rmdir':
            os.rmdir(path)
        else:
            shutil.rmtree(path)
        fails(lambda: get(path + '/status'), 'ENOENT', 'ESTALE')
        fails(lambda: os.rmdir(path), 'ENOENT')
        if j.code is None:
            j.code = {137}
        del b.jobs[j.n]
        if b.newest is j:
            b.newest = None
            b.sure = False # another one is it now

    # --- the rest

    def keepers(self):
        """new: kept, or gone when it is closed."""
        keep = self.rnd.random() < .3
        self.note(f'new {keep}')
        fd = os.open(self.at('new'), RW)
        try:
            fails(lambda: os.write(fd, b'frob=1\n'), 'EINVAL')
            os.write(fd, b'pids=55\n')
            name = os.read(fd, 100).decode().strip()
            check('its end', os.read(fd, 10), b'')
            os.write(fd, b'label x=y\n')
            b = Box(name)
            ctl, labels = self.settings(b)
            check('new', (ctl['pids'], labels), ('55', {'x': 'y'}))
            put(self.at(name, 'exec'), 'echo in new')
            check('exec', get(self.at(name, 'exec')), 'in new\n')
            if keep:
                os.write(fd, b'keep\n')
        finally:
            os.close(fd)
        if keep:
            get(self.at(name, 'status'))
            os.rmdir(self.at(name))
        until('new goes', lambda: not os.path.exists(self.at(name)))

    def ports(self):
        b = self.some('running')
        self.note(f'ports {b.name} {b.state}')
        path = self.at(b.name, 'ports')
        if b.state != 'running':
            fails(lambda: put(path, 'expose 7000\n'), 'EHOSTDOWN')
            return
        put(self.at(b.name, 'exec'), 'exec python3 -c "import socket\n'
            's = socket.create_server((\'127.0.0.1\', 7000))\n'
            'while 1:\n c, _ = s.accept(); c.sendall(b\'hi\'); c.close()"')
        j = b.job(None, None)
        put(path, 'expose 7000\n')
        line = get(path)
        where = line.split(' as ')[1].strip().rsplit(':', 1)
        check('a server', socket.create_connection(
            (where[0], int(where[1])), 5).recv(10), b'hi')
        put(path, 'close 7000\n')
        check('listens', get(path), '# listen 7000\n')
        fails(lambda: put(path, 'close 7000\n'), 'EINVAL', 'ENOENT')
        put(self.at(b.name, 'jobs', str(j.n), 'ctl'), 'kill KILL\n')
        j.code = {137}
        self.exits(j, int(get(self.at(b.name, 'wait')).split()[1]))

    def follow(self):
        """log, by poll, from its end."""
        b = self.some('running')
        self.note(f'follow {b.name} {b.state}')
        if b.state != 'running':
            return
        word = self.word()
        with open(self.at(b.name, 'log'), 'rb', buffering=0) as f:
            f.seek(0, os.SEEK_END)
            p = select.poll()
            p.register(f, select.POLLIN)
            f.read()
            put(self.at(b.name, 'exec'), f'echo {word}')
            b.job(word + '\n', 0)
            got, end = b'', time.monotonic() + 5 * SLOW
            while word.encode() not in got:
                p.poll(100)
                got += f.read()
                if time.monotonic() > end:
                    raise Wrong(f'{word} does not come to the log: {got!r}')
        get(self.at(b.name, 'exec'))

    def look(self):
        b = self.some()
        self.note(f'look at {b.name}')
        self.compare(b)
        listed = {n for n in os.listdir(self.mount)
                  if n.startswith(f'c{self.number}-')}
        check('listed', listed, set(self.boxes))
        _, all_of = self.http('GET', '/sandboxes')
        check('GET /sandboxes', {x['name'] for x in all_of if x.get(
            'name', '').startswith(f'c{self.number}-')}, set(self.boxes))

    def fight(self):
        """Over a name of everybody's: only the errnos count."""
        a, b = self.rnd.sample(SHARED, 2)
        gone = ('ENOENT', 'ESTALE', 'EHOSTDOWN', 'EACCES')
        what, call, names = self.rnd.choice((
            ('mkdir', lambda: os.mkdir(self.at(a)), ('EEXIST',)),
            ('mkdir', lambda: os.mkdir(self.at(a)), ('EEXIST',)),
            ('rmdir', lambda: os.rmdir(self.at(a)), ('EPERM',)),
            ('mv', lambda: os.rename(self.at(a), self.at(b)),
             ('EEXIST', 'ENOTEMPTY', 'EPERM')),
            ('exec', lambda: put(self.at(a, 'exec'), 'echo x'), ()),
            ('cat exec', lambda: get(self.at(a, 'exec')), ()),
            ('wait', lambda: get(self.at(a, 'wait')), ()),
            ('env', lambda: put(self.at(a, 'env'), 'A=1\n'), ()),
            ('stop', lambda: put(self.at(a, 'ctl'), 'stop 0\n'), ('EBUSY',)),
            ('start', lambda: put(self.at(a, 'ctl'), 'start\n'), ('EBUSY',)),
            ('restart', lambda: put(self.at(a, 'ctl'), 'restart 0\n'),
             ('EBUSY',)),
            ('pause', lambda: put(self.at(a, 'ctl'), 'pause\n'), ('EBUSY',)),
            ('resume', lambda: put(self.at(a, 'ctl'), 'resume\n'),
             ('EBUSY',)),
            ('memory', lambda: put(self.at(a, 'ctl'), 'memory '
                                   f'{self.rnd.randint(64, 99)}M\n'),
             ('EBUSY',)),
        ))
        self.note(f'{what} {a} {b}')
        if 'cat' in what or what == 'wait':
            # of a sandbox that somebody may pause
            call = lambda path=self.at(a, what.split()[-1]): self.peek(path)
        may(call, *gone, *names)

    @staticmethod
    def peek(path):
        fd = os.open(path, R | os.O_NONBLOCK)
        try:
            may(lambda: os.read(fd, 1000), 'EAGAIN')
        finally:
            os.close(fd)

    # --- who is interrupted or killed

    def chances(self, b):
        """What may be cut off."""
        path = self.at(b.name) + '/'
        spare = self.at(f'v{self.number}')
        return (
            ('session', lambda: self.stay(os.open(path + 'exec', RW))),
            ('sleep', lambda: put(path + 'exec', 'sleep .2')),
            ('cat exec', lambda: get(path + 'exec')),
            ('wait', lambda: get(path + 'wait')),
            ('stop', lambda: put(path + 'ctl', 'stop 3\n')),
            ('restart', lambda: put(path + 'ctl', 'restart 0\n')),
            ('memory', lambda: put(path + 'ctl', 'memory 80M\ncpu 1\n')),
            ('expose', lambda: put(path + 'ports', 'expose 9\n')),
            ('env', lambda: put(path + 'env', 'V=1\n')),
            ('stdin', lambda: self.pour(path)),
            ('new', lambda: self.stay(os.open(self.at('new'), RW))),
            ('create', lambda: put(self.at('ctl'),
                                   f'create v{self.number}\n')),
            ('mkdir', lambda: os.mkdir(spare)),
            ('rmtree', lambda: shutil.rmtree(spare)),
            ('http', lambda: Unix(self.sock).request(
                'POST', f'/sandboxes/{b.name}/exec',
                json.dumps({'command': 'sleep .1; echo x'}))),
        )

    def victim(self):
        """A child that is ended in the middle of something."""
        b = self.some('running')
        what, call = self.rnd.choice(self.chances(b))
        sig = self.rnd.choice((signal.SIGINT, signal.SIGKILL))
        self.note(f'victim {what} {b.name} {b.state} {sig.name}')
        spare = self.at(f'v{self.number}')
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            try:
                call()
            except (OSError, Wrong, shutil.Error):
                pass
            os._exit(0)
        time.sleep(self.rnd.random() ** 2 * .15)
        os.kill(pid, sig)
        until(f'a victim of {sig.name} in {what} ends', lambda: os.waitpid(
            pid, os.WNOHANG)[0] == pid)
        self.learn(b)
        if what in ('create', 'mkdir', 'rmtree') and os.path.exists(spare):
            may(lambda: shutil.rmtree(spare), 'ENOENT')

    def stay(self, fd):
        os.write(fd, b'pids=30\n' if self.rnd.random() < .5 else b'sleep 9')
        while os.read(fd, 100):
            pass
        time.sleep(9)

    def pour(self, path):
        fd = os.open(path + 'jobs/new', RW)
        os.write(fd, b'sleep 20')
        n = os.read(fd, 20).decode().strip()
        put(f'{path}jobs/{n}/stdin', 'x' * 300000, W)

    # --- several at once on one sandbox

    def blows(self, b):
        ctl, path = self.at(b.name, 'ctl'), self.at(b.name) + '/'
        mib = self.rnd.randint(64, 99)

        def post(what, body=None, method='POST'):
            def call():
                code, answer = self.http(method, f'/sandboxes/{b.name}{what}',
                                         body)
                if code not in (200, 409):
                    raise Wrong(f'{what}: {code} {answer}')
            return f'{method} {what} {body}', call

        def line(text):
            return text, lambda: put(ctl, text + '\n')
        return (
            line('start'), line('stop 0'), line('stop'), line('restart 0'),
            line('pause'), line('resume'), line(f'memory {mib}M'),
            line(f'pids {mib}'), line('cpu 1.5'), line(f'label d={mib}'),
            line('kill'), line('kill KILL'),
            post('/start'), post('/stop', {'grace': 0}), post('/pause'),
            post('/resume'), post('/restart', {'grace': .1}),
            post('', {'memory': f'{mib}m', 'labels': {'d': 'x'}}, 'PATCH'),
            post('/exec', {'command': 'echo x'}),
            post('/exec', {'command': 'sleep .1'}),
            ('exec', lambda: put(path + 'exec', 'echo x')),
            ('cat exec', lambda: get(path + 'exec')),
            ('wait', lambda: get(path + 'wait')),
            ('session', lambda: self.ask(path + 'exec')),
            ('jobs/new', lambda: self.ask(path + 'jobs/new')),
            ('env', lambda: put(path + 'env', f'D={mib}\n')),
            ('ports', lambda: get(path + 'ports')),
            ('stats', lambda: get(path + 'stats')),
            # (over TCP a file that was open is lost by a stop)
            ('fs', lambda: self.remote or
             put(path + 'fs/root/x', 'x', W | os.O_CREAT)),
        )

    @staticmethod
    def ask(path):
        fd = os.open(path, RW)
        try:
            os.write(fd, b'echo x')
            while os.read(fd, 100):
                pass
        finally:
            os.close(fd)

    def duel(self):
        b = self.some()
        calls = self.rnd.choices(self.blows(b), k=self.rnd.randint(2, 4))
        self.note(f'duel {b.name} {b.state}: ' + ', '.join(
            what for what, _ in calls))
        slots = {}
        for what, call in calls:
            times = self.rnd.randint(1, 4)
            pid = os.fork()
            if pid == 0:
                self.conn = None
                os._exit(self.strike(what, call, times))
            slots[pid] = what
        end = time.monotonic() + .5
        while slots:
            for pid in list(slots):
                got, status = os.waitpid(pid, os.WNOHANG)
                if got and status:
                    raise Wrong(f'{slots[pid]} failed')
                if got:
                    del slots[pid]
            time.sleep(.002)
            if slots and time.monotonic() > end:
                # they may wait for what is paused
                may(lambda: put(self.at(b.name, 'ctl'), 'resume\n'), 'EBUSY')
                for n in os.listdir(self.at(b.name, 'jobs')):
                    may(lambda n=n: put(self.at(b.name, 'jobs', n, 'ctl'),
                                        'kill KILL\n'),
                        'ESRCH', 'ENOTDIR', 'ESTALE')
                time.sleep(.05)
                if time.monotonic() > end + HANG:
                    for pid in slots:
                        show_stacks(pid)
                    print(self.status(b))
                    raise Wrong(f'{slots} hang')
        self.learn(b)
        code, info = self.http('GET', f'/sandboxes/{b.name}')
        check('both doors', (code, info['state']), (200, b.state))

    def strike(self, what, call, times):
        try:
            for _ in range(times):
                may(call, 'EBUSY', 'EHOSTDOWN', 'ESRCH')
        except (OSError, Wrong) as e:
            print(f'{what}: {e!r}', flush=True)
            return 1
        return 0

    # --- events

    def events(self):
        """What came since the last look: numbers, order, each once."""
        text = get(self.at('events'))
        if text and not text.endswith('\n'):
            raise Wrong(f'events ends with {text[-80:]!r}')
        for line in text.splitlines():
            seq, _, name, event, *rest = line.split(' ')
            seq = int(seq)
            if self.events_seq is not None and seq <= self.events_seq:
                continue
            if self.uid == 0 and self.events_seq is not None:
                check('the next event', seq, self.events_seq + 1)
            self.events_seq = seq
            if name.startswith(f'c{self.number}-'):
                self.event(name, event, dict(x.split('=', 1) for x in rest))

    def event(self, name, event, more):
        if event == 'renamed' and more['from'] in self.seen:
            self.seen[name] = self.seen.pop(more['from'])
        if event == 'created':
            check(f'{name} created twice', name in self.seen, False)
            self.seen[name] = {'n': collections.Counter(), 'jobs': {}}
            self.told.append(self.seen[name])
        if name not in self.seen:
            raise Wrong(f'event {event} of {name}, which is not there')
        e = self.seen[name]
        e['n'][event] += 1
        if event == 'destroyed':
            self.ended.append(self.seen.pop(name))
        elif event == 'job-started':
            n = int(more['job'])
            check(f'{name}: job {n} started twice', n in e['jobs'], False)
            e['jobs'][n] = None
        elif event == 'job-exit':
            n = int(more['job'])
            check(f'{name}: job {n} ended unbegun or again',
                  e['jobs'].get(n, 'never'), None)
            e['jobs'][n] = int(more['exit'])

    def compare_events(self):
        self.note('events')
        for b in self.boxes.values():
            until('it is made', lambda b=b: self.status(b)['state'] !=
                  'creating')
        self.events()
        check('living', set(self.seen), set(self.boxes))
        for name, b in self.boxes.items():
            self.compare_box(b, self.seen[name])

    @staticmethod
    def compare_box(b, e):
        for n, j in b.exits.items():
            got = e['jobs'].get(n, 'none')
            if j.code is not None and got is not None and got != 'none':
                Client.exits(j, got)
            if b.sure and (got == 'none' or (got is None) !=
                           (j.code is None)):
                raise Wrong(f'{b.name}: job {n} ({j.script}, {j.code}): '
                            f'event {got}')
        if e['n']['destroyed'] and not e['n']['started']:
            return # before it was made
        if b.sure:
            for event in set(b.told) | set(e['n']):
                if event not in ('job-started', 'job-exit', 'port', 'oom'):
                    check(f'events {event} of {b.name}', e['n'][event],
                          b.told[event])

    # --- all of it

    OPS = ((create, 6), (destroy, 6), (rename, 3), (verb, 12), (set, 8),
           (setenv, 8), (echo_cat, 20), (http_exec, 10), (session, 12),
           (new_job, 10), (kill, 6), (forget, 4), (keepers, 3), (ports, 1),
           (follow, 4), (look, 8), (fight, 12), (victim, 6), (duel, 6),
           (compare_events, 3))
    WAITS = ('victim', 'duel', 'ports')     # and those with a tool of their own

    def deaths(self):
        return get(self.chaos) if self.chaos else ''

    def step(self):
        if len(self.boxes) < 2:
            op = Client.create
        else:
            op = self.rnd.choices([o for o, _ in self.OPS],
                                  [w for _, w in self.OPS])[0]
            if op is Client.create and len(self.boxes) > 4:
                op = Client.destroy
        before = self.deaths()
        began = time.monotonic()
        self.slot.begin(op.__name__)
        try:
            op(self)
        except (OSError, Wrong, ValueError, http.client.HTTPException,
                subprocess.TimeoutExpired) as e:
            if not self.chaos or (self.deaths() == before and
                                  int(before) % 2 == 0):
                raise
            self.note(f'- {e!r}')
            while not self.recovered():
                pass
        took = time.monotonic() - began
        self.did[op.__name__] += 1
        if took > self.longest[0]:
            self.longest = took, self.trace[-1]
        if took > BOUND and op.__name__ not in self.WAITS and \
                self.deaths() == before:
            raise Wrong(f'it took {took:.2f} s')

    def recovered(self):
        """False: they died again meanwhile."""
        before = self.deaths()
        try:
            self.recover()
        except (OSError, Wrong, ValueError, http.client.HTTPException):
            if self.deaths() == before and int(before) % 2 == 0:
                raise
            return False
        return True

    def recover(self):
        """After a death: what was acknowledged is there."""
        self.conn = None
        until('all is served again', lambda: int(self.deaths()) % 2 == 0, 60)
        cut_off = self.trace[-2].split(' ')
        there = {n for n in os.listdir(self.mount)
                 if n.startswith(f'c{self.number}-')}
        for name in set(self.boxes) - there:
            if cut_off[0] not in ('destroy', 'rename') or \
                    name not in cut_off:
                raise Wrong(f'{name} is gone')
            self.past.append(self.boxes.pop(name))
        for name in there - set(self.boxes):
            if name not in cut_off:
                raise Wrong(f'{name} is there')
            self.boxes[name] = Box(name)
        for b in self.boxes.values():
            self.learn(b)
            b.exits = {} # one that was not begun has its number no more

    def run(self):
        if self.uid:
            os.setgroups([SOCKET_GROUP])
            os.setgid(self.uid)
            os.setuid(self.uid)
        try:
            self.events()
            self.told, self.ended = [], []
            while time.monotonic() < self.end:
                self.step()
            self.slot.begin('end')
            for b in list(self.boxes.values()):
                self.compare(b)
                if b.ctl['protect'] == 'on':
                    put(self.at(b.name, 'ctl'), 'protect off\n')
                os.rmdir(self.at(b.name))
                self.drop(b)
            if not self.chaos:
                until('jobs end', lambda: self.events() or all(
                    c is not None for e in self.told
                    for c in e['jobs'].values()))
                for b, e in zip(self.past, self.ended):
                    self.compare_box(b, e)
        except BaseException as e:
            print(f'client {self.number}: {type(e).__name__}: {e}\n  ' +
                  '\n  '.join(self.trace), flush=True)
            if not isinstance(e, Wrong):
                import traceback
                traceback.print_exc()
            os._exit(1)
        print(f'client {self.number}: {sum(self.did.values())} operations, '
              f'longest {self.longest[0]:.2f} s: {self.longest[1]}',
              flush=True)
        os._exit(0)


class Slot:
    """What a client does, and since when, for its parent."""

    def __init__(self):
        self.map = mmap.mmap(-1, 4096)

    def begin(self, what):
        text = f'{time.monotonic()} {what}'.encode()
        self.map[:len(text) + 1] = text + b'\0'

    def now(self):
        text = self.map[:].split(b'\0')[0].decode()
        since, _, what = text.partition(' ')
        return (time.monotonic() - float(since), what) if since else (0, '')


def show_stacks(pid):
    for p in [str(pid)] + open(
            f'/proc/{pid}/task/{pid}/children').read().split():
        for file in 'wchan', 'stack', 'syscall':
            try:
                print(p, file, get(f'/proc/{p}/{file}'))
            except OSError as e:
                print(p, file, e)


def main(args):
    global SOCKET_GROUP
    SOCKET_GROUP = os.stat(args[1]).st_gid
    remote = 'remote' in args
    probe = Client(99, 0, args, Slot())
    os.mkdir(probe.at('c99-0'))
    DEFAULT.update(probe.settings(Box('c99-0'))[0])
    os.rmdir(probe.at('c99-0'))
    clients = {}
    for number, uid in enumerate((0, 0, 0, 0) if remote else
                                 (0, 0, 1000, 1001)):
        slot = Slot()
        slot.begin('start')
        pid = os.fork()
        if pid == 0:
            Client(number, uid, args, slot).run()
        clients[pid] = slot
    bad = 0
    while clients:
        time.sleep(.05)
        for pid, slot in list(clients.items()):
            took, what = slot.now()
            if took > HANG * 3:
                print(f'{what} hangs for {took:.0f} s')
                show_stacks(pid)
                os.kill(pid, signal.SIGKILL)
            got, status = os.waitpid(pid, os.WNOHANG)
            if got == pid:
                del clients[pid]
                bad += status != 0
        if bad:
            for pid in clients:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            return 1
    for name in set(os.listdir(probe.mount)) & set(SHARED):
        os.rmdir(probe.at(name))
    return 0


sys.exit(main(sys.argv[1:]))
