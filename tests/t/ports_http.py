"""The cases of 0731-ports-http.sh: SBX_SOCK, SBX_PORT, TOP, root; the sandbox
web runs ports_web.py on 8000, closed is of a profile with proxy = exposed."""
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ['TOP'], 'tests/t'))
import ports_web  # noqa: E402
from http_routes import (Conn, OTHER, PORT, USER, ask, check, failed,  # noqa
                         want)

WEB = '/sandboxes/web/ports/'


def seen(*args, **more):
    """What the server was asked."""
    got = want(f'{args[:2]}', ask(*args, **more), 200)
    return got.json if got.status == 200 else {'fields': []}


def expose():
    port = WEB + '8000/expose'
    want('none', ask('GET', '/sandboxes/web/ports'), 200, '[]')
    want('not exposed', ask('DELETE', port), 404, '"port not exposed"')
    made = want('expose', ask('POST', port), 200).json
    check('as the wire has it', list(made) == ['port', 'host_port', 'url'] and
          made['port'] == 8000 and made['url'] ==
          f'http://localhost:{made["host_port"]}', made)
    with socket.create_connection(('127.0.0.1', made['host_port'])) as s:
        s.sendall(b'GET /x HTTP/1.0\r\n\r\n')
        check('reached', b'"path": "/x"' in s.recv(65536))
    want('listed', ask('GET', '/sandboxes/web/ports'), 200,
         json.dumps([made]).replace(' ', ''))
    want('twice', ask('POST', port), 409, '"port already exposed"')
    want('body is no JSON', ask('POST', port, '{['), 409)
    started = time.monotonic()
    want('nobody listens', ask('POST', WEB + '8009/expose', {'timeout': 1}),
         502, 'port expose failed: nothing listens on port 8009')
    check('after its time', 0.9 < time.monotonic() - started < 20)
    want('cross-tenant', ask('GET', '/sandboxes/web/ports', uid=USER), 404,
         '"sandbox not found"')
    want('of nobody', ask('POST', port, uid=OTHER), 404)
    for bad in ('0', '-1', 'abc', '65536', '80x', '%20', '99999999999'):
        for method, end in (('POST', '/expose'), ('DELETE', '/expose'),
                            ('GET', '/'), ('GET', '')):
            want(f'{method} {bad}', ask(method, WEB + bad + end), 400,
                 '"invalid port number"')
    want('sandbox first', ask('POST', '/sandboxes/nope/ports/0/expose'), 404,
         '"sandbox not found"')
    with Conn() as waits:
        waits.send('POST', WEB + '8010/expose')
        time.sleep(0.3)
        want('under way', ask('POST', WEB + '8010/expose'), 409,
             '"port already exposed"')
        want('not yet', ask('DELETE', WEB + '8010/expose'), 404)
        want('the list meanwhile', ask('GET', '/sandboxes/web/ports'), 200,
             '"port":8000')
        want('limit', ask('POST', WEB + '8011/expose'), 429,
             '"tunnel limit reached (2)"')
    time.sleep(0.2)  # whoever asked has gone, and so has the wait
    want('again', ask('POST', WEB + '8010/expose', {'timeout': 1}), 502)
    want('close', ask('DELETE', port, headers={'User-Agent': 'x'}), 204)
    want('closed', ask('DELETE', port), 404, '"port not exposed"')
    events = ask('GET', '/events/history').json['events']
    check('event', [e['data'] for e in events if e['type'] == 'sandbox.port']
          == [{'port': 8000}], events)


def passed_on():
    got = seen('POST', WEB + '8000/a%2Fb//c/../d?x=%41&y', 'body', {
        'X-Test': 'yes', 'Cookie': 'c=1',
        'Authorization': 'Bearer t', 'Connection': 'keep-alive, x-drop',
        'X-Drop': '1', 'TE': 'trailers', 'X-Sandbox-Signature': 's',
        'X-Forwarded-For': '6.6.6.6', 'Forwarded': 'for=6.6.6.6'})
    fields = dict(got['fields'])
    check('path and query as they were', got.get('path') ==
          '/a%2Fb//c/../d?x=%41&y' and got['method'] == 'POST', got)
    check('body', got.get('body') == 'body')
    check('fields', fields.get('x-test') == 'yes' and
          fields.get('cookie') == 'c=1' and
          fields.get('authorization') == 'Bearer t', fields)
    check('of one connection only', not {'te', 'x-drop', 'keep-alive',
          'x-sandbox-signature', 'forwarded', 'expect'} & set(fields) and
          fields.get('connection') == 'close', fields)
    check('who asked', fields.get('x-forwarded-for') == '127.0.0.1' and
          fields.get('x-forwarded-proto') == 'http' and
          fields.get('x-sandbox-id', '').startswith('sbx-'), fields)
    got = seen('GET', WEB + '8000/a%0d%0aX-Bad:%201?%0d%0aX-Bad:1')
    check('no header out of a path', 'x-bad' not in dict(got['fields']) and
          '%0d%0aX-Bad:%201?%0d' in got.get('path', ''), got)
    for path, want_path in (('8000', '/'), ('8000/', '/'), ('8000?q', '/?q'),
                            ('8000/expose', '/expose')):
        check(path, seen('GET', WEB + path).get('path') == want_path)
    for method in ('PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'):
        check(method, seen(method, WEB + '8000/m').get('method') == method)
    head = ask('HEAD', WEB + '8000/h')
    check('HEAD', head.status == 200 and head.body == b'' and
          int(head.headers['content-length']) > 100, head)
    with Conn(tcp=True) as c:
        c.send('GET', WEB + '8000/tcp')
        got = c.answer().json
    check('Host is the client\'s', dict(got['fields'])['host'] == 'x', got)


