"""PORT: a web server inside a sandbox, honest and not. GET /hostile/NAME sends
the bytes of that name; /ws is a WebSocket that echoes; what else is asked is
answered with what was asked, as JSON."""
import base64
import hashlib
import json
import socket
import struct
import sys
import threading
import time

OK = b'HTTP/1.1 200 OK\r\n'
HOSTILE = {
    'nothing': b'',
    'half-head': OK + b'X: y\r\n',
    'no-http': b'hello\r\n\r\n',
    'http-2': b'HTTP/2.0 200 OK\r\n\r\n',
    'bare-lf': b'HTTP/1.1 200 OK\nX: y\n\nhi',
    'nul': OK + b'X: a\0b\r\n\r\n',
    'folded': OK + b'X: a\r\n b\r\n\r\n',
    'space-colon': OK + b'X : a\r\n\r\n',
    'two-lengths': OK + b'Content-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'both': OK + b'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'
                 b'1\r\na\r\n0\r\n\r\n',
    'minus': OK + b'Content-Length: -1\r\n\r\n',
    'huge-length': OK + b'Content-Length: 99999999999999999999\r\n\r\n',
    'odd-coding': OK + b'Transfer-Encoding: gzip, chunked\r\n\r\n',
    'status-1000': b'HTTP/1.1 1000 No\r\n\r\n',
    'status-99': b'HTTP/1.1 099 No\r\n\r\n',
    'upgrade': b'HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n'
               b'Connection: Upgrade\r\n\r\n\x81\x02hi',
    'long-head': OK + b'X: ' + b'y' * 40000 + b'\r\n\r\n',
    'many-fields': OK + b'X: y\r\n' * 200 + b'\r\n',
    'interim-flood': b'HTTP/1.1 100 Continue\r\n\r\n' * 100,
}
CUT = {  # it breaks after the head
    'short': OK + b'Content-Length: 10\r\n\r\nabc',
    'bad-chunk': OK + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n',
    'open-chunk': OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nab',
}
FINE = {
    'to-end': OK + b'\r\nto the end',
    'old': b'HTTP/1.0 200 OK\r\n\r\nold',
    'longer': OK + b'Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\nx',
    'hints': b'HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n' + OK +
             b'Content-Length: 5\r\n\r\nhints',
    'trailer': OK + b'Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n'
                    b'0\r\nX-Trailer: 1\r\n\r\n',
    'fields': OK + b'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-One: 1\r\n'
                   b'Connection: close, x-one\r\nKeep-Alive: 5\r\n'
                   b'Upgrade: h2c\r\nProxy-Authenticate: Basic\r\n'
                   b'Content-Length: 0\r\n\r\n',
    'empty': b'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n',
    'same': b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n'
            b'Content-Length: 10\r\n\r\n',
    'teapot': b'HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nta',
}


def read_head(f):
    line = f.readline().decode('latin-1').split()
    fields = []
    while (text := f.readline().strip().decode('latin-1')):
        name, value = text.split(':', 1)
        fields.append((name.lower(), value.strip()))
    return line, fields


def read_body(f, fields):
    body = b''
    if fields.get('transfer-encoding') == 'chunked':
        while n := int(f.readline(), 16):
            body += f.read(n)
            f.readline()
        f.readline()
    else:
        body = f.read(int(fields.get('content-length', 0)))
    return body


def answer(f, body, kind='text/plain'):
    f.write(OK + f'Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n'
            f'\r\n'.encode() + body)


def frame(f):
    """One masked frame: its opcode and text."""
    first, second = f.read(2)
    n = second & 127
    if n == 126:
        n, = struct.unpack('>H', f.read(2))
    mask = f.read(4)
    data = bytes(b ^ mask[i % 4] for i, b in enumerate(f.read(n)))
    return first & 15, data


def websocket(f, fields):
    key = fields['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    f.write(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
            b'Connection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n'
            b'Sec-WebSocket-Accept: ' + accept.encode() + b'\r\n\r\n'
            b'\x81\x05ready')  # with the head, in one packet
    f.flush()
    while True:
        op, data = frame(f)
        f.write(bytes([0x80 | op, len(data)]) + data)
        f.flush()
        if op == 8:
            break


def serve(c):
    with c, c.makefile('rwb') as f:
        line, fields = read_head(f)
        method, path = line[0], line[1]
        last = dict(fields)
        name = path.rpartition('/')[2]
        if path.startswith('/raw/'):
            f.write({**HOSTILE, **CUT, **FINE}[name])
        elif path == '/ws':
            websocket(f, last)
        elif path == '/sse':
            f.write(OK + b'Content-Type: text/event-stream\r\n\r\n')
            for i in range(3):
                f.write(f'data: {i}\n\n'.encode())
                f.flush()
                time.sleep(0.3)
        elif path == '/big':
            f.write(OK + b'Content-Length: 20000000\r\n\r\n')
            for _ in range(20):
                f.write(b'b' * 1000000)
        elif path == '/flood':  # as long as somebody reads
            f.write(OK + b'\r\n')
            while True:
                f.write(b'f' * 65536)
        elif path == '/early':  # does not wait for the body
            answer(f, b'no thanks')
        elif path == '/never':
            f.read()
        elif path == '/crc':
            answer(f, hashlib.sha1(read_body(f, last)).hexdigest().encode())
        else:
            body = b'' if path == '/nobody' else read_body(f, last)
            answer(f, json.dumps({
                'method': method, 'path': path, 'fields': fields,
                'body': body.decode('latin-1')}).encode(),
                'application/json')


def quiet(c):
    try:
        serve(c)
    except (OSError, ValueError):
        pass


if __name__ == '__main__':
    s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
    while True:
        conn, _ = s.accept()
        threading.Thread(target=quiet, args=(conn,), daemon=True).start()
