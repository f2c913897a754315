"""A large object as one stream: one GET and one upload, joined by a small buffer.

For objects whose ETag is their MD5: Cloud Storage computes the MD5 of what it stores, and an MD5 wants its bytes in
order. (S3 takes 5 GiB at most in one PUT; larger objects came in parts, and go in parts: see `parted`.)
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from transfer.accounting.progress import Progress
from transfer.comparison import has_etag
from transfer.config import MAX_GET_BYTES
from transfer.copying.binding import as_announced
from transfer.copying.metadata import resource_of
from transfer.copying.proof import SourceDigest, require_identity, server_md5
from transfer.copying.uploads import OpenUpload, UploadKind, UploadRecords, resume_upload
from transfer.errors import (
    CorruptTransfer,
    RetriesExhausted,
    SinkUnavailable,
    SourceUnproven,
    Stage,
    Stopped,
    TransferError,
    UploadGone,
)
from transfer.model import DestinationObject, ObjectMeta, Proof
from transfer.ports import ByteStream, ObjectSink, ObjectSource, StreamUpload
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)

MAX_RESTARTS = 3
"""Times an object is begun anew when it turns out wrong at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResult:
    """What became of an object that arrived."""

    stored: DestinationObject
    proof: Proof
    edge_request_id: str


def proven(
    stored: DestinationObject, digest: SourceDigest | None, item: ObjectMeta, source: ObjectSource, sink: ObjectSink
) -> Step[Proof]:
    """What proves a stored object, whose bytes the digest took; none where Cloud Storage checked the MD5 announced to it.

    Raises CorruptTransfer when it is not the source's; it is removed then.
    """
    yield from as_announced(stored, sink)
    if digest is None:
        return Proof.ETAG_MD5
    try:
        proof = digest.prove()
    except CorruptTransfer as error:
        yield from sink.remove(stored, error.message)
        raise
    if digest.is_doubtful:
        try:
            again = yield from source.checksum(item, 0, item.size_bytes)
        except SourceUnproven as error:
            yield from sink.remove(stored, error.message)
            raise
        if again != stored.crc32c:
            yield from sink.remove(stored, f"read once more, its CRC32C is {again} and not {stored.crc32c}")
    return proof


def open_named(item: ObjectMeta, source: ObjectSource, count: int) -> Step[ByteStream]:
    """The object's first `count` bytes, known to be of what was listed, or to be known so before anything is visible.

    Where the edge sends no ETag, and no MD5 could be announced to Cloud Storage, the bytes are read once beforehand: what
    is stored must not be taken back, since it may have replaced something. Raises SourceUnproven when they prove nothing.
    """
    stream = yield from source.open(item, 0, count)
    headers = stream.headers
    if has_etag(headers) or server_md5(item, headers):
        return stream
    stream.close()
    digest = SourceDigest(item, headers)
    if digest.may_prove:
        yield from source.read(item, 0, item.size_bytes, digest.update)
    require_identity(digest.prove(), headers)
    return (yield from source.open(item, 0, count))


def copy_in_one_request(
    item: ObjectMeta, name: str, *, source: ObjectSource, sink: ObjectSink, progress: Progress
) -> Step[UploadResult]:
    """An object that is not worth going on with after trouble: one GET streamed into one conditional upload."""
    shown_bytes = 0

    def observe(data: bytes) -> None:
        nonlocal shown_bytes
        shown_bytes += len(data)
        progress.part(len(data))
        if digest is not None:
            digest.update(data)

    stream = yield from open_named(item, source, item.size_bytes)
    try:
        headers = stream.headers
        md5 = server_md5(item, headers)
        digest = None if md5 and sink.hashes_md5 else SourceDigest(item, headers)
        resource, generation = resource_of(item, headers), item.replaces_generation
        stored = yield from sink.put_stream(
            name, stream, item.size_bytes, resource, generation, md5=md5, observe=observe
        )
    finally:
        stream.close()
        progress.part(-shown_bytes)  # the object itself counts, if it arrived
    proof = yield from proven(stored, digest, item, source, sink)
    return UploadResult(stored=stored, proof=proof, edge_request_id=headers.get("x-amz-cf-id", ""))