def bodies():
    data = os.urandom(3000000)
    with Conn() as c:
        c.s.sendall(f'PUT {WEB}8000/crc HTTP/1.1\r\nHost: x\r\n'
                    'Transfer-Encoding: chunked\r\n'
                    'Expect: 100-continue\r\n\r\n'.encode())
        check('100', c.head()[0] == 100)
        for i in range(0, len(data), 70000):
            part = data[i:i + 70000]
            c.s.sendall(b'%x\r\n%s\r\n' % (len(part), part))
        c.s.sendall(b'0\r\n\r\n')
        got = c.answer()
        check('chunked upload', got.body.decode() ==
              hashlib.sha1(data).hexdigest(), got)
        c.send('PUT', WEB + '8000/crc', data)
        check('upload of a length, same connection', c.answer().body.decode()
              == hashlib.sha1(data).hexdigest())
    got = ask('GET', WEB + '8000/big')
    check('download', len(got.body) == 20000000 and
          set(got.body) == {ord('b')}, len(got.body))
    got = ask('POST', WEB + '8000/early', 'x' * 1000)
    check('an early answer', got.body == b'no thanks', got)
    with Conn() as c:
        c.send('GET', WEB + '8000/sse')
        status, headers = c.head()
        first = c.chunk()
        started = time.monotonic()
        check('events as they come', status == 200 and first == b'data: 0\n\n'
              and headers['content-type'] == 'text/event-stream', first)
        while c.chunk():
            pass
        check('not at once', time.monotonic() - started > 0.4)
    with Conn() as c:  # one that does not read: the server is held up
        c.send('GET', WEB + '8000/flood')
        c.head()
        time.sleep(1)
        with open(f'/proc/{os.environ["SBX_FRONT"]}/status',
                  encoding='utf-8') as f:
            rss = [int(x.split()[1]) for x in f if x.startswith('VmRSS')][0]
        check('memory is bounded', rss < 60000 * (
            8 if os.environ.get('SBX_SAN') else 1), rss)


def hostile():
    for name in ports_web.HOSTILE:
        want(name, ask('GET', WEB + '8000/raw/' + name), 502, 'proxy error')
    for name in ports_web.CUT:
        try:
            got = ask('GET', WEB + '8000/raw/' + name)
            check(name, False, got)
        except EOFError:
            check(name, True)
    bodies_of = {'to-end': b'to the end', 'old': b'old', 'longer': b'abc',
                 'hints': b'hints', 'trailer': b'abc', 'fields': b'',
                 'empty': b'', 'same': b'', 'teapot': b'ta'}
    with Conn() as c:  # one for all: nothing is out of step
        for name, body in bodies_of.items():
            c.send('GET', WEB + '8000/raw/' + name)
            got = c.answer()
            check(name, got.body == body and 'x-trailer' not in got.headers,
                  got)
    with Conn() as c:
        c.send('GET', WEB + '8000/raw/fields')
        text = c.until(b'\r\n\r\n').decode()
    check('fields of the response', text.count('set-cookie: ') == 2 and
          not any(x in text.lower() for x in (
              'x-one', 'h2c', 'proxy-auth', 'connection:')), text)
    want('nobody there', ask('GET', WEB + '8999/'), 502,
         'proxy error: nothing listens on port 8999')


def refused():
    want('of nobody', ask('GET', WEB + '8000/', uid=USER), 404,
         '"sandbox not found"')
    want('of another', ask('GET', WEB + '8000/', headers={
        'X-Sandbox-Identity': 'bob'}), 404, '"sandbox not found"')
    want('another site', ask('GET', WEB + '8000/', headers={
        'Origin': 'http://evil.example'}, tcp=True), 403)
    want('not running', ask('GET', '/sandboxes/down/ports/80/'), 409,
         '"sandbox is not running"')
    want('expose too', ask('POST', '/sandboxes/down/ports/80/expose'), 409,
         '"sandbox is not running"')
    want('only exposed ones', ask('GET', '/sandboxes/closed/ports/8000/'),
         403, '"port not exposed"')
    want('expose', ask('POST', '/sandboxes/closed/ports/8000/expose'), 200)
    check('then', seen('GET', '/sandboxes/closed/ports/8000/y').get('path')
          == '/y')


