"""Records of unfinished uploads, from which another worker resumes them, or the end of a run aborts them.

    <state prefix>/uploads/<run>/<name's digest>-<random>.begun     note: an upload in parts is about to be started
    <state prefix>/uploads/<run>/<name's digest>.json               record: its id, and the parts that are stored
    <state prefix>/uploads/<run>/closed-<opening>                   this opening of the run may start no more uploads

One listing finds those of all runs, so that a later run aborts what an earlier one could not (`abandoned_uploads.py`). A
record holds an id and no URL, so that it can lead to no other object than the one that it names in this bucket.
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

MAX_RESTARTS = 3
"""How often the upload of one object is started again from the beginning when its bytes turn out wrong."""

_VERSION = 2


class UploadKind(StrEnum):
    """The API by which the object is uploaded."""

    STREAM = "stream"
    """A resumable session of the JSON API, which takes the bytes in order."""
    PARTS = "parts"
    """A multipart upload of the XML API, which takes parts in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """An unfinished upload."""

    kind: UploadKind
    bucket: str
    """The destination bucket; the records may be in another one."""
    name: str
    token: str
    """The upload's id in Cloud Storage; empty in a note, which is written before there is one."""
    etag: str = ""
    size_bytes: int = 0
    generation: int = 0
    """The generation that the object is to replace; 0 for none."""
    part_bytes: int = 0
    parts: tuple[StoredPart, ...] = ()
    note: str = ""
    """The name of the note that announced it, without a folder."""

    def carries(self, item: ObjectMeta, name: str, kind: UploadKind, part_bytes: int = 0) -> bool:
        """Whether it uploads exactly the listed object, by this API and in parts of this size."""
        expected = (kind, name, item.etag, item.size_bytes, item.replaces_generation, part_bytes)
        return expected == (self.kind, self.name, self.etag, self.size_bytes, self.generation, self.part_bytes)

    def encode(self) -> bytes:
        """The bytes of its record, in JSON."""
        fields = asdict(self) | {"version": _VERSION}
        fields["parts"] = [[part.number, part.size_bytes, part.crc32c, part.md5, part.tag] for part in self.parts]
        return json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def decode(cls, body: bytes) -> OpenUpload:
        """Read a record. Raises InvalidMessage for bytes that are not one."""
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
                raise ValueError("a field of the wrong type")
            return upload
        except UNREADABLE as error:
            raise InvalidMessage(f"not a record of an upload: {why_unreadable(error)}", stage=Stage.UPLOAD) from error


class UploadRecords:
    """Reads and writes the upload records of one run. One instance per lane.

    A record that cannot be written costs the chance to resume its upload, and never the object.

    Args:
        sink: the sink of the bucket that holds the records.
        prefix: the run's state prefix.
        opening: the opening of the run that this worker belongs to; empty for a run that is never closed.
    """

    def __init__(self, sink: ObjectSink, prefix: str, retrier: Retrier, *, opening: str = "") -> None:
        self._sink = sink
        self._prefix = uploads_prefix(prefix)
        self._retrier = retrier
        self._opening = opening
        self._notes: dict[str, str] = {}

    def load(self, name: str) -> Step[OpenUpload | None]:
        """The unfinished upload that an earlier delivery left of an object, if there is one."""
        try:
            body = yield from self._retrier.call(lambda: self._sink.read(self._record(name)))
            found = None if body is None else OpenUpload.decode(body)
        except ObjectError as error:
            log.warning("the upload of %r is started again, since its record cannot be used: %s", name, error.message)
            return None
        if found is not None and found.note:
            self._notes[name] = found.note
        return found

    def announce(self, bucket: str, name: str) -> Step[None]:
        """Write a note that an upload in parts is about to be started, so that it can be found even if its id is lost.

        Raises RunClosed when the run was closed meanwhile, and nothing would ever abort the upload.
        """
        if self._opening and (yield from self._is_closed()):
            raise RunClosed("the run was closed while this task still worked", stage=Stage.UPLOAD)
        note = f"{_digest(name)}-{secrets.token_hex(4)}{UPLOAD_NOTE}"
        # With retries, unlike a record: without the note, an upload whose id is lost could not be found.
        upload = OpenUpload(kind=UploadKind.PARTS, bucket=bucket, name=name, token="")
        yield from self._write(name, self._retrier.call(lambda: self._put(note, upload)))
        self._notes[name] = note

    def _is_closed(self) -> Step[bool]:
        try:
            marker = yield from self._retrier.call(
                lambda: self._sink.read(f"{self._prefix}{UPLOADS_CLOSED}{self._opening}")
            )
        except ObjectError as error:
            log.info("it could not be checked whether the run was closed: %s", error.message)
            return False
        return marker is not None

    def save(self, upload: OpenUpload) -> Step[None]:
        """Write an upload's record, replacing an older one. An upload without an id gets none, since it cannot be resumed."""
        if upload.token:
            recorded = replace(upload, note=upload.note or self.note_of(upload.name))
            yield from self._write(upload.name, self._put(_record_of(upload.name), recorded))

    def note_of(self, name: str) -> str:
        """The name of the note of an upload that this lane started or resumed; empty in lanes that only help with it."""
        return self._notes.get(name, "")

    def _put(self, record: str, upload: OpenUpload) -> Step[None]:
        yield from self._sink.put(self._prefix + record, upload.encode(), {"contentType": "application/json"}, None)

    def _write(self, name: str, write: Step[None]) -> Step[None]:
        try:
            yield from write
        except (RetryableError, ObjectError, GenerationMismatch) as error:
            log.info("the upload of %r could not be recorded: %s", name, error)

    def forget(self, name: str) -> Step[None]:
        """Remove the record and the note of an upload that was completed or aborted."""
        note = self._notes.pop(name, "")
        try:
            yield from self._sink.delete(self._record(name))
            if note:
                yield from self._sink.delete(self._prefix + note)
        except (RetryableError, ObjectError) as error:
            log.info(
                "the record of the upload of %r could not be removed; the end of the run removes it: %s", name, error
            )

    def _record(self, name: str) -> str:
        return self._prefix + _record_of(name)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _record_of(name: str) -> str:
    return f"{_digest(name)}.json"


def resume_upload(
    records: UploadRecords, sink: ObjectSink, item: ObjectMeta, name: str, kind: UploadKind, *, part_bytes: int = 0
) -> Step[OpenUpload | None]:
    """The upload of the listed object that an earlier delivery left, if any. One of other content under its name is aborted."""
    found = yield from records.load(name)
    if found is None or (found.bucket, found.name) != (sink.bucket, name) or not found.token:
        return None
    if found.carries(item, name, kind, part_bytes):
        return found
    try:
        yield from abort_upload(sink, found)
    except TransferError as error:
        log.warning("an earlier upload of %r could not be aborted: %s", name, error)
    else:
        yield from records.forget(name)
    return None


def abort_upload(sink: ObjectSink, upload: OpenUpload) -> Step[None]:
    """Abort an unfinished upload to the sink's bucket, which frees the storage that it uses."""
    if upload.kind is UploadKind.PARTS:
        yield from sink.parts_upload(upload.name, upload.token).abort()
    else:
        yield from sink.stream_upload(upload.name, upload.token, upload.size_bytes, md5="").abort()
