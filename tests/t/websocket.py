"""What the front does with WebSockets, right and hostile, on both listeners.

Run by 0340-websocket.sh, with a daemon and a running sandbox called web.
"""
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time

SOCK, PORT = os.environ['SBX_SOCK'], int(os.environ['SBX_PORT'])
FRONT = int(os.environ['SBX_FRONT'])
SLOW = int(os.environ.get('SBX_SLOW', 1))
KEY = base64.b64encode(b'0123456789abcdef').decode()
failed = 0


def check(what, got, want):
    global failed
    if got != want:
        failed += 1
        print(f'{what}: got {got!r}, want {want!r}')


def connect(tcp=False):
    if tcp:
        return socket.create_connection(('127.0.0.1', PORT), 20 * SLOW)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20 * SLOW)
    s.connect(SOCK)
    return s


def head_of(s):
    data = b''
    while b'\r\n\r\n' not in data:
        more = s.recv(1)
        if not more:
            break
        data += more
    lines = data.decode().split('\r\n')
    fields = dict(line.lower().split(': ', 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]) if data else 0, fields, lines


def ask(path, fields=None, tcp=False, drop=(), body=b'', origin=None):
    """A handshake with some fields changed: status, fields, body."""
    head = {'Host': 'x', 'Upgrade': 'websocket', 'Connection': 'Upgrade',
            'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '13'}
    head.update(fields or {})
    if origin:
        head['Origin'] = origin
    for name in drop:
        del head[name]
    s = connect(tcp)
    text = f'GET {path} HTTP/1.1\r\n' + ''.join(
        f'{k}: {v}\r\n' for k, v in head.items()) + '\r\n'
    s.sendall(text.encode() + body)
    status, got, _ = head_of(s)
    rest = b''
    if status != 101:
        rest = s.recv(int(got.get('content-length', 0)) or 1)
        s.close()
        return status, got, rest.decode()
    return status, got, s


class Ws:
    """A client that can also misbehave."""

    def __init__(self, path, tcp=False):
        status, self.fields, s = ask(path, tcp=tcp)
        if status != 101:
            raise OSError(f'{path}: {status} {s}')
        self.s, self.id = s, 0

    def frame(self, first, payload=b'', mask=b'abcd', length=None):
        n = len(payload) if length is None else length
        bit = 0x80 if mask else 0
        if n < 126:
            head = struct.pack('!BB', first, bit | n)
        elif n < 65536:
            head = struct.pack('!BBH', first, bit | 126, n)
        else:
            head = struct.pack('!BBQ', first, bit | 127, n)
        if mask and payload:
            k = int.from_bytes(mask * (len(payload) // 4 + 1), 'big')
            m = (mask * (len(payload) // 4 + 1))[:len(payload)]
            payload = (int.from_bytes(payload, 'big') ^
                       int.from_bytes(m, 'big')).to_bytes(len(payload), 'big')
            del k
        self.s.sendall(head + mask + payload)

    def exactly(self, n):
        data = b''
        while len(data) < n:
            more = self.s.recv(n - len(data))
            if not more:
                return None
            data += more
        return data

    def read(self):
        """(first byte, payload), or None at the end."""
        head = self.exactly(2)
        if head is None:
            return None
        n = head[1] & 127
        check('a server masks nothing', head[1] & 128, 0)
        if n == 126:
            n = struct.unpack('!H', self.exactly(2))[0]
        elif n == 127:
            n = struct.unpack('!Q', self.exactly(8))[0]
        return head[0], self.exactly(n) if n else b''

    def call(self, method, params=None, binary=None):
        """One request: (result or error, the binary message or None)."""
        self.id += 1
        params = dict(params or {})
        if binary is not None:
            params['binary'] = True
            self.frame(0x82, binary)
        self.frame(0x81, json.dumps({'jsonrpc': '2.0', 'id': self.id,
                                     'method': method,
                                     'params': params}).encode())
        data = None
        while True:
            first, payload = self.read()
            if first == 0x82:
                data = payload
                continue
            if first != 0x81:
                continue
            msg = json.loads(payload)
            if msg.get('id') == self.id:
                return msg.get('result', msg.get('error')), data
            data = None

    def closed(self):
        """The code of the close that comes, after other frames."""
        try:
            while True:
                f = self.read()
                if f is None:
                    return None
                if f[0] == 0x88:
                    code = struct.unpack('!H', f[1][:2])[0] if f[1] else 1005
                    return code, f[1][2:].decode()
        except (ConnectionError, BrokenPipeError):
            return 'reset'


def rss():
    with open(f'/proc/{FRONT}/status', encoding='ascii') as f:
        return int(f.read().split('VmRSS:')[1].split()[0])


# --- the handshake
accept = base64.b64encode(hashlib.sha1(
    (KEY + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest())
for tcp in (False, True):
    status, fields, s = ask('/tree/ws', tcp=tcp)
    check('handshake', status, 101)
    check('accept', fields.get('sec-websocket-accept'),
          accept.decode().lower())
    check('its fields', sorted(fields),
          ['connection', 'sec-websocket-accept', 'upgrade'])
    s.close()
FILES = '/sandboxes/web/ws?service=files'
VIOLATION = 'WebSocket protocol violation: '
for path in ('/tree/ws', FILES):
    status, fields, text = ask(path, drop=['Connection', 'Upgrade'])
    check('no upgrade', (status, fields.get('connection'),
                         fields.get('upgrade')), (426, 'upgrade', 'websocket'))
    check('its text', text, VIOLATION +
          'Connection header "" does not contain Upgrade')
    status, fields, text = ask(path, {'Sec-WebSocket-Version': '12'})
    check('version', (status, fields.get('sec-websocket-version')),
          (400, '13'))
    check('its text', text, 'unsupported WebSocket protocol version (only 13 '
          'is supported): "12"')
    status, fields, text = ask(path, drop=['Sec-WebSocket-Key'])
    check('no key', (status, text),
          (400, VIOLATION + 'missing Sec-WebSocket-Key'))
    for key in ('short', '=' * 24, base64.b64encode(b'x' * 17).decode()):
        check('a bad key', ask(path, {'Sec-WebSocket-Key': key})[0], 400)
    check('a body', ask(path, {'Content-Length': '2'}, body=b'{}')[0], 400)
    status, _, text = ask(path, tcp=True, origin='http://evil.example')
    check('origin', (status, text), (
        403, 'request Origin "evil.example" is not authorized for Host "x"'))
    check('own origin', ask(path, tcp=True, origin='http://X')[0], 101)
    check('origin on the Unix socket', ask(path, origin='http://evil')[0],
          101)
    check('in lower case, among others', ask(path, {
        'Connection': 'keep-alive, upgrade', 'Upgrade': 'WebSocket',
        'Sec-WebSocket-Extensions': 'permessage-deflate',
        'Sec-WebSocket-Protocol': 'x'})[0], 101)
check('no sandbox', ask('/sandboxes/nope/ws?service=files')[::2],
      (404, '{"error":"sandbox not found"}\n'))
check('no service', ask('/sandboxes/web/ws')[0], 501)
check('other service', ask('/sandboxes/web/ws?service=x')[0], 400)
check('uid: over TCP', ask('/tree/ws', {'X-Sandbox-Identity': 'uid:0'},
                           tcp=True)[0], 400)

# --- messages, both services
w = Ws('/tree/ws')
r, _ = w.call('hello', {'version': 1})
check('hello', r['version'], 1)
r, data = w.call('read', {'file': 'status'})
check('a file of the tree', data.startswith(b'version 1\n'), True)
r, _ = w.call('trees', {'id': 'sbx-x'})
check('no directories over it', r['code'] < 0, True)
f = Ws(FILES, tcp=True)
r, _ = f.call('sbx.fs.open', {'path': 'root/ws', 'flags': 'rw',
                              'create': True})
h = r['h']
blob = os.urandom(1 << 20)
check('write', f.call('sbx.fs.write', {'h': h, 'off': 0}, blob)[0]['len'],
      len(blob))
check('read', f.call('sbx.fs.read', {'h': h, 'off': 0, 'len': 1 << 20})[1],
      blob)
for method in ('sbx.hello', 'sbx.job.start', 'sbx.env.set', 'sbx.limit',
               'sbx.ping', 'process.exec'):
    check(method + ' is not for files', f.call(method)[0]['code'], -32601)

# --- pings at any time, in the middle of a message
f.frame(0x89, b'are you there')
check('pong', f.read(), (0x8a, b'are you there'))
text = b'{"jsonrpc":"2.0","id":77,"method":"sbx.fs.statfs","params":{}}'
f.frame(0x01, text[:20])
f.frame(0x89, b'')
check('pong within', f.read(), (0x8a, b''))
f.frame(0x00, text[20:40])
f.frame(0x80, text[40:])
check('fragments', json.loads(f.read()[1])['id'], 77)
f.frame(0x88, struct.pack('!H', 1000) + b'bye')
check('close', f.closed(), (1000, 'bye'))

# --- what is no frame: 1002; no text: 1007; too big: 1009
LIMIT = 2 << 20
BAD = [
    ('not masked', lambda w: w.frame(0x81, b'{}', mask=b''), 1002),
    ('reserved bit 1', lambda w: w.frame(0xc1, b'{}'), 1002),
    ('reserved bit 3', lambda w: w.frame(0x91, b'{}'), 1002),
    ('opcode 3', lambda w: w.frame(0x83, b'{}'), 1002),
    ('opcode 11', lambda w: w.frame(0x8b, b'{}'), 1002),
    ('nothing to continue', lambda w: w.frame(0x80, b'{}'), 1002),
    ('not continued', lambda w: (w.frame(0x01, b'{'), w.frame(0x81, b'}')),
     1002),
    ('a ping in pieces', lambda w: w.frame(0x09, b'x'), 1002),
    ('a long ping', lambda w: w.frame(0x89, b'x' * 126), 1002),
    ('a close of one byte', lambda w: w.frame(0x88, b'x'), 1002),
    ('a long form', lambda w: w.s.sendall(b'\x81\xfe\x00\x05abcd12345'),
     1002),
    ('a longer form', lambda w: w.s.sendall(
        b'\x82\xff\0\0\0\0\0\0\x01\0abcd'), 1002),
    ('the top bit', lambda w: w.s.sendall(b'\x82\xff\x80' + b'\0' * 7 +
                                          b'abcd'), 1002),
    ('no UTF-8', lambda w: w.frame(0x81, b'\xff\xfe'), 1007),
    ('a surrogate', lambda w: w.frame(0x81, b'\xed\xa0\x80'), 1007),
    ('too big by one', lambda w: w.frame(0x82, length=LIMIT + 1), 1009),
    ('2^62', lambda w: w.frame(0x82, length=1 << 62), 1009),
    ('too big in pieces', lambda w: (w.frame(0x02, b'x' * LIMIT),
                                     w.frame(0x80, b'x')), 1009),
]
for path in ('/tree/ws', FILES):
    for what, send, want in BAD:
        w = Ws(path)
        send(w)
        got = w.closed()
        check(f'{what} on {path}', got[0] if got else got, want)
        if want == 1009:
            check('its reason', got[1], 'read limited at 2097153 bytes')
        w.s.close()
w = Ws(FILES)
w.frame(0x82, b'x' * LIMIT)
w.frame(0x81, b'{}')
check('the largest is taken', json.loads(w.read()[1])['error']['code'],
      -32600)

# --- one that does not read: memory stays, others are served
before = rss()
slow = Ws(FILES, tcp=True)
r, _ = slow.call('sbx.fs.open', {'path': 'root/ws', 'flags': 'r'})
ask_more = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'sbx.fs.read',
                       'params': {'h': r['h'], 'off': 0,
                                  'len': 1 << 20}}).encode()


def flood():
    try:
        for _ in range(2000):
            slow.frame(0x81, ask_more)
            slow.frame(0x89, b'p' * 125)
    except OSError:
        pass


t = threading.Thread(target=flood, daemon=True)
t.start()
time.sleep(1)
other = Ws(FILES)
began = time.monotonic()
check('others', 'bsize' in other.call('sbx.fs.statfs')[0], True)
check('soon', time.monotonic() - began < 1 * SLOW, True)
grown = rss() - before
if not os.environ.get('SBX_SAN') and grown > 16 << 10:
    check('KiB more for one that does not read', grown, '<= 16384')
slow.s.close()

# --- idle ones, and half a frame, hold little
before = rss()
many = [Ws('/tree/ws') for _ in range(100)]
for w in many:
    w.s.sendall(b'\x81')
grown = rss() - before
if not os.environ.get('SBX_SAN') and grown > 8 << 10:
    check('KiB more for 100 idle ones', grown, '<= 8192')
for w in many:
    w.s.close()
sys.exit(failed != 0)