def of_a_user():
    """What is a user's is reached and closed by the user, and root."""
    want('create', ask('POST', '/sandboxes', {'name': 'mine'}, uid=USER), 201)
    with open(ports_web.__file__, 'rb') as f:
        want('put', ask('PUT', '/sandboxes/mine/files/root/web.py', f.read(),
                        uid=USER), 201)
    want('exec', ask('POST', '/sandboxes/mine/exec', {
        'command': 'python3 web.py 8000 >log 2>&1 &'}, uid=USER), 200)
    port = '/sandboxes/mine/ports/8000'
    want('expose', ask('POST', port + '/expose', uid=USER), 200)
    check('reached', seen('GET', port + '/u', uid=USER).get('path') == '/u')
    check('by root', seen('GET', port + '/r').get('path') == '/r')
    for method, path in (('GET', port + '/'), ('POST', port + '/expose'),
                         ('DELETE', port + '/expose'),
                         ('GET', '/sandboxes/mine/ports')):
        want(f'{method} by another', ask(method, path, uid=OTHER), 404,
             '"sandbox not found"')
    # as clients of node:http need it
    want('close', ask('DELETE', port + '/expose', uid=USER), 200, '{}')
    want('destroy', ask('DELETE', '/sandboxes/mine', uid=USER), 200, '{}')


def handshake(c, path='8000/ws', extra=''):
    c.s.sendall(f'GET {WEB}{path} HTTP/1.1\r\nHost: x\r\n'
                'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n'
                'Sec-WebSocket-Version: 13\r\n'
                'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
                f'{extra}\r\n'.encode())


def send_frame(c, op, data):
    mask = b'\1\2\3\4'
    c.s.sendall(bytes([0x80 | op, 0x80 | len(data)]) + mask +
                bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


def websockets():
    for tcp in (False, True):
        with Conn(tcp=tcp) as c:
            handshake(c)
            status, headers = c.head()
            check('101', status == 101 and headers.get(
                'sec-websocket-accept') == 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=' and
                headers.get('sec-websocket-protocol') == 'chat', headers)
            check('what came with it', c.take(7) == b'\x81\x05ready')
            for text in (b'one', b'two' * 40):
                send_frame(c, 1, text)
                check('echo', c.take(2 + len(text))[2:] == text)
            send_frame(c, 8, struct.pack('>H', 1000))
            check('close', c.take(4)[0] == 0x88)
            try:
                c.more()
                check('its end', False)
            except EOFError:
                check('its end', True)
    with Conn() as c:
        handshake(c, '8000/plain')
        got = c.answer()
        check('no WebSocket there', got.status == 200 and
              b'"websocket"' in got.body, got)
    with Conn() as c:
        handshake(c, '8999/')
        want('nobody there', c.answer(), 502, 'upstream connection failed')
    with Conn(tcp=True) as c:
        handshake(c, extra='Origin: http://evil.example\r\n')
        want('another site', c.answer(), 403,
             '"cross-origin WebSocket request blocked"')
    with Conn(tcp=True) as c:
        handshake(c, extra='Origin: http://x\r\n')
        check('the same site', c.head()[0] == 101)


def idle():
    """Silence ends it, in both directions; what goes through keeps it."""
    with Conn() as c:
        handshake(c)
        c.head()
        c.take(7)
        for _ in range(3):
            time.sleep(1)
            send_frame(c, 1, b'here')
            check('it lives', c.take(6)[2:] == b'here')
        began = time.monotonic()
        try:
            c.more()
            check('cut', False)
        except (EOFError, ConnectionResetError):
            check('not before', time.monotonic() - began > 1.5)


def cut():
    """A stop ends what is under way, plain and upgraded."""
    with Conn() as plain, Conn() as ws, Conn() as half:
        plain.send('GET', WEB + '8000/never')
        handshake(ws)
        ws.head()
        ws.take(7)
        half.send('GET', WEB + '8000/flood')
        half.head()
        time.sleep(0.2)
        stop = threading.Thread(target=ask, args=(
            'POST', '/sandboxes/web/stop'))
        stop.start()
        want('plain', plain.answer(), 502, 'proxy error')
        for c in (ws, half):
            try:
                while True:
                    c.data = b''
                    c.more()
            except (EOFError, ConnectionResetError):
                check('cut', True)
        stop.join()
    want('down', ask('GET', WEB + '8000/'), 409, 'not running')


for part in (expose, passed_on, bodies, hostile, refused, of_a_user,
             websockets, idle, cut):
    began = time.monotonic()
    part()
    print(f'{part.__name__}: {time.monotonic() - began:.1f} s', flush=True)
check('tcp is there', PORT > 0)
print('failed:', *failed) if failed else None
sys.exit(bool(failed))
