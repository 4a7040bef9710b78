"""Lets HTTP clients that know only TCP reach a Unix socket: `relay.py SOCKET` prints its port on 127.0.0.1."""

import asyncio
import sys


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def relay(reader, writer):
    below_reader, below_writer = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(copy(reader, below_writer), copy(below_reader, writer))


async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
