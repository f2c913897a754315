"""A small threaded HTTP/1.1 server: raw request targets, streamed bodies, sendfile, faults, and a control path.

Written for the edge and the Cloud Storage stand-ins: `http.server` unescapes nothing but parses slowly, and every
framework normalises paths (`//`, `..`, `%2B`), which are exactly what has to arrive untouched here.

Control path, on every server: `GET|PUT|DELETE /_localcloud/faults` (see faults.py) and `GET|DELETE
/_localcloud/requests`, a count of answers by `kind status`.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO

from localcloud.faults import Fault, FaultPlan
from localcloud.lifecycle import require_loopback

MAX_HEAD_BYTES = 64 * 1024
COPY_BYTES = 256 * 1024
IDLE_TIMEOUT_S = 75.0

Headers = Iterable[tuple[str, str]]


class ConnectionBroken(Exception):
    """The peer went away, spoke no HTTP, or a fault broke the connection."""


class Exchange:
    """One request and its answer. Belongs to the connection's own thread."""

    def __init__(self, connection: _Connection, method: str, target: str, headers: dict[str, str]) -> None:
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
        """Called just before an answer is sent: whoever has the answer finds it counted."""
        self._connection = connection
        self._remaining = int(headers.get("content-length") or 0)
        self._chunked: Iterator[memoryview] | None = None
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._remaining = 0
            self._chunked = (
                connection.read_chunked()
            )  # one for the exchange: a reader may stop half-way, and `drain` go on
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


def _faulty(
    fault: Fault, pieces: Iterable[bytes | memoryview], connection: _Connection
) -> Iterator[bytes | memoryview]:
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


class _Connection:
    """One accepted socket and its read buffer."""

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

    def break_off(self) -> None:
        """Reset the connection: the peer sees ECONNRESET."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise ConnectionBroken


class HttpServer:
    """Serves `handler(exchange)` on loopback, a thread a connection. The handler must send exactly one answer."""

    def __init__(
        self,
        handler: Callable[[Exchange], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultPlan | None = None,
        name: str = "http",
    ) -> None:
        self.faults = faults or FaultPlan()
        self._handler = handler
        self._name = name
        self._counts: Counter[str] = Counter()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((require_loopback(host), port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._accept, name=f"{name}-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept; the socket has listened since the constructor."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `kind status`; a broken-off one counts as `kind broken`."""
        with self._lock:
            return dict(self._counts)

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock, address[0]), name=self._name, daemon=True).start()

    def _serve(self, sock: socket.socket, peer: str) -> None:
        connection = _Connection(sock, peer)
        try:
            sock.settimeout(IDLE_TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (head := connection.read_head()) is not None and self._answer(connection, head):
                pass
        except (ConnectionBroken, OSError):
            pass  # the peer is gone or was sent away: there is nobody to tell
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _answer(self, connection: _Connection, head: bytes) -> bool:
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, version = lines[0].split(" ", 2)
        except ValueError as error:
            raise ConnectionBroken from error
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        exchange = Exchange(connection, method, target, headers)
        if target.startswith("/_localcloud/"):
            self._control(exchange)
        else:
            self._answer_with_faults(connection, exchange)
        exchange.drain()
        return version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"

    def _answer_with_faults(self, connection: _Connection, exchange: Exchange) -> None:
        exchange.on_status = self._count
        exchange.fault = fault = self.faults.decide(f"{exchange.method} {exchange.target}")
        try:
            if fault is not None and fault.action == "status":
                exchange.drain()
                exchange.fault = None
                exchange.send(fault.status, fault.headers.items(), fault.body.encode())
                return
            if fault is not None and fault.action == "reset" and not fault.at_byte:
                connection.break_off()
            if fault is not None and fault.action == "delay":
                self.faults.delay(fault)
                exchange.fault = None
            self._handler(exchange)
            if fault is not None and "content-length" in map(str.lower, fault.headers):
                raise ConnectionBroken  # the peer cannot know where this answer ends
        finally:
            if exchange.status is None:
                self._count(exchange)

    def _count(self, exchange: Exchange) -> None:
        with self._lock:
            self._counts[f"{exchange.kind} {exchange.status or 'broken'}"] += 1

    def _control(self, exchange: Exchange) -> None:
        body = exchange.read_body()
        if exchange.path == "/_localcloud/faults":
            if exchange.method == "PUT":
                try:
                    self.faults.load_json(body)
                except (ValueError, TypeError) as error:
                    exchange.send_json(400, {"error": str(error)})
                    return
            elif exchange.method == "DELETE":
                self.faults.replace([])
            exchange.send(200, [("Content-Type", "application/json")], self.faults.to_json().encode())
        elif exchange.path == "/_localcloud/requests":
            answer = self.requests()
            if exchange.method == "DELETE":
                with self._lock:
                    self._counts.clear()
            exchange.send_json(200, answer)
        else:
            exchange.send_json(404, {"error": "control paths are /_localcloud/faults and /_localcloud/requests"})
