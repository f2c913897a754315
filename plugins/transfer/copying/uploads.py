"""Uploads begun and not ended, on record: another worker goes on with them, and what nobody goes on with is ended.

    <state prefix>/uploads/<run>/<name's digest>-<random>.begun     an upload in parts is about to be begun
    <state prefix>/uploads/<run>/<name's digest>.json               its id, and what is stored of it
    <state prefix>/uploads/<run>/closed-<opening>                   nothing may be begun any more

One listing finds those of all runs, so that a later run ends what an earlier one could not (`left_uploads.py`). A record
holds an id and no address: what it says can lead to this name of this bucket only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from transfer.errors import (
    GenerationMismatch,
    InvalidMessage,
    ObjectError,
    RetryableError,
    RunClosed,
    Stage,
    TransferError,
)
from transfer.model import ObjectMeta, StoredPart
from transfer.ports import ObjectSink
from transfer.records.layout import UPLOAD_NOTE, UPLOADS_CLOSED, uploads_prefix
from transfer.records.messages import UNREADABLE, why_unreadable
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)

_VERSION = 2


class UploadKind(StrEnum):
    """How the bytes go."""

    STREAM = "stream"
    PARTS = "parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """An upload on its way."""

    kind: UploadKind
    bucket: str
    """The destination's: the records may be in another one."""
    name: str
    token: str
    etag: str = ""
    size_bytes: int = 0
    generation: int = 0
    part_bytes: int = 0
    parts: tuple[StoredPart, ...] = ()
    note: str = ""
    """The name, without a folder, of the note that said that it is about to be begun."""

    def carries(self, item: ObjectMeta, name: str, kind: UploadKind, part_bytes: int = 0) -> bool:
        """Whether it carries the very object that was listed, in this way."""
        mine = (kind, name, item.etag, item.size_bytes, item.replaces_generation, part_bytes)
        return mine == (self.kind, self.name, self.etag, self.size_bytes, self.generation, self.part_bytes)

    def encode(self) -> bytes:
        """As the record holds it."""
        fields = asdict(self) | {"version": _VERSION}
        fields["parts"] = [[part.number, part.size_bytes, part.crc32c, part.md5, part.tag] for part in self.parts]
        return json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def decode(cls, body: bytes) -> OpenUpload:
        """Raises InvalidMessage for anything else than a record."""
        try:
            fields = json.loads(body)
            if fields.pop("version") != _VERSION:
                raise ValueError("another version")
            fields["kind"] = UploadKind(fields["kind"])
            fields["parts"] = tuple(
                StoredPart(number=int(number), size_bytes=int(size), crc32c=str(crc32c), md5=str(md5), tag=str(tag))
                for number, size, crc32c, md5, tag in fields["parts"]
            )
            upload = cls(**fields)
            texts = (upload.bucket, upload.name, upload.token, upload.etag, upload.note)
            numbers = (upload.size_bytes, upload.generation, upload.part_bytes)
            if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
                raise ValueError("a field of another kind")
            return upload
        except UNREADABLE as error:
            raise InvalidMessage(f"not a record of an upload: {why_unreadable(error)}", stage=Stage.UPLOAD) from error


