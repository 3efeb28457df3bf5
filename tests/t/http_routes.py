"""The cases of 0310-http-routes.sh: needs SBX_SOCK, SBX_PORT, TOP and root."""
import base64
import json
import os
import re
import socket
import sys
import threading
import time

SOCK, PORT = os.environ['SBX_SOCK'], int(os.environ['SBX_PORT'])
TOP = os.environ['TOP']
SLOW = int(os.environ.get('SBX_SLOW', 1))
USER, OTHER, GROUP = 12345, 12346, 65534  # nobody's; the socket's group


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'{self.status} {self.body[:300]!r}'


class Conn:
    """One connection, as a local user or over TCP."""

    def __init__(self, uid=0, tcp=False):
        if tcp:
            self.s = socket.create_connection(('127.0.0.1', PORT))
        else:
            self.s = socket.socket(socket.AF_UNIX)
            os.setegid(GROUP if uid else 0)
            os.seteuid(uid)
            try:
                self.s.connect(SOCK)
            finally:
                os.seteuid(0)
                os.setegid(0)
        self.s.settimeout(30 * SLOW)
        self.data = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, method, path, body=None, headers=None):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        head = [f'{method} {path} HTTP/1.1', 'Host: x']
        for name, value in (headers or {}).items():
            head.append(f'{name}: {value}')
        if body is not None:
            head.append(f'Content-Length: {len(body)}')
        self.s.sendall('\r\n'.join(head + ['', '']).encode() + (body or b''))

    def more(self):
        got = self.s.recv(1 << 20)
        if not got:
            raise EOFError(f'end, after {self.data[:200]!r}')
        self.data += got

    def until(self, mark):
        while mark not in self.data:
            self.more()
        got, self.data = self.data.split(mark, 1)
        return got

    def take(self, n):
        while len(self.data) < n:
            self.more()
        got, self.data = self.data[:n], self.data[n:]
        return got

    def head(self):
        lines = self.until(b'\r\n\r\n').decode('latin-1').split('\r\n')
        headers = {}
        for line in lines[1:]:
            name, value = line.split(': ', 1)
            headers[name.lower()] = value
        return int(lines[0].split()[1]), headers

    def chunk(self):
        data = self.take(int(self.until(b'\r\n'), 16))
        assert self.take(2) == b'\r\n'
        return data

    def answer(self, method='GET'):
        status, headers = self.head()
        body = b''
        if method == 'HEAD' or status in (204, 304):
            pass
        elif headers.get('transfer-encoding') == 'chunked':
            while True:
                data = self.chunk()
                if not data:
                    break
                body += data
        else:
            body = self.take(int(headers['content-length']))
        return Answer(status, headers, body)

    def event(self):
        """(fields) of the next server-sent event, chunk by chunk."""
        text = b''
        while not text.endswith(b'\n\n'):
            got = self.chunk()
            if not got:
                return None
            text += got
        fields = {}
        for line in text.decode().strip().split('\n'):
            name, value = line.split(': ', 1)
            fields[name or 'comment'] = value
        return fields


def ask(method, path, body=None, headers=None, uid=0, tcp=False):
    with Conn(uid, tcp) as c:
        c.send(method, path, body, headers)
        return c.answer(method)


failed = []
passed = 0


def check(name, good, what=''):
    global passed
    if good:
        passed += 1
    else:
        failed.append(name)
        print(f'FAIL: {name}: {what}', flush=True)


def want(name, got, status, part=None):
    text = got.body.decode('utf-8', 'replace')
    good = got.status == status
    if part is not None:
        good = good and part in text
    if got.status >= 400 and got.headers.get('content-type') != \
            'text/plain; charset=utf-8':
        good = good and text.startswith('{"error":"') and \
            text.endswith('}\n') and list(got.json) == ['error']
    check(name, good, f'{got}, not {status} {part or ""}')
    return got


