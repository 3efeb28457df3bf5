"""What the cases 02xx share: the native runtime driven by tests/tools/rt in
directories of its own, the agents in its sandboxes, and what may be left."""
import array
import atexit
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.environ.get('TOP') or os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(TOP, os.environ.get('B') or 'build')
SLOW = int(os.environ.get('SBX_SLOW', 1))
RANGES = 300


def skip(why):
    print(why)
    sys.exit(77)


def need_root():
    if os.geteuid() != 0:
        skip('needs root')


def new_id():
    return 'sbx-%032x' % random.getrandbits(128)


class Failed(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.errno = int(text.split()[1])


class Home:
    """Run and data directory, cgroup and range of ids of one test."""

    def __init__(self, agent=None):
        need_root()
        self.top = os.environ.get('W') or tempfile.mkdtemp(prefix='sbx.')
        self.own = 'W' not in os.environ
        os.chmod(self.top, 0o711)
        self.run = os.path.join(self.top, 'run')
        self.data = os.path.join(self.top, 'data')
        os.makedirs(self.run, exist_ok=True)
        os.makedirs(self.data, exist_ok=True)
        self.cgroup = os.path.join(os.environ.get('SBX_CGROUP', ''),
                                   'sbxtest-%08x' % random.getrandbits(32))
        first = 2415919104 + random.randrange(400) * 4194304
        self.argv = [os.path.join(B, 'tests/tools/rt'), self.run, self.data,
                     self.cgroup, agent or os.path.join(B, 'sbx-agent'),
                     str(first), str(RANGES * 65536)]
        self.workers = []
        # a case that is ended from outside cleans up as well
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        atexit.register(self.end)

    def worker(self):
        w = Worker(self)
        self.workers.append(w)
        return w

    def check(self):
        """What the runtime says of this host."""
        return subprocess.run(self.argv + ['check'], capture_output=True,
                              text=True, check=True).stdout

    def undo(self):
        done = subprocess.run(self.argv + ['undo'], capture_output=True,
                              text=True, timeout=60 * SLOW, check=False)
        if done.stdout.strip() != 'ok':
            raise AssertionError('undo: ' + done.stdout + done.stderr)

    def end(self):
        for w in self.workers:
            w.end()
        try:
            self.undo()
        finally:
            if self.own:
                subprocess.run(['rm', '-rf', self.top], check=False)

    def cgroups(self):
        found = []
        for at, names, _ in os.walk('/sys/fs/cgroup'):
            if at.endswith('/' + self.cgroup):
                found += [os.path.join(at, n) for n in names]
        return found

    def processes(self):
        """Pids in our cgroups, our workers aside."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cgroup', encoding='utf-8') as f:
                    if f'/{self.cgroup}/' in f.read():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def traces(self):
        """Everything that sandboxes leave, by kind."""
        return {
            'cgroups': self.cgroups(),
            'processes': self.processes(),
            'records': self.inside('instances'),
            'ids': self.inside('ids'),
            'sockets': os.listdir(self.run + '/agents'),
            'directories': os.listdir(self.data + '/sandboxes'),
            'mounts': self.mounts(),
        }

    def inside(self, name):
        """What RUN_DIR/mnt/NAME holds in the pinned namespace."""
        return subprocess.run(
            ['nsenter', '--mount=' + self.run + '/mnt/ns', 'ls', '-A',
             self.run + '/mnt/' + name], capture_output=True, text=True,
            check=True).stdout.split()

    def mounts(self):
        """Of sandboxes, in the pinned namespace."""
        out = subprocess.run(
            ['nsenter', '--mount=' + self.run + '/mnt/ns', 'cat',
             '/proc/self/mountinfo'], capture_output=True, text=True,
            check=True).stdout
        return [line for line in out.splitlines()
                if self.run + '/mnt/d/' in line]

    def expect_nothing(self, seconds=5):
        until = time.monotonic() + seconds * SLOW
        while True:
            left = {k: v for k, v in self.traces().items() if v}
            if not left:
                return
            if time.monotonic() > until:
                raise AssertionError(f'left over: {left}')
            time.sleep(0.05)


class Worker:
    """One process of the tool: lines in, answers out."""

    def __init__(self, home):
        self.home = home
        self.p = subprocess.Popen(home.argv, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True,
                                  bufsize=1)
        self.pid = self.p.pid
        self.line()

    def line(self):
        text = self.p.stdout.readline().rstrip('\n')
        if text.startswith('err '):
            raise Failed(text)
        if not text.startswith('ok'):
            raise EOFError(f'the tool ended: {text!r}')
        return text[3:]

    def send(self, *words):
        self.p.stdin.write(' '.join(str(w) for w in words) + '\n')
        self.p.stdin.flush()

    def ask(self, *words):
        self.send(*words)
        return self.line()

    def create(self, kind='host', path='-', limits=(), sid=None):
        sid = sid or new_id()
        self.ask('create', sid, kind, path, *limits)
        return sid

    def info(self, *words):
        """state, and pid, base, run as numbers."""
        answer = self.ask(*words).split()
        return answer[1], *(int(x.split('=')[1]) for x in answer[2:])

    def stats(self, sid):
        return {k: int(v) for k, v in
                (x.split('=') for x in self.ask('stats', sid).split())}

    def list(self):
        self.send('list')
        found = {}
        while True:
            words = self.line().split()
            if not words:
                return found
            found[words[0]] = words[1]

    def end(self):
        if self.p.poll() is None:
            self.p.stdin.close()
            try:
                self.p.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.p.stdout.close()


class Agent:
    """A connection to the agent of a sandbox: jobs, and their outputs."""

    def __init__(self, home, sid):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60 * SLOW)
        self.s.connect(f'{home.run}/agents/{sid}.sock')
        self.data, self.requests, self.jobs = b'', 0, 0
        self.call('sbx.hello', {})

    def close(self):
        self.s.close()

    def send(self, kind, payload, fds=()):
        data = struct.pack('>BI', kind, len(payload)) + payload
        if fds:
            data = data[self.s.sendmsg(
                [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                          array.array('i', fds))]):]
        self.s.sendall(data)

    def recv(self):
        while True:
            if len(self.data) >= 5:
                kind, n = struct.unpack('>BI', self.data[:5])
                if len(self.data) >= 5 + n:
                    payload = self.data[5:5 + n]
                    self.data = self.data[5 + n:]
                    if kind == 1:
                        return json.loads(payload)
                    continue
            more = self.s.recv(1 << 18)
            if not more:
                raise EOFError('the agent is gone')
            self.data += more

    def call(self, method, params, fds=()):
        self.requests += 1
        self.send(1, json.dumps({'jsonrpc': '2.0', 'id': self.requests,
                                 'method': method,
                                 'params': params}).encode(), fds)
        while True:
            m = self.recv()
            if m.get('id') == self.requests:
                if 'error' in m:
                    raise OSError(-m['error']['code'], m['error']['message'])
                return m['result']

    def job(self, script):
        """Starts one: its number and the reading end of its output."""
        self.jobs += 1
        out_r, out_w = os.pipe()
        self.send(2, script.encode())
        self.call('sbx.job.start', {'job': self.jobs, 'binary': True},
                  [out_w, out_r, out_w, out_r])
        os.close(out_w)
        return self.jobs, out_r

    def run(self, script):
        """(exit status or -signal, both outputs)."""
        number, out_r = self.job(script)
        out, watched = b'', [self.s, out_r]
        while True:
            # what was read already makes no descriptor ready
            ready = select.select(watched, [], [],
                                  0 if self.data else 60 * SLOW)[0]
            if out_r in ready:
                more = os.read(out_r, 1 << 16)
                out += more
                if not more:
                    watched.remove(out_r)
            elif self.s in ready or self.data:
                m = self.recv()
                if m.get('method') == 'sbx.job.exit' and \
                        m['params']['job'] == number:
                    break
            else:
                raise TimeoutError(script)
        os.set_blocking(out_r, False)
        try:
            while more := os.read(out_r, 1 << 16):
                out += more
        except BlockingIOError:
            pass
        os.close(out_r)
        self.send(1, json.dumps({'jsonrpc': '2.0', 'method': 'sbx.job.ack',
                                 'params': {'job': number}}).encode())
        code, sig = m['params']['code'], m['params'].get('signal', 0)
        return (-sig if sig else code), out.decode('utf-8', 'replace')


def eq(what, got, want):
    if got != want:
        raise AssertionError(f'{what}: got {got!r}, want {want!r}')


def has(what, text, part):
    if part not in text:
        raise AssertionError(f'{what}: {part!r} is not in {text!r}')


def fails(what, errno, call, *args):
    try:
        got = call(*args)
    except Failed as e:
        eq(what, e.errno, errno)
        return
    raise AssertionError(f'{what}: succeeded: {got!r}')
