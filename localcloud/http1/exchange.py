"""One request and its answer, which an injected fault may spoil."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO

from localcloud.faults import Fault
from localcloud.http1.connection import COPY_BYTES, Connection, ConnectionBroken

Headers = Iterable[tuple[str, str]]


class Exchange:
    """One request and its answer. Belongs to the connection's own thread."""

    def __init__(self, connection: Connection, method: str, target: str, headers: dict[str, str]) -> None:
        self.method = method
        self.target = target
        """The raw request target, escapes and all."""
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        """Names in lower case; repeated headers joined by ", "."""
        self.kind = method
        """What the request count calls this request; a handler may set something more telling."""
        self.fault: Fault | None = None
        self.status: int | None = None
        self.on_status: Callable[[Exchange], None] = lambda exchange: None
        """Called just before an answer is sent, so that it is counted before the client has it."""
        self._connection = connection
        self._remaining = int(headers.get("content-length") or 0)
        self._chunked: Iterator[memoryview] | None = None
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._remaining = 0
            # One iterator for the exchange: a reader may stop half-way, and `drain` continues there.
            self._chunked = connection.read_chunked()
        self._expects_continue = headers.get("expect", "").lower() == "100-continue"

    @property
    def client_ip(self) -> str:
        """The peer's address."""
        return self._connection.peer

    def body_chunks(self) -> Iterator[memoryview]:
        """The request body piece by piece; each piece is only good until the next one is asked for."""
        if self._expects_continue:
            self._expects_continue = False
            self._connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._chunked is not None:
            yield from self._chunked
        while self._remaining:
            piece = self._connection.read_some(self._remaining)
            self._remaining -= len(piece)
            yield piece

    def read_body(self) -> bytes:
        """The whole request body."""
        return b"".join(bytes(piece) for piece in self.body_chunks())

    def send(self, status: int, headers: Headers = (), body: bytes | memoryview = b"") -> None:
        """Answer with a body from memory. A HEAD request gets the headers of the GET and no body."""
        if self.fault is not None and self.fault.cut:
            body = re.sub(self.fault.cut.encode(), b"", body)
        self._send_head(status, headers, len(body))
        if self.method != "HEAD" and body:
            self._send_pieces(memoryview(body)[at : at + COPY_BYTES] for at in range(0, len(body), COPY_BYTES))

    def send_json(self, status: int, document: object, headers: Headers = ()) -> None:
        """Answer with a JSON document."""
        body = json.dumps(document).encode()
        self.send(status, [("Content-Type", "application/json; charset=UTF-8"), *headers], body)

    def send_file(self, status: int, headers: Headers, file: BinaryIO, offset: int, count: int) -> None:
        """Answer with `count` bytes of an open file from `offset`, by sendfile where no fault touches the body."""
        self._send_head(status, headers, count)
        if self.method == "HEAD" or not count:
            return
        if self.fault is None:
            self._connection.sock.sendfile(file, offset, count)
            return
        file.seek(offset)
        self._send_pieces(file.read(min(COPY_BYTES, count - at)) for at in range(0, count, COPY_BYTES))

    def send_stream(self, status: int, headers: Headers, count: int, pieces: Iterable[bytes | memoryview]) -> None:
        """Answer with `count` bytes taken from an iterator."""
        self._send_head(status, headers, count)
        if self.method != "HEAD":
            self._send_pieces(pieces)

    def _send_head(self, status: int, headers: Headers, length: int) -> None:
        if self.fault is not None and self.fault.action == "lose_answer":
            self._connection.break_off()
        if self.fault is not None and self.fault.action == "rewrite":
            headers = _rewritten(self.fault, headers)
        self.status = status
        self.on_status(self)
        lines = [f"HTTP/1.1 {status} {_reason(status)}"]
        given = set()
        for name, value in headers:
            given.add(name.lower())
            lines.append(f"{name}: {value}")
        if "content-length" not in given and status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        if "date" not in given:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        self._connection.sock.sendall("\r\n".join([*lines, "", ""]).encode("utf-8"))

    def _send_pieces(self, pieces: Iterable[bytes | memoryview]) -> None:
        send = self._connection.sock.sendall
        if self.fault is None:
            for piece in pieces:
                send(piece)
            return
        for piece in _faulty(self.fault, pieces, self._connection):
            send(piece)

    def drain(self) -> None:
        """Read and drop what is left of the request body, so that the connection can carry another request."""
        if self._expects_continue:  # never asked for: the client sends nothing
            return
        for _ in self.body_chunks():
            pass


def _faulty(fault: Fault, pieces: Iterable[bytes | memoryview], connection: Connection) -> Iterator[bytes | memoryview]:
    position = 0
    for piece in pieces:
        cut = fault.at_byte - position
        position += len(piece)
        if not 0 <= cut < len(piece):
            yield piece
            continue
        if fault.action == "corrupt":
            changed = bytearray(piece)
            changed[cut] ^= 1
            yield bytes(changed)
            continue
        yield piece[:cut]
        if fault.action == "reset":
            connection.break_off()
        if fault.action == "truncate":
            raise ConnectionBroken
        if fault.action == "stall":
            time.sleep(fault.seconds)
        yield piece[cut:]


def _rewritten(fault: Fault, headers: Headers) -> Headers:
    replaced = {name.lower() for name in fault.headers}
    kept = [(name, value) for name, value in headers if name.lower() not in replaced]
    changed = [(name, re.sub(fault.cut, "", value) if fault.cut else value) for name, value in kept]
    return [*changed, *((name, value) for name, value in fault.headers.items() if value)]


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
