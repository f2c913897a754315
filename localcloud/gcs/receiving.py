"""Request bodies into content files, for both APIs: multipart/related taken apart, damage done on demand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from localcloud.gcs.blobs import Content
from localcloud.gcs.checksums import Expected
from localcloud.gcs.errors import ApiError, invalid
from localcloud.gcs.store import ALWAYS, Attributes, Conditions, ObjectRecord, Store
from localcloud.http1 import Exchange

SMALL_BYTES = 1024 * 1024
"""Up to here MD5 is worked out on arrival; above, only if the client sends one or somebody reads it later."""


def payload(exchange: Exchange, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The pieces, with one bit flipped at `at_byte` when the request's fault is "corrupt"; the answer is then whole."""
    fault = exchange.fault
    if fault is None or fault.action != "corrupt":
        yield from pieces
        return
    exchange.fault = None
    position = 0
    for piece in pieces:
        damaged = bytearray(piece)
        if 0 <= fault.at_byte - position < len(damaged):
            damaged[fault.at_byte - position] ^= 1
        position += len(damaged)
        yield bytes(damaged)


def receive(
    exchange: Exchange,
    store: Store,
    pieces: Iterable[bytes | memoryview],
    expected: Expected,
    *,
    wants_md5: bool = False,
) -> Content:
    """Write a body to a new content file. Raises ApiError 400 on a checksum mismatch, and leaves nothing then."""
    small = int(exchange.headers.get("content-length", SMALL_BYTES + 1)) <= SMALL_BYTES
    with store.blobs.writer(md5=small or wants_md5 or expected.md5 is not None) as writer:
        for piece in payload(exchange, pieces):
            writer.write(piece)
        return writer.finish(expected)


def keep(
    store: Store, bucket: str, name: str, content: Content, attributes: Attributes, conditions: Conditions = ALWAYS
) -> ObjectRecord:
    """Make content an object, or drop it. Raises what Store.put raises."""
    try:
        return store.put(bucket, name, content, attributes, conditions)
    except ApiError:
        store.blobs.drop(content.segments)
        raise


class RelatedReader:
    """The parts of a multipart/related body, streamed. Not thread-safe.

    Line ends may be CRLF or bare LF, quotes round the boundary single: Google's own apitools sends both, and Cloud
    Storage takes it.
    """

    def __init__(self, pieces: Iterable[bytes | memoryview], content_type: str) -> None:
        match = re.search(r"""boundary=(?:"([^"]+)"|'([^']+)'|([^;\s]+))""", content_type)
        if not match:
            raise invalid("The multipart request has no boundary.")
        self._pieces = iter(pieces)
        self._held = b""
        dashes = b"--" + (match[1] or match[2] or match[3]).encode("latin-1")
        first_line = self._all_until(b"\n")
        if first_line.rstrip(b"\r") != dashes:
            raise invalid("The multipart request does not begin with its boundary.")
        self._eol = b"\r\n" if first_line.endswith(b"\r") else b"\n"
        self._delimiter = self._eol + dashes
        self._held = self._eol + self._held

    def headers(self) -> dict[str, str]:
        """The headers of the next part, names in lower case; there may be none at all."""
        text = self._all_until(self._eol * 2).decode("latin-1")
        pairs = (line.partition(":") for line in text.splitlines() if line.strip())
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    def body(self) -> Iterator[bytes | memoryview]:
        """The body of the part whose headers were read."""
        yield from self._until(self._delimiter)
        while len(self._held) < 2 and (piece := next(self._pieces, None)) is not None:
            self._held += bytes(piece)
        if self._held.startswith(b"--"):  # the last part: a body left half read would spoil the connection
            for _ in self._pieces:
                pass

    def _all_until(self, mark: bytes) -> bytes:
        return b"".join(bytes(piece) for piece in self._until(mark))

    def _until(self, mark: bytes) -> Iterator[bytes | memoryview]:
        keep_bytes = len(mark) - 1
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > keep_bytes:
                yield memoryview(self._held)[:-keep_bytes]
                self._held = self._held[-keep_bytes:]
            piece = next(self._pieces, None)
            if piece is None:
                raise invalid("The multipart request ends before its last boundary.")
            self._held += bytes(piece)
        yield memoryview(self._held)[:at]
        self._held = self._held[at + len(mark) :]
