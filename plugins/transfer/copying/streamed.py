"""Copies a large object as one stream that can be resumed: one GET and one upload session, joined by a small buffer.

Objects whose ETag is their MD5 are copied in this way: Cloud Storage computes the MD5 of what it stores, and that needs the
bytes in order. (S3 takes 5 GiB at most in one PUT. Larger objects were uploaded in parts, and are copied in parts.)
"""

from __future__ import annotations

import logging
from enum import Enum

from transfer.accounting.progress import Progress
from transfer.config import MAX_GET_BYTES
from transfer.copying.metadata import resource_of
from transfer.copying.proof import SourceDigest, UploadResult, server_md5
from transfer.copying.stream_proof import open_identified, prove_stored
from transfer.copying.uploads import MAX_RESTARTS, OpenUpload, UploadKind, UploadRecords, resume_upload
from transfer.errors import (
    CorruptTransfer,
    RetriesExhausted,
    SinkUnavailable,
    Stage,
    Stopped,
    TransferError,
    UploadGone,
)
from transfer.model import DestinationObject, ObjectMeta
from transfer.ports import ByteStream, ObjectSink, ObjectSource, StreamUpload
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)


class StreamState(Enum):
    """Where a streamed copy stands, and so what it does next and what an error means.

        state         next                                         after CorruptTransfer or UploadGone
        NOT_STARTED   OPENING at byte 0                            –
        INTERRUPTED   asks the upload for its position:            NOT_STARTED
                      OPENING there, or STORED
        OPENING       opens a GET at the position: SENDING         as before the attempt: no byte of it was sent
        SENDING       sends its bytes, after starting the upload   NOT_STARTED
                      if there is none: OPENING at the position
                      reached, or STORED
        STORED        proves the stored object: the copy is done   NOT_STARTED

    After any other error the next attempt begins as INTERRUPTED, or as NOT_STARTED where there is no upload.
    """

    NOT_STARTED = "not started"
    """Cloud Storage has no upload of the object."""
    INTERRUPTED = "interrupted"
    """Cloud Storage has an upload. It has to be asked how many bytes it holds."""
    OPENING = "opening"
    """A GET for the next bytes is being opened."""
    SENDING = "sending"
    """Bytes are read from the source and sent to the upload."""
    STORED = "stored"
    """Cloud Storage has completed the object, which has to be proven."""


class StreamedObject:
    """One large object, copied on one lane; after an error the copy is resumed where the upload stands."""

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
        self._state = StreamState.NOT_STARTED
        self._upload: StreamUpload | None = None
        self._digest: SourceDigest | None = None
        self._shown_bytes = 0
        self._furthest_bytes = 0
        self._restarts = 0
        self._edge_request_id = ""

    def copy(self) -> Step[UploadResult]:
        """Copy the object. Raises ObjectError, FatalError, GenerationMismatch or Stopped."""
        try:
            yield from self._resume()
            result = yield from self._retrier.call(self._attempt, lambda: self._furthest_bytes)
        except Stopped:
            raise
        except Exception:  # of any kind, and raised again: an upload that stays open costs money until it is aborted
            yield from self._abort()
            raise
        finally:
            self._progress.part(-self._shown_bytes)  # from here on the object itself is counted, if it was copied
        yield from self._records.forget(self._name)
        return result

    def _resume(self) -> Step[None]:
        """Take over the upload that an earlier delivery left, where its bytes can still be proven."""
        if not (md5 := server_md5(self._item, {})):
            return
        found = yield from resume_upload(self._records, self._sink, self._item, self._name, UploadKind.STREAM)
        if found is not None:
            upload = self._sink.stream_upload(self._name, found.token, self._item.size_bytes, md5=md5)
            if not upload.needs_md5:
                self._upload = upload
                log.info("resuming the upload of %r that another worker started", self._name)

    def _attempt(self) -> Step[UploadResult]:
        self._state = StreamState.NOT_STARTED if self._upload is None else StreamState.INTERRUPTED
        try:
            stored = yield from self._send_all()
            self._state = StreamState.STORED
            proof = yield from prove_stored(stored, self._digest, self._item, self._source, self._sink)
        except (CorruptTransfer, UploadGone) as error:
            if self._state is StreamState.OPENING:
                raise
            self._start_again()
            if isinstance(error, UploadGone):
                raise SinkUnavailable(
                    "the upload session no longer exists; the upload is started again", stage=Stage.UPLOAD
                ) from error
            if self._restarts > MAX_RESTARTS:
                raise RetriesExhausted(error, self._restarts) from error
            raise
        return UploadResult(stored=stored, proof=proof, edge_request_id=self._edge_request_id)

    def _send_all(self) -> Step[DestinationObject]:
        """Send what the upload does not hold yet, in as many GETs as it takes."""
        position: int | DestinationObject = 0
        if self._upload is not None:
            position = yield from self._upload.position()
        while isinstance(position, int):
            self._show(position)
            count = min(MAX_GET_BYTES, self._item.size_bytes - position)
            self._state = StreamState.OPENING
            stream = yield from self._open(position, count)
            self._state = StreamState.SENDING
            try:
                upload = self._upload or (yield from self._start_upload(stream))
                position = yield from upload.send(stream, position, count, self._observe)
            finally:
                stream.close()
        return position

    def _open(self, start: int, count: int) -> Step[ByteStream]:
        if self._upload is None:
            return open_identified(self._item, self._source, count)
        return self._source.open(self._item, start, count)

    def _start_upload(self, stream: ByteStream) -> Step[StreamUpload]:
        """Start the upload with the metadata of the first response, and record it for another worker to resume."""
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
        return upload

    def _observe(self, data: bytes) -> None:
        if self._digest is not None:
            self._digest.update(data)
        self._show(self._shown_bytes + len(data))

    def _show(self, position: int) -> None:
        """Count the bytes up to a position as progress, unless they are counted already."""
        if position > self._shown_bytes:
            self._progress.part(position - self._shown_bytes)
            self._shown_bytes = position
        self._furthest_bytes = max(self._furthest_bytes, position)

    def _start_again(self) -> None:
        """Forget the upload and what is known of its bytes."""
        self._upload, self._digest = None, None
        self._progress.part(-self._shown_bytes)
        self._shown_bytes = 0
        self._restarts += 1

    def _abort(self) -> Step[None]:
        if self._upload is not None:
            try:
                yield from self._upload.abort()
            except TransferError as error:
                log.info("an unfinished upload of %r could not be aborted: %s", self._name, error)
        yield from self._records.forget(self._name)