BAD = 'invalid request body'
# method, path, body, status, part of the message; web is there and runs
WRONG = [
    ('POST', '/sandboxes', '', 400, BAD),
    ('POST', '/sandboxes', '{', 400, BAD),
    ('POST', '/sandboxes', '[]', 400, BAD + ': expected an object'),
    ('POST', '/sandboxes', '"x"', 400, BAD + ': expected an object'),
    ('POST', '/sandboxes', '7', 400, BAD + ': expected an object'),
    ('POST', '/sandboxes', b'{"name":"\xff"}', 400, BAD),
    ('POST', '/sandboxes', '{"ttl":1,"ttl":2}', 400, BAD),
    ('POST', '/sandboxes', '[' * 5000, 400, BAD),
    ('POST', '/sandboxes', 'x' * 1100000, 400, BAD),
    ('POST', '/sandboxes', {'ttl': 'x'}, 400, BAD +
     ': ttl: expected integer'),
    ('POST', '/sandboxes', {'ttl': 1.5}, 400, 'ttl: expected integer'),
    ('POST', '/sandboxes', {'ttl': True}, 400, 'ttl: expected integer'),
    ('POST', '/sandboxes', '{"ttl":99999999999999999999}', 400, BAD),
    ('POST', '/sandboxes', {'name': 5}, 400, 'name: expected string'),
    ('POST', '/sandboxes', {'name': 'a\0b'}, 400,
     'name: contains a NUL byte'),
    ('POST', '/sandboxes', {'name': ''}, 400, 'name'),
    ('POST', '/sandboxes', {'name': 'a/b'}, 400, 'name a/b'),
    ('POST', '/sandboxes', {'name': '.hidden'}, 400, 'name .hidden'),
    ('POST', '/sandboxes', {'name': 'ctl'}, 400, 'ctl is reserved'),
    ('POST', '/sandboxes', {'name': 'sbx-1'}, 400, 'sbx-'),
    ('POST', '/sandboxes', {'name': 'n' * 64}, 400, 'longer than 63'),
    ('POST', '/sandboxes', {'name': 'web'}, 409, 'web is taken'),
    ('POST', '/sandboxes', {'profile': 'nope'}, 404, 'no profile nope'),
    ('POST', '/sandboxes', {'profile': 5}, 400, 'profile: expected string'),
    ('POST', '/sandboxes', {'image': 'nope'}, 404, 'no image nope'),
    ('POST', '/sandboxes', {'template': 'tpl-x'}, 404,
     'template not found'),
    ('POST', '/sandboxes', {'memory': 512}, 400, 'memory: expected string'),
    ('POST', '/sandboxes', {'memory': 'much'}, 400, 'memory: not a size'),
    ('POST', '/sandboxes', {'memory': '-5m'}, 400, 'memory: not a size'),
    ('POST', '/sandboxes', {'memory': '1.5g'}, 400, 'memory: not a size'),
    ('POST', '/sandboxes', {'memory': '0'}, 400,
     'memory 0: over the limit'),
    ('POST', '/sandboxes', {'memory': '2g'}, 400, 'over the limit'),
    ('POST', '/sandboxes', {'memory': '99999999999999999999t'}, 400,
     'memory: not a size'),
    ('POST', '/sandboxes', {'cpu': '1'}, 400, 'cpu: expected number'),
    ('POST', '/sandboxes', {'cpu': 0}, 400, 'cpu 0: over the limit'),
    ('POST', '/sandboxes', {'cpu': 0.0001}, 400, 'cpu: must be'),
    ('POST', '/sandboxes', {'cpu': -1}, 400, 'cpu: must be'),
    ('POST', '/sandboxes', {'cpu': 1e300}, 400, 'cpu: must be'),
    ('POST', '/sandboxes', {'cpu': 2.5}, 400, 'over the limit'),
    ('POST', '/sandboxes', {'storage': 'x'}, 400, 'storage: not a size'),
    ('POST', '/sandboxes', {'pids': -2}, 400, 'pids: must not be'),
    ('POST', '/sandboxes', {'pids': '9'}, 400, 'pids: expected integer'),
    ('POST', '/sandboxes', {'pids': 10**12}, 400, 'pids'),
    ('POST', '/sandboxes', {'memory': '2000t'}, 400, 'memory'),
    ('POST', '/sandboxes', {'storage': '2000t'}, 400, 'storage'),
    # its milliseconds are 2^64 + 384
    ('POST', '/sandboxes', {'idle': 18446744073709552}, 400, 'idle: out of'),
    ('POST', '/sandboxes', {'network': 'nat'}, 400, 'network nat'),
    ('POST', '/sandboxes', {'timeout': -5}, 400, 'timeout: must not be'),
    ('POST', '/sandboxes', {'idle': -5}, 400, 'idle: must not be'),
    ('POST', '/sandboxes', {'labels': []}, 400, 'labels: expected object'),
    ('POST', '/sandboxes', {'labels': {'a': 1}}, 400,
     'labels: expected an object of strings'),
    ('POST', '/sandboxes', {'labels': {str(i): '' for i in range(65)}}, 400,
     '"too many labels: 65 exceeds maximum of 64"'),
    ('POST', '/sandboxes', {'labels': {'k' * 129: ''}}, 400,
     '"label key too long: 129 exceeds maximum of 128"'),
    ('POST', '/sandboxes', {'labels': {'k': 'v' * 257}}, 400,
     '"label value too long: 257 exceeds maximum of 256"'),
    ('POST', '/sandboxes', {'labels': {'': 'v'}}, 400, 'the key is empty'),
    ('POST', '/sandboxes', {'labels': {'a=b': 'v'}}, 400, 'the key has a ='),
    ('POST', '/sandboxes', {'env': 'A=b'}, 400, 'env: expected object'),
    ('GET', '/sandboxes/nope', None, 404, '"sandbox not found"'),
    ('GET', '/sandboxes/sbx-' + '0' * 32, None, 404, '"sandbox not found"'),
    ('GET', '/sandboxes/a%2Fb', None, 404, '"sandbox not found"'),
    ('GET', '/sandboxes/' + 'x' * 5000, None, 404, '"sandbox not found"'),
    ('GET', '/sandboxes/', None, 404, '404 page not found\n'),
    ('GET', '/sandboxes/web/nope', None, 404, '404 page not found\n'),
    ('DELETE', '/sandboxes/nope', None, 404, '"sandbox not found"'),
    ('PUT', '/sandboxes', None, 405, 'Method Not Allowed\n'),
    ('DELETE', '/health', None, 405, 'Method Not Allowed\n'),
    ('PATCH', '/sandboxes/nope', '{}', 404, '"sandbox not found"'),
    ('PATCH', '/sandboxes/web', '', 400, BAD),
    ('PATCH', '/sandboxes/web', '[]', 400, BAD),
    ('PATCH', '/sandboxes/web', {'name': 'ctl'}, 400, 'ctl is reserved'),
    ('PATCH', '/sandboxes/web', {'name': 'other'}, 409, 'other is taken'),
    ('PATCH', '/sandboxes/web', {'memory': 5}, 400,
     'memory: expected string'),
    ('PATCH', '/sandboxes/web', {'memory': '2g'}, 400, 'over the limit'),
    ('PATCH', '/sandboxes/web', {'cpu': 9}, 400, 'over the limit'),
    ('PATCH', '/sandboxes/web', {'pids': -9}, 400, 'pids: must not be'),
    ('PATCH', '/sandboxes/web', {'storage': '1g'}, 400, 'storage is fixed'),
    ('PATCH', '/sandboxes/web', {'ttl': -2}, 400, 'ttl: must be -1 or more'),
    ('PATCH', '/sandboxes/web', {'idle': -1}, 400, 'idle: must not be'),
    ('PATCH', '/sandboxes/web', {'idle': 18446744073709552}, 400,
     'idle: out of'),
    ('PATCH', '/sandboxes/web', {'pids': 10**12}, 400, 'pids'),
    ('PATCH', '/sandboxes/web', {'timeout': -1}, 400, 'timeout: must not'),
    ('PATCH', '/sandboxes/web', {'protect': 1}, 400,
     'protect: expected boolean'),
    ('PATCH', '/sandboxes/web', {'labels': {'a': 5}}, 400,
     'labels: expected an object of strings'),
    ('PATCH', '/sandboxes/web', {'labels': {'k' * 129: 'v'}}, 400,
     'label key too long'),
    ('PATCH', '/sandboxes/web', {'memory': '256m', 'ttl': 5, 'labels':
                                 {'a': 'v', 'a=b': 'v'}}, 400,
     'the key has a ='),
    ('PATCH', '/sandboxes/web', {'memory': '256m', 'name': 'other'}, 409,
     'other is taken'),
    ('GET', '/sandboxes/nope/stats', None, 404, '"sandbox not found"'),
    ('POST', '/sandboxes/nope/start', None, 404, '"sandbox not found"'),
    ('POST', '/sandboxes/nope/stop', '{', 404, '"sandbox not found"'),
    ('POST', '/sandboxes/web/stop', '{', 400, BAD),
    ('POST', '/sandboxes/web/stop', {'grace': 'x'}, 400,
     'grace: expected number'),
    ('POST', '/sandboxes/web/stop', {'grace': -1}, 400, 'grace: must be'),
    ('POST', '/sandboxes/nope/exec', '{}', 404, '"sandbox not found"'),
    ('POST', '/sandboxes/web/exec', '', 400, BAD),
    ('POST', '/sandboxes/web/exec', '{}', 400, 'command: is required'),
    ('POST', '/sandboxes/web/exec', {'command': ''}, 400, 'empty'),
    ('POST', '/sandboxes/web/exec', {'command': ['ls']}, 400,
     'command: expected string'),
    ('POST', '/sandboxes/web/exec', {'command': 'a\0b'}, 400,
     'command: contains a NUL byte'),
    ('POST', '/sandboxes/web/exec', {'command': 'x' * 1048577}, 400,
     '1048576'),
    ('POST', '/sandboxes/web/exec', {'command': 'x' * 11000000}, 413,
     'too large'),
    ('POST', '/sandboxes/web/exec', {'command': 'x', 'stdin': 5}, 400,
     'stdin: expected string'),
    ('POST', '/sandboxes/web/exec', {'command': 'x', 'env': []}, 400,
     'env: expected object'),
    ('POST', '/sandboxes/web/exec', {'command': 'x', 'env': {'A': 1}}, 400,
     'env: expected an object of strings'),
    ('POST', '/sandboxes/web/exec', {'command': 'x', 'cwd': 7}, 400,
     'cwd: expected string'),
    ('POST', '/sandboxes/web/exec', {'command': 'x', 'timeout': '5'}, 400,
     'timeout: expected number'),
    ('POST', '/sandboxes/web/exec', {'command': 'x', 'timeout': -1}, 400,
     'timeout: must be'),
    ('GET', '/sandboxes/nope/env', None, 404, '"sandbox not found"'),
    ('PUT', '/sandboxes/nope/env', '{}', 404, '"sandbox not found"'),
    ('PUT', '/sandboxes/web/env', '[]', 400, BAD),
    ('PUT', '/sandboxes/web/env', {'A': 1}, 400, 'A: expected a string'),
    ('PUT', '/sandboxes/web/env', {'A': 'x\0'}, 400, 'A: expected a string'),
    ('PUT', '/sandboxes/web/env', {'A B': 'x'}, 400, 'A B'),
    ('PUT', '/sandboxes/web/env', {'1A': 'x'}, 400, '1A'),
    ('PUT', '/sandboxes/web/env', {'': 'x'}, 400, 'name of a variable'),
    ('PUT', '/sandboxes/web/env', {'A': 'x' * 300000}, 400, 'A'),
    ('GET', '/sandboxes/nope/log', None, 404, '"sandbox not found"'),
    ('GET', '/sandboxes/nope/files/x', None, 404, '"sandbox not found"'),
    ('GET', '/sandboxes/web/files/root/nope', None, 404, 'nope'),
    ('GET', '/sandboxes/web/files/root/../../etc', None, 400, '..'),
    ('PUT', '/sandboxes/web/files/a/..%2f..%2fb', 'x', 400, '..'),
    ('GET', '/events/history?after=x', None, 400, "invalid 'after' "
     'parameter \u2014 must be a numeric event ID'),
    ('GET', '/events/history?after=-1', None, 400, "invalid 'after'"),
    ('GET', '/events/history?limit=0', None, 400,
     "invalid 'limit' parameter"),
    ('GET', '/events/history?limit=x', None, 400, "invalid 'limit'"),
    ('PUT', '/pools/default', '', 400, BAD),
    ('PUT', '/pools/default', '{}', 400, 'count: is required'),
    ('PUT', '/pools/default', {'count': 'x'}, 400, 'count: expected int'),
    ('PUT', '/pools/default', {'count': -1}, 400,
     '"count must be non-negative"'),
    ('PUT', '/pools/default', {'count': 100000}, 400, 'over the limit'),
    ('PUT', '/pools/nope', {'count': 1}, 500, 'pool resize failed'),
    ('POST', '/pools/nope/flush', None, 500, 'pool flush failed'),
]


