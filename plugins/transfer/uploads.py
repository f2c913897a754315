"""Uploads begun and not ended, on record: another worker goes on with them, and what nobody goes on with is given up.

A record is a small object under the run's state prefix. It may hold the address of an upload session, which is leave to
fill that one upload; since the MD5 was announced when the session began, nothing but the source's bytes can complete it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial

from transfer.errors import InvalidMessage, ObjectError, RetryableError, Stage, TransferError
from transfer.messages import UNREADABLE, why_unreadable
from transfer.model import ObjectMeta, StoredPart
from transfer.ports import GenerationMismatch, ObjectSink, StateStore
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)

UPLOADS = "uploads/"


class UploadKind(StrEnum):
    """How the bytes go."""

    STREAM = "stream"
    PARTS = "parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """An upload on its way."""

    kind: UploadKind
    name: str
    token: str
    etag: str
    size_bytes: int
    generation: int
    part_bytes: int = 0
    parts: tuple[StoredPart, ...] = ()

    def carries(self, item: ObjectMeta, name: str, kind: UploadKind, part_bytes: int = 0) -> bool:
        """Whether it carries the very object that was listed, in this way."""
        mine = (kind, name, item.etag, item.size_bytes, item.replaces_generation, part_bytes)
        return mine == (self.kind, self.name, self.etag, self.size_bytes, self.generation, self.part_bytes)

    def encode(self) -> bytes:
        """As the record holds it."""
        fields = asdict(self) | {"version": 1}
        fields["parts"] = [[part.number, part.size_bytes, part.crc32c, part.md5, part.tag] for part in self.parts]
        return json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def decode(cls, body: bytes) -> OpenUpload:
        """Raises InvalidMessage for anything else than a record."""
        try:
            fields = json.loads(body)
            if fields.pop("version") != 1:
                raise ValueError("another version")
            fields["kind"] = UploadKind(fields["kind"])
            fields["parts"] = tuple(
                StoredPart(number=int(number), size_bytes=int(size), crc32c=str(crc32c), md5=str(md5), tag=str(tag))
                for number, size, crc32c, md5, tag in fields["parts"]
            )
            return cls(**fields)
        except UNREADABLE as error:
            raise InvalidMessage(f"not a record of an upload: {why_unreadable(error)}", stage=Stage.UPLOAD) from error


class UploadRecords:
    """The records of one run. One instance a lane. A record that cannot be written costs a resumption, never the object."""

    def __init__(self, sink: ObjectSink, prefix: str, retrier: Retrier) -> None:
        self._sink = sink
        self._prefix = f"{prefix}{UPLOADS}"
        self._retrier = retrier

    def load(self, name: str) -> Step[OpenUpload | None]:
        """What an earlier delivery left of an object, if anything."""
        try:
            body = yield from self._retrier.call(lambda: self._sink.read(self._record(name)))
            return None if body is None else OpenUpload.decode(body)
        except ObjectError as error:
            log.warning("%r is begun anew: %s", name, error.message)
            return None

    def save(self, upload: OpenUpload) -> Step[None]:
        """Store a record in place of an older one."""
        resource = {"contentType": "application/json"}
        try:
            yield from self._sink.put(self._record(upload.name), upload.encode(), resource, None)
        except (RetryableError, ObjectError, GenerationMismatch) as error:
            log.info("the upload of %r is not on record: %s", upload.name, error)

    def forget(self, name: str) -> Step[None]:
        """The upload has ended, one way or another."""
        try:
            yield from self._sink.delete(self._record(name))
        except (RetryableError, ObjectError) as error:
            log.info("the record of the upload of %r stays for now: %s", name, error)

    def try_out(self) -> Step[None]:
        """Write a record of nothing and remove it, to see whether any object can be written. Raises what writing raises."""
        name = f"{self._prefix}control"
        yield from self._retrier.call(lambda: self._sink.put(name, b"", {"contentType": "text/plain"}, None))
        try:
            yield from self._sink.delete(name)
        except (RetryableError, ObjectError) as error:  # a hold or a retention period keeps it: it was written
            log.info("a record stays for now: %s", error)

    def _record(self, name: str) -> str:
        return f"{self._prefix}{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}.json"


def take_up(
    records: UploadRecords, sink: ObjectSink, item: ObjectMeta, name: str, kind: UploadKind, *, part_bytes: int = 0
) -> Step[OpenUpload | None]:
    """The upload of this very object that an earlier delivery left; one of anything else under the name is given up."""
    found = yield from records.load(name)
    if found is None or found.carries(item, name, kind, part_bytes):
        return found
    try:
        yield from give_up(sink, found)
    except TransferError as error:
        log.warning("an earlier upload of %r could not be given up: %s", name, error)
    return None


def open_uploads(state: StateStore) -> Iterator[tuple[str, OpenUpload]]:
    """The uploads on record in one run, each with the record's name relative to the run's prefix."""
    for entry in state.entries(UPLOADS):
        try:
            yield entry.name, OpenUpload.decode(state.read(entry.name))
        except InvalidMessage as error:
            log.warning("%s: %s", entry.name, error.message)


def give_up(sink: ObjectSink, upload: OpenUpload) -> Step[None]:
    """End an upload that nobody will go on with, and free what it holds."""
    if upload.kind is UploadKind.PARTS:
        yield from sink.parts_upload(upload.name, upload.token).abort()
    elif (stream := sink.stream_upload(upload.token, upload.size_bytes, md5="")) is not None:
        yield from stream.abort()


def give_up_all(state: StateStore, sink: ObjectSink, drive: Callable[[Callable[[], Step[None]]], None]) -> int:
    """Give up every upload on record in one run; how many. What cannot be given up stays on record.

    `drive` runs a step to its end, with retries.
    """
    given_up = 0
    for name, upload in open_uploads(state):
        try:
            drive(partial(give_up, sink, upload))
            state.delete(name)
        except (ObjectError, RetryableError, GenerationMismatch) as error:
            log.warning("the unfinished upload of %r could not be given up: %s", upload.name, error)
        else:
            given_up += 1
    return given_up
