"""An in-path delay: a TCP proxy that delays the bytes a client sends by a fixed time in milliseconds; answers pass at once.

`python -m benchmarks.delay --to-port P --delay-ms 20`. One request then takes one delay more, as with a distant edge;
the connection itself opens without delay.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

PIECE_BYTES = 256 * 1024


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Copy one direction until its end, each piece `delay_s` after it came."""
    clock = asyncio.get_running_loop().time
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        while piece := await reader.read(PIECE_BYTES):
            held.put_nowait((clock() + delay_s, piece))
        held.put_nowait((clock(), b""))

    taking = asyncio.create_task(take())
    with contextlib.suppress(ConnectionError):
        while True:
            due_s, piece = await held.get()
            if not piece:
                break
            await asyncio.sleep(due_s - clock())
            writer.write(piece)
            await writer.drain()
    taking.cancel()
    writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, at once and within bounded memory."""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def serve(to_port: int, delay_s: float) -> None:
    """Print the port as a ready line and serve until the process is stopped."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(forward(reader, far_writer, delay_s), copy(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
    port = server.sockets[0].getsockname()[1]
    print(f'{{"service": "delay", "url": "http://127.0.0.1:{port}"}}', flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.delay", description="A TCP proxy that delays requests")
    parser.add_argument("--to-port", type=int, required=True, help="loopback port to connect to")
    parser.add_argument("--delay-ms", type=float, required=True, help="how long to hold back what clients send")
    options = parser.parse_args()
    asyncio.run(serve(options.to_port, options.delay_ms / 1000))
