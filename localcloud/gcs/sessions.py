"""Resumable uploads of the JSON API.

After Cloud Storage's "Resumable uploads" and "Performing resumable uploads": what arrived is kept in multiples of
256 KiB, also when the connection breaks half-way; bytes sent again are ignored; `bytes */N` asks what is there, and
gets the object once the upload is complete. A session outlives the server.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import FileIO

from localcloud.gcs.blobs import Content, Segment
from localcloud.gcs.checksums import Expected, extend_crc32c
from localcloud.gcs.errors import ApiError, invalid, no_upload
from localcloud.gcs.store import Attributes, Conditions, ObjectRecord, Store, decode_attributes, encode_attributes
from localcloud.http1 import ConnectionBroken

QUANTUM_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ContentRange:
    """`Content-Range` of an upload request. `first` None asks for the status; `last` None runs to the body's end."""

    first: int | None
    last: int | None
    total: int | None

    @classmethod
    def parse(cls, header: str | None) -> ContentRange:
        """Raises ApiError 400 for what is not `bytes a-b/N`, `bytes a-b/*`, `bytes */N` or `bytes */*`."""
        if header is None:
            return cls(0, None, None)
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", header)
        if not match:
            raise invalid(f"Failed to parse Content-Range header: {header}")
        first, last, total = (int(text) if text and text != "*" else None for text in match.groups())
        if first is not None and last is not None and (last < first or (total is not None and last >= total)):
            raise invalid(f"Invalid Content-Range header: {header}")
        return cls(first, last, total)

    @property
    def is_final(self) -> bool:
        """Whether the object is complete after this body."""
        return self.last is None or (self.total is not None and self.last + 1 == self.total)


@dataclass(slots=True)
class Session:
    """One upload. `persisted` bytes with `crc32c` are safe; a newer request's `writer` token stops an older one."""

    id: str
    bucket: str
    name: str
    attributes: Attributes
    conditions: Conditions
    expected: Expected
    total: int | None
    """The size that was announced when it began (X-Upload-Content-Length)."""
    blob: int
    persisted: int = 0
    crc32c: int = 0
    answer: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    writer: object = None

    def take_over(self) -> object:
        """A new writer's token; the holder of the previous token may no longer write."""
        with self.lock:
            self.writer = object()
            return self.writer

    def receive(self, token: object, file: FileIO, pieces: Iterable[bytes | memoryview], first: int) -> tuple[int, int]:
        """Append a body that begins at byte `first`; the size and CRC32C of all there is then.

        The lock is not held while waiting for the peer: a client whose connection died must be able to ask and go on
        before this thread has noticed. Raises ConnectionBroken when a newer request took over.
        """
        position, crc = self.persisted, self.crc32c
        skip = position - first
        file.seek(position)
        for piece in pieces:
            skipped = min(skip, len(piece))
            skip -= skipped
            rest = memoryview(piece)[skipped:]
            while rest:
                data = bytes(rest[: QUANTUM_BYTES - position % QUANTUM_BYTES])
                rest = rest[len(data) :]
                with self.lock:
                    if self.writer is not token:
                        raise ConnectionBroken
                    if file.write(data) != len(data):
                        raise OSError("short write: is the disk full?")
                    position += len(data)
                    crc = extend_crc32c(crc, data)
                    if position % QUANTUM_BYTES == 0:
                        self.persisted, self.crc32c = position, crc
        return position, crc


