"""Hands connections to the local cloud's ports from one address to another.

    python forward.py LISTEN CONNECT

The ports are those in what `python -m localcloud` has printed into /cloud/environment and /cloud/connections.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import partial
from pathlib import Path

PIECE_BYTES = 256 * 1024


async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy one direction until its end."""
    try:
        while piece := await source.read(PIECE_BYTES):
            sink.write(piece)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()  # the other side sees a connection that breaks off, as it has


async def forward(connect: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    try:
        there, back = await asyncio.open_connection(connect, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
    for end in (back, writer):
        end.close()


async def main(listen: str, connect: str) -> None:
    """Listen on every port of the local cloud."""
    text = "".join(Path("/cloud", name).read_text() for name in ("environment", "connections"))
    ports = {int(port) for port in re.findall(r'127\.0\.0\.1:(\d+)|"port": (\d+)', text) for port in port if port}
    servers = [await asyncio.start_server(partial(forward, connect, port), listen, port) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