def wrong():
    ask('POST', '/sandboxes', {'name': 'web'})
    ask('POST', '/sandboxes', {'name': 'other'})
    before = ask('GET', '/sandboxes/web').json
    for method, path, body, status, part in WRONG:
        shown = str(body)[:40] if body is not None else ''
        want(f'{method} {path[:50]} {shown}',
             ask(method, path, body), status, part)
    after = ask('GET', '/sandboxes/web').json
    check('nothing wrong has changed anything', before == after,
          f'{before} {after}')
    check('nor made a sandbox', len(ask('GET', '/sandboxes').json) == 2)
    ask('DELETE', '/sandboxes/other')


def create():
    got = want('a body of null', ask('POST', '/sandboxes', 'null'), 201).json
    check('its shape', re.fullmatch(r'sbx-[0-9a-f]{32}', got['id']) and
          got['image'] == 'host' and got['state'] == 'running' and
          got['profile'] == 'default' and got['ttl'] == 0 and
          got['owner'] == 'uid:0' and 'name' not in got and
          'labels' not in got, got)
    check('its time', re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z',
                                   got['created']), got['created'])
    ask('DELETE', '/sandboxes/' + got['id'])
    full = {'name': 'full', 'profile': '', 'memory': '64M', 'cpu': 0.5,
            'pids': 50, 'ttl': 99999999, 'labels': {'a': 'b', 'c': ''},
            'env': {'X': 'y'}, 'timeout': 9, 'unknown': [1], 'image': ''}
    got = want('all fields', ask('POST', '/sandboxes', full), 201).json
    check('are taken', got['memory_bytes'] == 64 << 20 and got['cpu'] == 0.5
          and got['pids'] == 50 and got['ttl'] == 86400 and
          got['labels'] == full['labels'] and got['timeout'] == 9, got)
    check('by its name, as it was answered',
          ask('GET', '/sandboxes/full').json == got)
    check('and by its id', ask('GET', '/sandboxes/' + got['id']).json == got)
    got = ask('POST', '/sandboxes/full/exec', {'command': 'echo $X'}).json
    check('the environment is in', got['stdout'] == 'y\n', got)
    got = ask('POST', '/sandboxes', '{"ttl":-5} and more').json
    check('a negative ttl is echoed', got['ttl'] == -5, got)
    check('and is 0', ask('GET', '/sandboxes/' + got['id']).json['ttl'] == 0)
    ask('DELETE', '/sandboxes/' + got['id'])
    for query, n in (('', 2), ('?label=a:b', 1), ('?label=a:x', 0),
                     ('?label=a:b&label=c:', 1), ('?label=d:', 2),
                     ('?label=a', 2), ('?label=a%3Ab', 1),
                     ('?status=suspended', 2)):
        got = ask('GET', '/sandboxes' + query).json
        check('GET /sandboxes' + query, len(got) == n, got)
    head = ask('HEAD', '/sandboxes')
    check('HEAD', head.status == 200 and int(head.headers['content-length'])
          > 100, head.headers)


