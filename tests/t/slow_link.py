"""A link that is slow: what comes to a port goes on to another, later. FILE
gets a byte for each piece that goes there.

    slow_link.py PORT TO_PORT MILLISECONDS FILE

SIGUSR1 cuts all connections, and then FILE gets an x; after SIGUSR2 nothing comes back any more, until
then.
"""
import asyncio
import signal
import sys

writers = set()
mute = False


def cut(count):
    global mute
    mute = False
    for writer in writers:
        writer.transport.abort()
    count.write(b'x')


def hush():
    global mute
    mute = True


async def carry(reader, writer, seconds, count):
    """Each piece that long after it came, in order, however many are on
    their way."""
    loop = asyncio.get_running_loop()
    end = loop.create_future()

    def put(data):
        if data:
            if count or not mute:
                writer.write(data)
        elif not end.done():
            end.set_result(None)
    try:
        while data := await reader.read(1 << 18):
            if count:
                count.write(b'.')
            loop.call_later(seconds, put, data)
    except OSError:
        pass
    loop.call_later(seconds, put, b'')
    await end
    writer.close()


async def main(port, to_port, ms, count):
    async def accepted(reader, writer):
        try:
            back, there = await asyncio.open_connection('127.0.0.1', to_port)
        except OSError:
            writer.close()
            return
        ends = {writer, there}
        writers.update(ends)
        await asyncio.gather(carry(reader, there, ms / 1000, count),
                             carry(back, writer, ms / 1000, None))
        writers.difference_update(ends)
    server = await asyncio.start_server(accepted, '127.0.0.1', port)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, cut, count)
    loop.add_signal_handler(signal.SIGUSR2, hush)
    async with server:
        await server.serve_forever()


if __name__ == '__main__':
    with open(sys.argv[4], 'ab', buffering=0) as f:
        asyncio.run(main(*map(int, sys.argv[1:4]), f))
