"""PORT COMMAND [ARGUMENT]: talks to ports_server.py through an exposed port."""
import os
import socket
import struct
import sys
import time
import zlib

port, command = int(sys.argv[1]), sys.argv[2]
SLOW = int(os.environ.get('SBX_SLOW', 1))


def dial():
    s = socket.create_connection(('127.0.0.1', port))
    s.settimeout(60 * SLOW)
    return s


def rest(s):
    got = b''
    while data := s.recv(1 << 20):
        got += data
    return got


def ask(word):
    s = dial()
    try:
        s.sendall(f'ask {word}\n'.encode())
        sys.stdout.write(rest(s).decode())
    except ConnectionResetError:
        pass


def total(n):
    """We end first, and read on: what went, and as much back."""
    n = int(n)
    s = dial()
    s.sendall(b'sum\n')
    block = os.urandom(1 << 16)
    crc = left = 0
    left = n
    while left:
        part = block[:min(left, len(block))]
        s.sendall(part)
        crc = zlib.crc32(part, crc)
        left -= len(part)
    s.shutdown(socket.SHUT_WR)
    f = s.makefile('rb')
    line = f.readline()
    assert line == f'{n} {crc}\n'.encode(), line
    back = 0
    while data := f.read(1 << 16):
        assert data.count(b'z') == len(data)
        back += len(data)
    assert back == n, back


def first():
    """The server ends first; what we send still arrives, and its end too."""
    s = dial()
    s.sendall(b'first\n')
    assert s.recv(1) == b''
    s.sendall(b'later')
    s.close()


def slow():
    """Nobody reads for a while: nothing is lost, and it goes on."""
    s = dial()
    s.sendall(b'many 67108864\n')
    time.sleep(0.5)
    assert len(rest(s)) == 67108864


def reset():
    s = dial()
    s.sendall(b'reset\n')
    try:
        s.recv(1)
    except ConnectionResetError:
        return
    raise AssertionError('the end was not a reset')


def hold(n):
    """n connections, until they are cut: then 0."""
    all_of = [dial() for _ in range(int(n))]
    for s in all_of:
        s.sendall(b'hold\n')
        assert s.recv(16) == b'held\n'
    print('held', flush=True)
    for s in all_of:
        try:
            assert s.recv(16) == b''
        except ConnectionResetError:
            pass


{'ask': ask, 'sum': total, 'first': first, 'slow': slow, 'reset': reset,
 'hold': hold}[command](*sys.argv[3:])