def patch():
    got = want('PATCH', ask('PATCH', '/sandboxes/full', {
        'name': 'fresh', 'memory': '128m', 'cpu': 1, 'ttl': -1, 'idle': 5000,
        'timeout': 0, 'labels': {'a': None, 'z': 'y'}, 'protect': True}),
        200).json
    check('is done', got['name'] == 'fresh' and got['ttl'] == -1 and
          got['memory_bytes'] == 128 << 20 and got['cpu'] == 1.0 and
          got['labels'] == {'c': '', 'z': 'y'} and got['idle'] == 5000, got)
    want('the old name is gone', ask('GET', '/sandboxes/full'), 404)
    want('protected', ask('DELETE', '/sandboxes/fresh'), 409, 'protected')
    got = ask('PATCH', '/sandboxes/fresh', {'protect': False, 'ttl': 10 ** 9})
    check('a ttl over the limit is cut', got.json['ttl'] == 86400, got)
    stats = want('stats', ask('GET', '/sandboxes/fresh/stats'), 200).json
    check('their shape', stats['memory_limit_bytes'] == 128 << 20 and
          stats['pids'] >= 1 and 0 < stats['uptime_seconds'] < 60 * SLOW and
          {'cpu_percent', 'memory_usage_bytes', 'memory_percent',
           'network_rx_bytes', 'network_tx_bytes'} <= set(stats), stats)


