"""[ADDR/]PORT...: a server inside a sandbox. The first line says what it does:
`ask WORD` answers one line, `sum` reads to the end and answers how many bytes
and their crc, `first` ends before it has read, `many N` sends N bytes, `hold`
does nothing, `reset` resets. Each connection is a line of the file seen."""
import socket
import struct
import sys
import threading
import zlib


def serve(c, port):
    f = c.makefile('rwb')
    word, *rest = f.readline().decode().split()
    if word == 'ask':
        f.write(f'{rest[0]} from {port}\n'.encode())
    elif word == 'sum':
        n = crc = 0
        while data := f.read(65536):
            n += len(data)
            crc = zlib.crc32(data, crc)
        f.write(f'{n} {crc}\n'.encode())
        for left in range(n, 0, -65536):
            f.write(b'z' * min(left, 65536))
    elif word == 'first':
        c.shutdown(socket.SHUT_WR)
        with open(f'first.{port}', 'wb') as out:
            out.write(f.read())
    elif word == 'many':
        for _ in range(int(rest[0]) // 65536):
            f.write(b'm' * 65536)
    elif word == 'hold':
        f.write(b'held\n')
        f.flush()
        f.read()
    elif word == 'reset':
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack('ii', 1, 0))
        f.close()
        c.close()
        return
    f.flush()
    f.close()
    c.close()


def listen(where):
    addr, _, port = where.rpartition('/')
    s = socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr or '127.0.0.1', int(port)))
    s.listen()
    while True:
        c, _ = s.accept()
        with open('seen', 'a', encoding='utf-8') as f:
            f.write(port + '\n')
        threading.Thread(target=serve, args=(c, port), daemon=True).start()


for place in sys.argv[1:]:
    threading.Thread(target=listen, args=(place,)).start()
