"""A fast Cloud Storage stand-in that keeps sizes and CRC32Cs and drops the bytes: one thread, one epoll loop.

`python -m benchmarks.sink` prints one ready line. Bodies of PUTs are summed up as they come and never held. The MD5 that Cloud
Storage computes of each part is looked up by CRC32C in `--hashes FILE`: what the service does on its machines must not be
paid for on this one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import selectors
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import google_crc32c

from benchmarks.sink_messages import Answer, Content, Request
from benchmarks.sink_objects import SinkObjects
from localcloud.lifecycle import serve_until_stopped

RECEIVE_BYTES = 256 * 1024
"""Small enough that the checksum reads it from the processor's cache."""
KEPT_BYTES = 256 * 1024
"""PUT bodies up to this size are kept until answered, so that small records can be read back."""
SEND_TIMEOUT_S = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)


class _Connection:
    """One socket: what came and is not used yet, and the request whose body is on its way."""

    def __init__(self, sock: socket.socket, objects: SinkObjects) -> None:
        self.sock = sock
        self._objects = objects
        self._buffer = bytearray()
        self._request: Request | None = None
        self._missing: int | None = 0
        """Bytes of the body still to come; None while it comes in chunks."""
        self._summed: Content | None = None
        self._chunks: list[bytes] = []

    def receive(self) -> bool:
        """Take what has come; whether the connection lives on."""
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            return False
        if self._summed is not None and not self._buffer:
            self._sum_up(data)
        else:
            self._buffer += data
        while self._step():
            pass
        return True

    def _step(self) -> bool:
        """One step ahead in what has come; whether there may be another."""
        if self._request is None:
            return self._begin()
        if self._summed is not None:
            return self._go_on_summing()
        if self._missing is None:
            return self._take_chunk()
        if len(self._buffer) < self._missing:
            return False
        body = bytes(memoryview(self._buffer)[: self._missing])
        del self._buffer[: self._missing]
        self._answer(Content(len(body), self._crc32c(body), body))
        return True

    def _begin(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(memoryview(self._buffer)[: end + 2])
        del self._buffer[: end + 4]
        self._request = request = _parsed(head)
        length = _LENGTH.search(head)
        self._missing = int(length[1]) if length else None if _CHUNKED.search(head) else 0
        if _EXPECT.search(head):
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.method == "PUT" and (self._missing or 0) > KEPT_BYTES:
            self._summed = Content(0, self._objects.initial_crc32c(request))
        return True

    def _go_on_summing(self) -> bool:
        assert self._missing is not None and self._summed is not None
        if self._buffer:
            data = bytes(memoryview(self._buffer)[: self._missing])
            del self._buffer[: self._missing]
            self._sum_up(data)
        if self._missing:
            return False
        self._answer(self._summed)
        return True

    def _sum_up(self, data: bytes) -> None:
        assert self._missing is not None and self._summed is not None
        if len(data) > self._missing:
            self._buffer += data[self._missing :]
            data = data[: self._missing]
        self._summed.crc32c = google_crc32c.extend(self._summed.crc32c, data)
        self._summed.size_bytes += len(data)
        self._missing -= len(data)

    def _take_chunk(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        count = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
        if len(self._buffer) < end + 4 + count:
            return False
        if count:
            self._chunks.append(bytes(memoryview(self._buffer)[end + 2 : end + 2 + count]))
        del self._buffer[: end + 4 + count]
        if not count:
            body = b"".join(self._chunks)
            self._answer(Content(len(body), self._crc32c(body), body))
        return True

    def _crc32c(self, body: bytes) -> int:
        assert self._request is not None
        if self._request.method != "PUT" and self._request.query.get("uploadType") != "media":
            return 0  # a message around the content, so the checksum of the body is not that of the content
        return int(google_crc32c.extend(self._objects.initial_crc32c(self._request), body))

    def _answer(self, content: Content) -> None:
        assert self._request is not None
        try:
            answer = self._objects.answer(self._request, content)
        except Answer as error:
            answer = error.response
        if self._request.method == "HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        self._request, self._summed, self._chunks = None, None, []
        sent = self.sock.send(answer)
        if sent < len(answer):
            self.sock.settimeout(SEND_TIMEOUT_S)
            self.sock.sendall(memoryview(answer)[sent:])
            self.sock.setblocking(False)


def _parsed(head: bytes) -> Request:
    method, target, _ = head[: head.index(b"\r\n")].decode("latin-1").split(" ", 2)
    path, _, query = target.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return Request(method, path, {name: value for name, _, value in pairs}, head)


class SinkServer:
    """The stand-in on a free loopback port, in a separate thread."""

    def __init__(self, md5s: Mapping[int, str] | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self._objects = SinkObjects(md5s or {})
        self.url = self._objects.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sink", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop and close what is open."""
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, None)
            while not self._stop.is_set():
                for key, _ in selector.select(timeout=0.5):
                    if key.data is None:
                        self._accept(selector)
                    elif not _received(key.data):
                        selector.unregister(key.data.sock)
                        key.data.sock.close()
            for key in list(selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(sock, selectors.EVENT_READ, _Connection(sock, self._objects))


def _received(connection: _Connection) -> bool:
    try:
        return connection.receive()
    except BlockingIOError:
        return True
    except OSError:
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.sink", description=__doc__)
    parser.add_argument("--hashes", type=Path, help="JSON: MD5s by CRC32C")
    hashes = parser.parse_args().hashes
    known = json.loads(hashes.read_text()) if hashes else {}
    serve_until_stopped("sink", SinkServer({int(crc32c): md5 for crc32c, md5 in known.items()}))