class UploadRecords:
    """The records of one run. One instance a lane. A record that cannot be written costs a resumption, never the object.

    Args:
        sink: of the bucket of the records.
        prefix: the run's state prefix.
        opening: which opening of the run this worker belongs to; empty where none is ever closed.
    """

    def __init__(self, sink: ObjectSink, prefix: str, retrier: Retrier, *, opening: str = "") -> None:
        self._sink = sink
        self._prefix = uploads_prefix(prefix)
        self._retrier = retrier
        self._opening = opening
        self._notes: dict[str, str] = {}

    def load(self, name: str) -> Step[OpenUpload | None]:
        """What an earlier delivery left of an object, if anything."""
        try:
            body = yield from self._retrier.call(lambda: self._sink.read(self._record(name)))
            found = None if body is None else OpenUpload.decode(body)
        except ObjectError as error:
            log.warning("%r is begun anew: %s", name, error.message)
            return None
        if found is not None and found.note:
            self._notes[name] = found.note
        return found

    def about_to_begin(self, bucket: str, name: str) -> Step[None]:
        """Note that an upload in parts is about to be begun: parts that nobody knows of would be paid for.

        Raises RunClosed when the run was closed meanwhile, so that nobody would end it.
        """
        if self._opening and (yield from self._is_closed()):
            raise RunClosed("the run was closed while this task still worked", stage=Stage.UPLOAD)
        note = f"{_digest(name)}-{secrets.token_hex(4)}{UPLOAD_NOTE}"
        # With retries, unlike a record: without it, what is begun and not answered would be nobody's.
        upload = OpenUpload(kind=UploadKind.PARTS, bucket=bucket, name=name, token="")
        yield from self._attempt(name, self._retrier.call(lambda: self._put(note, upload)))
        self._notes[name] = note

    def _is_closed(self) -> Step[bool]:
        try:
            marker = yield from self._retrier.call(
                lambda: self._sink.read(f"{self._prefix}{UPLOADS_CLOSED}{self._opening}")
            )
        except ObjectError as error:
            log.info("whether the run was closed is not known: %s", error.message)
            return False
        return marker is not None

    def save(self, upload: OpenUpload) -> Step[None]:
        """Store a record in place of an older one."""
        if upload.token:  # otherwise only its own worker can go on with it
            recorded = replace(upload, note=upload.note or self.note_of(upload.name))
            yield from self._attempt(upload.name, self._put(_record_of(upload.name), recorded))

    def note_of(self, name: str) -> str:
        """The note of an upload that this lane began or took up. Other lanes, which store its record too, do not know it."""
        return self._notes.get(name, "")

    def _put(self, record: str, upload: OpenUpload) -> Step[None]:
        yield from self._sink.put(self._prefix + record, upload.encode(), {"contentType": "application/json"}, None)

    def _attempt(self, name: str, write: Step[None]) -> Step[None]:
        try:
            yield from write
        except (RetryableError, ObjectError, GenerationMismatch) as error:
            log.info("the upload of %r is not on record: %s", name, error)

    def forget(self, name: str) -> Step[None]:
        """The upload has ended, one way or another."""
        note = self._notes.pop(name, "")
        try:
            yield from self._sink.delete(self._record(name))
            if note:
                yield from self._sink.delete(self._prefix + note)
        except (RetryableError, ObjectError) as error:
            log.info("the record of the upload of %r stays for now: %s", name, error)

    def _record(self, name: str) -> str:
        return self._prefix + _record_of(name)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _record_of(name: str) -> str:
    return f"{_digest(name)}.json"


def resume_upload(
    records: UploadRecords, sink: ObjectSink, item: ObjectMeta, name: str, kind: UploadKind, *, part_bytes: int = 0
) -> Step[OpenUpload | None]:
    """The upload of this very object that an earlier delivery left; one of anything else under the name is given up."""
    found = yield from records.load(name)
    if found is None or (found.bucket, found.name) != (sink.bucket, name) or not found.token:
        return None
    if found.carries(item, name, kind, part_bytes):
        return found
    try:
        yield from abort_upload(sink, found)
    except TransferError as error:
        log.warning("an earlier upload of %r could not be given up: %s", name, error)
    else:
        yield from records.forget(name)
    return None


def abort_upload(sink: ObjectSink, upload: OpenUpload) -> Step[None]:
    """End an upload that nobody will go on with, and free what it holds. It is one of this sink's bucket."""
    if upload.kind is UploadKind.PARTS:
        yield from sink.parts_upload(upload.name, upload.token).abort()
    else:
        yield from sink.stream_upload(upload.name, upload.token, upload.size_bytes, md5="").abort()