def delete():
    got = ask('DELETE', '/sandboxes/fresh')
    check('DELETE without User-Agent', got.status == 200 and
          got.body == b'{}\n', got)
    want('it is gone', ask('GET', '/sandboxes/fresh'), 404)
    ask('POST', '/sandboxes', {'name': 'd'})
    got = ask('DELETE', '/sandboxes/d', headers={'User-Agent': 'x'})
    check('DELETE with one', got.status == 204 and got.body == b'', got)
    ask('POST', '/sandboxes', {'name': 'd'})
    check('DELETE over TCP', ask('DELETE', '/sandboxes/d', tcp=True).status
          == 204)


def run(command, **more):
    return ask('POST', '/sandboxes/web/exec', dict(command=command, **more))


def execute():
    got = want('exec', run('echo a; echo b >&2; exit 3'), 200)
    check('its bytes', got.body == b'{"stdout":"a\\n","stderr":"b\\n",'
          b'"exit_code":3,"exitCode":3}\n', got.body)
    got = run('cat; echo $A $HOME; pwd', stdin='in\n', env={'A': 'b'},
              cwd='/tmp').json
    check('stdin, env, cwd', got['stdout'] == 'in\nb /root\n/tmp\n', got)
    got = run('cat | od -An -tx1', stdin='a\0\u00e9').json
    check('stdin of any bytes', got['stdout'].split() ==
          ['61', '00', 'c3', 'a9'], got)
    got = run('cat').json
    check('without stdin there is none', got['stdout'] == '', got)
    got = run('printf "a\\000b\\377c"').json
    check('bytes that are no text', got['stdout'] == 'a\0b\ufffdc' and
          base64.b64decode(got['stdout_base64']) == b'a\0b\xffc' and
          'stderr_base64' not in got, got)
    got = run('kill -TERM $$').json
    check('killed', got['exit_code'] == -1 == got['exitCode'] and
          got['signal'] == 'SIGTERM', got)
    began = time.monotonic()
    got = run('echo part; sleep 60', timeout=0.5).json
    check('a timeout keeps what came', got['stdout'] == 'part\n' and
          got['timed_out'] is True and got['exit_code'] == -1 and
          time.monotonic() - began < 10 * SLOW, got)
    got = run('sleep 100 & echo x').json
    check('what stays behind holds up nobody', got['stdout'] == 'x\n', got)
    got = run('echo x', cwd='/nope').json
    check('a missing cwd', got['exit_code'] in (126, 127) and
          '/nope' in got['stderr'], got)
    got = run('no-such-command').json
    check('a missing command', got['exit_code'] == 127, got)
    got = run('head -c 12000000 /dev/zero | tr "\\0" x').json
    check('12 MB are cut at 10', len(got['stdout']) == 10 << 20 and
          got['truncated'] is True, len(got['stdout']))
    got = run('head -c 9000000 /dev/zero').json
    check('9 MB of zeros', got['stdout'] == '\0' * 9000000, len(got))
    results = []
    threads = [threading.Thread(target=lambda i=i: results.append(
        run(f'sleep 0.2; echo {i}').json['stdout'] == f'{i}\n'))
        for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check('20 at once', results == [True] * 20, results)


def stream():
    with Conn() as c:
        c.send('POST', '/sandboxes/web/exec', {'command':
               'echo a; sleep 0.3; printf "\\303"; sleep 0.3; '
               'printf "\\251\\n"; sleep 0.1; echo e >&2; sleep 0.1; '
               'printf "\\377"; exit 4'},
               {'Accept': 'text/event-stream'})
        status, headers = c.head()
        check('an event stream', status == 200 and headers['content-type']
              == 'text/event-stream' and headers['cache-control'] ==
              'no-cache', headers)
        began = time.monotonic()
        events = [c.event()]
        check('the first comes at once', time.monotonic() - began < 0.25 *
              SLOW, events)
        while events[-1]:
            events.append(c.event())
        got = [(e['event'], json.loads(e['data'])) for e in events[:-1]]
        check('its events', got == [
            ('stdout', {'data': 'a\n'}), ('stdout', {'data': '\u00e9\n'}),
            ('stderr', {'data': 'e\n'}), ('stdout', {'base64': '/w=='}),
            ('exit', {'exit_code': 4, 'exitCode': 4})], got)
    with Conn() as c:
        c.send('POST', '/sandboxes/web/exec',
               {'command': 'head -c 30000000 /dev/zero | tr "\\0" x'},
               {'Accept': 'text/event-stream'})
        c.head()
        time.sleep(0.5)  # a slow reader slows the job, and loses nothing
        n = 0
        while True:
            e = c.event()
            if e['event'] == 'exit':
                break
            n += len(json.loads(e['data'])['data'])
        check('30 MB arrive', n == 30000000, n)
    with Conn() as c:
        c.send('POST', '/sandboxes/web/exec', {'command': 'echo x'},
               {'Accept': 'text/event-stream', 'Connection': 'close'})
        check('and closes when asked', c.answer().status == 200)


def gone():
    """The job of a client that goes is killed."""
    def running(mark):
        got = run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        return mark in got.json['stdout']

    for i, headers in enumerate((None, {'Accept': 'text/event-stream'})):
        mark = f'sleep 123{i}'
        with Conn() as c:
            c.send('POST', '/sandboxes/web/exec', {'command': mark}, headers)
            for _ in range(50 * SLOW):
                if running(mark):
                    break
                time.sleep(0.05)
            check('a job runs', running(mark))
        for _ in range(50 * SLOW):
            if not running(mark):
                break
            time.sleep(0.05)
        check('and ends with its client', not running(mark))


def verbs():
    for verb, state in (('pause', 'paused'), ('resume', 'running'),
                        ('stop', 'stopped'), ('stop', 'stopped'),
                        ('start', 'running'), ('start', 'running'),
                        ('restart', 'running')):
        got = want(verb, ask('POST', '/sandboxes/web/' + verb), 200)
        check(f'{verb}: {state}', got.json['state'] == state, got)
    run('echo kept > /root/kept')
    want('stop', ask('POST', '/sandboxes/web/stop', {'grace': 0.2}), 200)
    want('exec while stopped', run('true'), 409, '"sandbox is not running"')
    want('pause while stopped', ask('POST', '/sandboxes/web/pause'), 409,
         'cannot pause: the sandbox is stopped')
    want('stats while stopped', ask('GET', '/sandboxes/web/stats'), 200)
    want('start', ask('POST', '/sandboxes/web/start'), 200)
    check('the disk is kept', run('cat /root/kept').json['stdout'] ==
          'kept\n')


def environment():
    env = {'GREETING': 'hi', 'Z': 'a\nb"\u00e9'}
    want('PUT env', ask('PUT', '/sandboxes/web/env', env), 200)
    check('GET env', ask('GET', '/sandboxes/web/env').json == env)
    got = run('echo "$GREETING $Z"').json
    check('it holds', got['stdout'] == 'hi a\nb"\u00e9\n', got)
    got = run('echo "$GREETING"', env={'GREETING': 'ho'}).json
    check('a request wins', got['stdout'] == 'ho\n', got)
    want('PUT {}', ask('PUT', '/sandboxes/web/env', '{}'), 200, '{}')
    got = run('echo "[$GREETING]"').json
    check('and it is gone', got['stdout'] == '[]\n', got)
    got = ask('GET', '/sandboxes/web/log')
    check('the log holds all output', got.status == 200 and
          b'hi a\nb' in got.body and b'[]\n' in got.body, got)
    head = ask('HEAD', '/sandboxes/web/log')
    check('its size', int(head.headers['content-length']) >= len(got.body))


def files():
    path = '/sandboxes/web/files/root/dir/f'
    data = os.urandom(300000)
    check('PUT', ask('PUT', path, data).status == 201)
    check('GET', ask('GET', path).body == data)
    check('HEAD', int(ask('HEAD', path).headers['content-length']) == 300000)
    got = ask('GET', path, headers={'Range': 'bytes=10-19'})
    check('Range', got.status == 206 and got.body == data[10:20], got)
    got = ask('POST', '/sandboxes/web/exec', {'command': 'wc -c dir/f'}).json
    check('the sandbox sees it', got['stdout'].startswith('300000 '), got)
    check('DELETE', ask('DELETE', path).status == 204)
    check('is gone', ask('GET', path).status == 404)


def callers():
    mine = ask('POST', '/sandboxes', {'name': 'mine'}, uid=USER)
    want('a user creates', mine, 201)
    check('and owns', mine.json['owner'] == f'uid:{USER}', mine)
    check('and sees its own', [s['name'] for s in ask(
        'GET', '/sandboxes', uid=USER).json] == ['mine'])
    check('another user sees none', ask('GET', '/sandboxes',
                                        uid=OTHER).json == [])
    paths = [('GET', ''), ('DELETE', ''), ('PATCH', ''), ('GET', '/stats'),
             ('POST', '/start'), ('POST', '/stop'), ('POST', '/restart'),
             ('POST', '/pause'), ('POST', '/resume'), ('POST', '/exec'),
             ('GET', '/env'), ('PUT', '/env'), ('GET', '/log'),
             ('GET', '/files/x'), ('HEAD', '/files/x'),
             ('PUT', '/files/x'), ('DELETE', '/files/x')]
    for method, path in paths:
        a, b = [ask(method, f'/sandboxes/{name}{path}', '{}', uid=OTHER)
                for name in ('mine', 'nope')]
        a.headers.pop('date'), b.headers.pop('date')
        check(f'{method} {path} of another is like one that is not',
              a.status == 404 and (a.status, a.headers, a.body) ==
              (b.status, b.headers, b.body), f'{a} {b}')
    check('root sees it', ask('GET', '/sandboxes/mine').status == 200)
    speak = {'X-Sandbox-Identity': f'uid:{USER}'}
    check('root speaks for a user', [s['name'] for s in ask(
        'GET', '/sandboxes', headers=speak).json] == ['mine'])
    want('a user speaks for nobody', ask(
        'GET', '/sandboxes', uid=USER, headers=speak), 403, 'only root')
    for value, status in (('uid:x', 400), ('uid:-1', 400), ('a b', 400),
                          ('x' * 200, 400), ('-', 400), ('alice', 200)):
        want(f'identity {value[:9]}', ask('GET', '/sandboxes', headers={
            'X-Sandbox-Identity': value}), status)
    want('uid: over TCP', ask('GET', '/sandboxes', headers=speak, tcp=True),
         400, 'uid:')
    two = {'X-Sandbox-Identity': 'alice', 'x-sandbox-identity': 'bob'}
    want('two identities', ask('GET', '/sandboxes', headers=two), 400)
    for origin, status in (('http://evil', 403), ('null', 403),
                           ('http://x', 200), ('https://X', 200)):
        want(f'a page of {origin}', ask('GET', '/sandboxes', tcp=True,
                                        headers={'Origin': origin}), status)
    want('a page over Unix', ask('GET', '/sandboxes', headers={
        'Origin': 'http://evil'}), 200)
    alice = {'X-Sandbox-Identity': 'alice', 'X-Sandbox-Max-Concurrent': '1',
             'X-Sandbox-Max-TTL': '7'}
    got = want('alice over TCP', ask('POST', '/sandboxes', {'ttl': 50},
                                     alice, tcp=True), 201)
    check('owns it, with her ttl', got.json['owner'] == 'alice' and
          got.json['ttl'] == 7, got)
    full = want('her second', ask('POST', '/sandboxes', '{}', alice,
                                  tcp=True), 429,
                '"identity sandbox quota exceeded"')
    check('with Retry-After', full.headers['retry-after'] == '2')
    check('bob sees none', ask('GET', '/sandboxes', tcp=True, headers={
        'X-Sandbox-Identity': 'bob'}).json == [])
    check('no identity sees all', len(ask('GET', '/sandboxes',
                                          tcp=True).json) == 3)
    anon = want('made without one', ask('POST', '/sandboxes', '{}',
                                        tcp=True), 201)
    check('is owned by -', anon.json['owner'] == '-', anon)
    for s in ask('GET', '/sandboxes').json:
        if s.get('name') != 'web':
            ask('DELETE', '/sandboxes/' + s['id'])
    for method, path in (('GET', '/pools'), ('PUT', '/pools/default'),
                         ('POST', '/pools/default/flush')):
        want(f'{method} {path} over TCP', ask(method, path, '{}', tcp=True),
             403, '"admin routes are only accessible via Unix socket"')
    want('a user changes no pool', ask('PUT', '/pools/default',
                                       {'count': 1}, uid=USER), 403)


def pools():
    for count in (3, 0, 1):
        want(f'PUT /pools {count}', ask('PUT', '/pools/default',
                                        {'count': count}), 200,
             '{"status":"ok"}\n')
        ready = ask('GET', '/pools').json[0]['ready']
        check(f'{count} are ready', ready >= count, ready)
    want('flush', ask('POST', '/pools/default/flush'), 200,
         '{"status":"ok"}\n')
    got = ask('GET', '/pools').json[0]
    check('ready again', got['ready'] >= 1 and got['profile'] == 'default'
          and got['image'] == 'host' and got['memory'] == '512m' and
          got['cpu'] == 1.0, got)
    got = ask('GET', '/health').json
    check('health', got['status'] == 'ok' and got['sandboxes'] == 1 and
          got['pool'][0]['profile'] == 'default', got)
    got = ask('GET', '/profiles').json
    check('profiles', got[0]['name'] == 'default' and
          got[0]['storage'] == '500m', got)


def capacity():
    there = len(ask('GET', '/sandboxes').json)
    for _ in range(40 - there):
        got = ask('POST', '/sandboxes', '{}')
        if got.status != 201:
            break
    want('up to the limit', got, 201)
    got = want('at capacity', ask('POST', '/sandboxes', '{}'), 503,
               '"at capacity')
    check('Retry-After', got.headers.get('retry-after') == '2')
    for s in ask('GET', '/sandboxes').json:
        if s.get('name') != 'web':
            ask('DELETE', '/sandboxes/' + s['id'])


def events():
    before = ask('GET', '/events/history').json
    with Conn() as c, Conn(uid=OTHER) as other:
        for conn in (c, other):
            conn.send('GET', '/events')
            status, headers = conn.head()
            check('events', status == 200 and headers['content-type'] ==
                  'text/event-stream', headers)
        info = ask('POST', '/sandboxes', {'name': 'ev', 'labels': {
            'a': 'b'}}).json
        e = c.event()
        data = json.loads(e['data'])
        check('created', data['type'] == 'sandbox.created' and
              data['sandbox_id'] == info['id'] and int(e['id']) == data['id']
              and data['identity'] == 'uid:0' and
              data['data']['labels'] == {'a': 'b'} and
              data['data']['profile'] == 'default' and
              data['data']['method'] in ('warm', 'cold'), e)
        ask('DELETE', '/sandboxes/ev')
        e = c.event()
        check('destroyed', json.loads(e['data'])['type'] ==
              'sandbox.destroyed', e)
        ask('POST', '/sandboxes', {'name': 'ev'}, uid=OTHER)
        e = json.loads(other.event()['data'])
        check('a user sees its own alone', e['identity'] == f'uid:{OTHER}',
              e)
        ask('DELETE', '/sandboxes/ev')
    with Conn() as c:
        c.send('GET', '/events', headers={'Last-Event-ID':
                                          str(before['seq'])})
        c.head()
        types = [json.loads(c.event()['data'])['type'] for _ in range(4)]
        check('Last-Event-ID replays', types == [
            'sandbox.created', 'sandbox.destroyed'] * 2, types)
    with Conn() as c:
        c.send('GET', f'/events?identity=uid:{OTHER}', headers={
            'Last-Event-ID': str(before['seq'])})
        c.head()
        e = json.loads(c.event()['data'])
        check('identity= filters', e['identity'] == f'uid:{OTHER}', e)
    got = ask('GET', f'/events/history?after={before["seq"]}').json
    check('history', got['complete'] is True and [e['type'] for e in
          got['events']] == ['sandbox.created', 'sandbox.destroyed'] * 2 and
          got['seq'] >= got['events'][-1]['id'], got)
    got = ask('GET', f'/events/history?after={before["seq"]}&limit=1').json
    check('its limit', len(got['events']) == 1, got)
    got = ask('GET', '/events/history', uid=OTHER).json
    check('a user reads its own alone', {e['identity'] for e in
          got['events']} == {f'uid:{OTHER}'}, got)
    many = []
    for _ in range(100):
        c = Conn()
        c.send('GET', '/events')
        if c.head()[0] != 200:
            break
        many.append(c)
    got = ask('GET', '/events')
    check('101 subscribers', got.status == 503 and
          b'"too many event subscribers"' in got.body, got)
    for c in many:
        c.s.close()
    for _ in range(50):
        with Conn() as c:
            c.send('GET', '/events')
            if c.head()[0] == 200:
                return
        time.sleep(0.05)
    check('room again', False)


def description():
    with open(os.path.join(TOP, 'daemon/api.c'), encoding='utf-8') as f:
        source = f.read()
    routes = set(re.findall(r'(?:\.method = |ROUTE(?:_BODY)?\()"([A-Z]+)",'
                            r'\s*(?:\.path = )?"([^"]+)"', source))
    proxied = re.findall(r'HTTP_ANY,\s*\.path = "([^"]+)"', source)
    routes |= {(m, p) for p in proxied for m in
               'GET PUT POST DELETE OPTIONS HEAD PATCH TRACE'.split()}
    routes = {(m, p.replace('*', '{path}')) for m, p in routes}
    doc = want('openapi', ask('GET', '/openapi.json'), 200).json
    listed = {(m.upper(), p) for p in doc['paths'] for m in doc['paths'][p]}
    check('it lists every route', routes == listed and len(routes) > 25,
          routes ^ listed)
    for path, methods in doc['paths'].items():
        real = path.replace('{path}', 'x')
        real = re.sub(r'\{\w+\}', 'nope', real)
        got = ask('OPTIONS', real)
        if '/ports/' in path:  # any method goes through
            want(f'{path} is there', got, 404, 'sandbox not found')
            continue
        allow = set(got.headers.get('allow', '').split(', '))
        must = {m.upper() for m in methods}
        must |= {'HEAD'} if 'GET' in must else set()
        check(f'{path} is there', got.status == 405 and allow == must,
              f'{got} {allow} {must}')
        for method, op in methods.items():
            names = {p['name'] for p in op['parameters']}
            check(f'{method} {path}', op['summary'] and
                  set(re.findall(r'\{(\w+)\}', path)) == names and
                  'default' in op['responses'], op)
    create_op = doc['paths']['/sandboxes']['post']
    schema = create_op['requestBody']['content']['application/json']
    check('bodies are described', schema['schema']['properties']['ttl'][
        'type'] == 'integer' and '201' in create_op['responses'])


def metrics():
    for i in range(30):
        ask('GET', f'/sandboxes/x{i}/stats')
        ask('GET', f'/odd/{i}')
    got = want('metrics', ask('GET', '/metrics'), 200)
    check('their type', got.headers['content-type'] ==
          'text/plain; version=0.0.4; charset=utf-8', got.headers)
    series, types = {}, {}
    for line in got.body.decode().splitlines():
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split()
            check('a type once', name not in types, name)
            types[name] = kind
        elif not line.startswith('#'):
            name, value = line.rsplit(' ', 1)
            check('a series once', name not in series, name)
            series[name] = float(value)
            base = re.sub(r'_(bucket|sum|count)$', '', name.split('{')[0])
            check('has a type', base in types or name.split('{')[0] in types,
                  name)
    paths = set(re.findall(r'path="([^"]*)"', got.body.decode()))
    check('paths are patterns', '/sandboxes/{id}/stats' in paths and
          'other' in paths and not any('x1' in p or 'odd' in p
                                       for p in paths), paths)
    check('/metrics is not counted', '/metrics' not in paths)
    check('counts', series['sandboxd_requests_total{method="GET",path='
          '"/sandboxes/{id}/stats",status="404"}'] >= 30)
    key = 'method="GET",path="/sandboxes/{id}/stats"'
    name = 'sandboxd_request_duration_seconds'
    check('the last bucket is the count', series[
        f'{name}_bucket{{{key},le="+Inf"}}'] == series[
        f'{name}_count{{{key}}}'])
    check('active', series['sandboxd_sandboxes_active'] == 1, series)


def kept_connection():
    """All on one connection: nothing is out of step."""
    with Conn() as c:
        for i in range(200):
            c.send('POST', '/sandboxes/web/exec', {'command': f'echo {i}'})
            c.send('GET', '/sandboxes/nope')
            got = c.answer()
            if got.json['stdout'] != f'{i}\n' or c.answer().status != 404:
                check('200 on one connection', False, got)
                return
    check('200 on one connection', True)


def main():
    for f in (wrong, create, patch, delete, execute, stream, gone, verbs,
              environment, files, callers, pools, events, capacity,
              description, metrics, kept_connection):
        try:
            f()
        except Exception as e:  # pylint: disable=broad-except
            check(f.__name__, False, f'{type(e).__name__}: {e}, line '
                  f'{e.__traceback__.tb_next.tb_lineno}')
    ask('DELETE', '/sandboxes/web')
    print(f'{passed} passed, {len(failed)} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
