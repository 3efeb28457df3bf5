"""A link that is slow: what comes to a port goes on to another, later.

    slow_link.py PORT TO_PORT MILLISECONDS
"""
import asyncio
import sys


async def carry(reader, writer, seconds):
    """Each chunk that long after it came, in order, however many are on
    their way."""
    loop = asyncio.get_running_loop()
    end = loop.create_future()

    def put(data):
        if data:
            writer.write(data)
        elif not end.done():
            end.set_result(None)
    try:
        while data := await reader.read(1 << 18):
            loop.call_later(seconds, put, data)
    except OSError:
        pass
    loop.call_later(seconds, put, b'')
    await end
    writer.close()


async def main(port, to_port, ms):
    async def accepted(reader, writer):
        there = await asyncio.open_connection('127.0.0.1', to_port)
        await asyncio.gather(carry(reader, there[1], ms / 1000),
                             carry(there[0], writer, ms / 1000))
    server = await asyncio.start_server(accepted, '127.0.0.1', port)
    async with server:
        await server.serve_forever()


asyncio.run(main(*map(int, sys.argv[1:])))