class StreamedObject:
    """One object on its way, on one lane, that goes on where it stood after any trouble."""

    def __init__(
        self,
        item: ObjectMeta,
        name: str,
        *,
        source: ObjectSource,
        sink: ObjectSink,
        retrier: Retrier,
        progress: Progress,
        records: UploadRecords,
    ) -> None:
        self._item = item
        self._name = name
        self._source = source
        self._sink = sink
        self._retrier = retrier
        self._progress = progress
        self._records = records
        self._upload: StreamUpload | None = None
        self._digest: SourceDigest | None = None
        self._is_fresh = True
        """Nothing was sent yet, so nothing has to be asked."""
        self._is_opening = False
        self._shown_bytes = 0
        self._furthest_bytes = 0
        self._restarts = 0
        self._edge_request_id = ""

    def move(self) -> Step[UploadResult]:
        """Raises ObjectError or FatalError, or GenerationMismatch."""
        try:
            yield from self._resume()
            moved = yield from self._retrier.call(self._attempt, lambda: self._furthest_bytes)
        except Stopped:
            raise
        except Exception:  # whatever it was, and on its way on: what was begun is paid for until it is given up
            yield from self._abort()
            raise
        finally:
            self._progress.part(-self._shown_bytes)  # the object itself counts, if it arrived
        yield from self._records.forget(self._name)
        return moved

    def _resume(self) -> Step[None]:
        """Go on with what an earlier delivery began, where its bytes can still be proven."""
        if not (md5 := server_md5(self._item, {})):
            return
        found = yield from resume_upload(self._records, self._sink, self._item, self._name, UploadKind.STREAM)
        if found is not None:
            upload = self._sink.stream_upload(self._name, found.token, self._item.size_bytes, md5=md5)
            if not upload.needs_md5:
                self._upload, self._is_fresh = upload, False
                log.info("going on with the upload of %r that another worker began", self._name)

    def _attempt(self) -> Step[UploadResult]:
        try:
            return (yield from self._go_on())
        except (CorruptTransfer, UploadGone) as error:
            if self._is_opening:  # nothing of that answer was sent, and what was sent before is right
                raise
            self._start_again()
            if isinstance(error, UploadGone):
                raise SinkUnavailable("the upload session was gone, and is begun anew", stage=Stage.UPLOAD) from error
            if self._restarts > MAX_RESTARTS:
                raise RetriesExhausted(error, self._restarts) from error
            raise

    def _go_on(self) -> Step[UploadResult]:
        size_bytes = self._item.size_bytes
        self._is_opening = False
        position: int | DestinationObject = 0
        if self._upload is not None and not self._is_fresh:
            position = yield from self._upload.position()
        while isinstance(position, int):
            self._show(position)
            position = yield from self._send(position, min(MAX_GET_BYTES, size_bytes - position))
        return UploadResult(
            stored=position,
            proof=(yield from proven(position, self._digest, self._item, self._source, self._sink)),
            edge_request_id=self._edge_request_id,
        )

    def _send(self, start: int, count: int) -> Step[int | DestinationObject]:
        self._is_opening = True
        if self._upload is None:
            stream = yield from open_named(self._item, self._source, count)
        else:
            stream = yield from self._source.open(self._item, start, count)
        self._is_opening = False
        try:
            if self._upload is None:
                yield from self._begin(stream)
            assert self._upload is not None
            self._is_fresh = False
            return (yield from self._upload.send(stream, start, count, self._observe))
        finally:
            stream.close()

    def _begin(self, stream: ByteStream) -> Step[None]:
        item, headers = self._item, stream.headers
        self._edge_request_id = headers.get("x-amz-cf-id", "")
        md5 = server_md5(item, headers)
        resource = resource_of(item, headers)
        self._upload = upload = yield from self._sink.begin_stream(
            self._name, item.size_bytes, resource, item.replaces_generation, md5=md5
        )
        self._digest = SourceDigest(item, headers) if upload.needs_md5 else None
        if md5:
            yield from self._records.save(
                OpenUpload(
                    kind=UploadKind.STREAM,
                    bucket=self._sink.bucket,
                    name=self._name,
                    token=upload.token,
                    etag=item.etag,
                    size_bytes=item.size_bytes,
                    generation=item.replaces_generation,
                )
            )

    def _observe(self, data: bytes) -> None:
        if self._digest is not None:
            self._digest.update(data)
        self._show(self._shown_bytes + len(data))

    def _show(self, position: int) -> None:
        if position > self._shown_bytes:
            self._progress.part(position - self._shown_bytes)
            self._shown_bytes = position
        self._furthest_bytes = max(self._furthest_bytes, position)

    def _start_again(self) -> None:
        self._upload, self._digest, self._is_fresh = None, None, True
        self._progress.part(-self._shown_bytes)
        self._shown_bytes = 0
        self._restarts += 1

    def _abort(self) -> Step[None]:
        if self._upload is not None:
            try:
                yield from self._upload.abort()
            except TransferError as error:
                log.info("an unfinished upload of %r could not be given up: %s", self._name, error)
        yield from self._records.forget(self._name)
