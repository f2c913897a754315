"""One accepted socket: heads, bodies and chunks read through one buffer."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Iterator
from typing import NoReturn

MAX_HEAD_BYTES = 64 * 1024
COPY_BYTES = 256 * 1024


class ConnectionBroken(Exception):
    """The peer went away, spoke no HTTP, or a fault broke the connection."""


class Connection:
    """One accepted socket and its read buffer. Belongs to one thread."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.sock = sock
        self.peer = peer
        self._buffer = bytearray(COPY_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def read_head(self) -> bytes | None:
        """The request line and headers, or None at a clean end of the connection."""
        while True:
            at = self._buffer.find(b"\r\n\r\n", self._start, self._end)
            if at >= 0:
                head = bytes(self._view[self._start : at])
                self._start = at + 4
                return head
            if self._end - self._start > MAX_HEAD_BYTES:
                raise ConnectionBroken
            if not self._fill():
                if self._end > self._start:
                    raise ConnectionBroken
                return None

    def _fill(self) -> int:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            pending = bytes(self._view[self._start : self._end])
            self._buffer[: len(pending)] = pending
            self._start, self._end = 0, len(pending)
        count = self.sock.recv_into(self._view[self._end :])
        self._end += count
        return count

    def read_some(self, limit: int) -> memoryview:
        """At least one byte and at most `limit`, valid until the next read."""
        if self._start == self._end and not self._fill():
            raise ConnectionBroken
        count = min(limit, self._end - self._start)
        piece = self._view[self._start : self._start + count]
        self._start += count
        return piece

    def _read_line(self) -> bytes:
        line = io.BytesIO()
        while not line.getvalue().endswith(b"\r\n"):
            line.write(self.read_some(1))
        return line.getvalue()[:-2]

    def read_chunked(self) -> Iterator[memoryview]:
        """A chunked body piece by piece, up to the end of its trailers; each piece is valid until the next read."""
        while size := self._read_chunk_size():
            while size:
                piece = self.read_some(size)
                size -= len(piece)
                yield piece
            self._read_line()
        while self._read_line():
            pass

    def _read_chunk_size(self) -> int:
        line = self._read_line().split(b";")[0].strip()
        try:
            return int(line, 16)
        except ValueError as error:
            raise ConnectionBroken from error

    def break_off(self) -> NoReturn:
        """Reset the connection: the peer sees ECONNRESET. Always raises ConnectionBroken."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise ConnectionBroken