class Sessions:
    """The uploads of a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._live: dict[str, Session] = {}
        self._lock = threading.Lock()

    def create(
        self,
        bucket: str,
        name: str,
        attributes: Attributes,
        conditions: Conditions,
        expected: Expected,
        total: int | None,
    ) -> Session:
        """Begin an upload. Raises ApiError 404 or 412."""
        conditions.check(self._store.find(bucket, name))
        session = Session(
            secrets.token_urlsafe(24), bucket, name, attributes, conditions, expected, total, self._store.blobs.tick()
        )
        self._store.blobs.path(session.blob).touch()
        md5 = expected.md5.hex() if expected.md5 else None
        self._store.db.execute(
            "INSERT INTO sessions VALUES(?,?,?,?,?,?,?,0,0,NULL)",
            *(session.id, bucket, name, encode_attributes(attributes), conditions.to_json()),
            *(json.dumps([expected.crc32c, md5, total]), session.blob),
        )
        with self._lock:
            self._live[session.id] = session
        return session

    def find(self, session_id: str) -> Session:
        """Raises ApiError 404 for an upload that never was, was cancelled, or failed."""
        with self._lock:
            if session_id not in self._live:
                row = self._store.db.first("SELECT * FROM sessions WHERE id=?", session_id)
                if row is None:
                    raise no_upload()
                values = list(row)
                crc32c, md5, *total = json.loads(row[5])
                values[3:6] = (
                    decode_attributes(row[3]),
                    Conditions(*json.loads(row[4])),
                    Expected(crc32c, bytes.fromhex(md5) if md5 else None),
                    total[0] if total else None,
                )
                self._live[session_id] = Session(*values)
            return self._live[session_id]

    def append(
        self,
        session: Session,
        span: ContentRange,
        pieces: Iterable[bytes | memoryview],
        expected: Expected,
        answer: Callable[[ObjectRecord], str],
    ) -> str | None:
        """Take a request's body. None while more has to come, then `answer` of the object, to this and later requests.

        Raises ApiError 400 when the body is not what the range says, 503 when it would leave a gap; and 400 or 412
        when the content cannot become the object: then the session is gone.
        """
        if session.answer is not None:
            return session.answer
        if span.first is None:
            if span.total is None or span.total != session.persisted:
                return None
            _check_total(session, span.total)
            return self._complete(session, session.take_over(), session.persisted, session.crc32c, expected, answer)
        _check_span(session, span)
        token = session.take_over()
        try:
            with FileIO(self._store.blobs.path(session.blob), "r+") as file:
                position, crc = session.receive(token, file, pieces, span.first)
        finally:
            self._save(session)
        if span.is_final:
            _check_total(session, position)
        if span.last is not None and position != span.last + 1:
            raise invalid(f"The body ends at byte {position}, not where its Content-Range says.")
        return self._complete(session, token, position, crc, expected, answer) if span.is_final else None

    def _save(self, session: Session) -> None:
        with session.lock:  # size and checksum of the same moment, also when a newer request goes on already
            self._store.db.execute(
                "UPDATE sessions SET persisted=?, crc32c=? WHERE id=?", session.persisted, session.crc32c, session.id
            )

    def _complete(
        self,
        session: Session,
        token: object,
        size_bytes: int,
        crc32c: int,
        expected: Expected,
        answer: Callable[[ObjectRecord], str],
    ) -> str:
        with session.lock:
            if session.answer is not None:
                return session.answer
            if session.writer is not token:
                raise ConnectionBroken
            session.writer = None
            os.truncate(self._store.blobs.path(session.blob), size_bytes)  # a broken-off request may have left more
            try:
                content = self._checked(session.blob, size_bytes, crc32c, expected.or_else(session.expected))
                with self._store.db.transaction():
                    record = self._store.put(
                        session.bucket, session.name, content, session.attributes, session.conditions
                    )
                    session.answer = answer(record)
                    self._store.db.execute("UPDATE sessions SET answer=? WHERE id=?", session.answer, session.id)
            except ApiError:
                self.cancel(session)
                raise
            with self._lock:
                self._live.pop(session.id, None)
            return session.answer

    def _checked(self, blob: int, size_bytes: int, crc32c: int, expected: Expected) -> Content:
        segments = [Segment(blob, size_bytes)]
        md5 = None if expected.md5 is None else self._store.blobs.md5(segments, size_bytes)
        expected.check(crc32c, md5)
        return Content(segments, size_bytes, crc32c, md5)

    def cancel(self, session: Session) -> None:
        """Forget the upload and what arrived."""
        with self._lock:
            self._live.pop(session.id, None)
        session.take_over()
        self._store.db.execute("DELETE FROM sessions WHERE id=?", session.id)
        if session.answer is None:
            self._store.blobs.path(session.blob).unlink(missing_ok=True)


def _check_total(session: Session, size_bytes: int) -> None:
    if session.total is not None and size_bytes != session.total:
        raise invalid(
            f"Invalid request.  {size_bytes} bytes in all, and X-Upload-Content-Length announced {session.total}."
        )


def _check_span(session: Session, span: ContentRange) -> None:
    assert span.first is not None
    if span.total is not None:
        _check_total(session, span.total)
    if span.first > session.persisted:
        raise ApiError(
            503,
            "backendError",
            f"Invalid request.  According to the Content-Range header, the upload offset is {span.first} byte(s), "
            f"which exceeds already uploaded size of {session.persisted} byte(s).",
        )
    if not span.is_final and span.last is not None and span.last + 1 - span.first < QUANTUM_BYTES:
        raise invalid(
            "Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144, "
            "except for the final request (it's recommended to be the exact multiple of 262144)."
        )
