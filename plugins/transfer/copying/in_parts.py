"""Copies a large object in parts: every lane that has nothing else to do fetches ranges of it and sends them.

Where the part size of the source is known, the parts are the same: the MD5s that Cloud Storage reports of them then make up
the source's ETag. Nothing becomes visible before all parts are right and joined.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.comparison import has_etag
from transfer.copying.containment import SYSTEMIC_ERRORS, as_object_error
from transfer.copying.metadata import resource_of
from transfer.copying.parts import Layout, PartsBoard, PartsInFlight, layout_of, missing_ranges
from transfer.copying.parts_completion import PartsCompletion, StartAgain
from transfer.copying.proof import UploadResult, is_encrypted, require_identity
from transfer.copying.range_reader import RangeReader
from transfer.copying.uploads import MAX_RESTARTS, OpenUpload, UploadKind, UploadRecords, resume_upload
from transfer.errors import (
    CorruptTransfer,
    GenerationMismatch,
    ObjectError,
    RetriesExhausted,
    RetryableError,
    SinkUnavailable,
    Stage,
    Stopped,
    TransferError,
    UploadGone,
)
from transfer.labels import bound_crc32c
from transfer.model import ObjectMeta, Proof, StoredPart
from transfer.ports import ObjectSink, ObjectSource, PartsUpload
from transfer.retry import Retrier
from transfer.steps import Pause, Step

log = logging.getLogger(__name__)

WAIT_S = 0.02
"""Seconds between two looks at whether the other lanes have finished their ranges."""


class PartsLane:
    """The work of one lane on objects in parts: its own objects, and ranges of those of other lanes.

    Args:
        fetch_bytes: about how many bytes one GET fetches: one part, or several of the source's own parts if they are smaller.
        board: the objects that all lanes of the worker copy in parts.
    """

    def __init__(
        self,
        *,
        source: ObjectSource,
        sink: ObjectSink,
        retrier: Retrier,
        progress: Progress,
        pacer: Pacer,
        records: UploadRecords,
        board: PartsBoard,
        fetch_bytes: int,
    ) -> None:
        self._source = source
        self._sink = sink
        self._retrier = retrier
        self._progress = progress
        self._pacer = pacer
        self._records = records
        self._board = board
        self._fetch_bytes = fetch_bytes
        self._completion = PartsCompletion(sink, retrier)

    def help(self) -> Step[bool]:
        """Copy one range of another lane's object, if there is one. Returns whether there was. Raises SYSTEMIC_ERRORS only."""
        taken = self._board.take()
        if taken is None:
            return False
        parts, numbers = taken
        self._retrier.reset()
        with RangeReader(self._source, parts.item, parts.layout) as reader:
            yield from self._copy_range(parts, numbers, reader)
        return True

    def copy(self, item: ObjectMeta, name: str) -> Step[UploadResult | None]:
        """Copy an object; None when the destination takes no parts, or the edge serves no ranges.

        Raises ObjectError, FatalError, GenerationMismatch or Stopped.
        """
        layout = layout_of(item, self._fetch_bytes)
        found = yield from resume_upload(
            self._records, self._sink, item, name, UploadKind.PARTS, part_bytes=layout.part_bytes
        )
        for restart in range(1, MAX_RESTARTS + 1):
            if restart > 1:  # another delivery may have completed it meanwhile
                yield from self._completion.check_generation(item, name)
            try:
                with RangeReader(self._source, item, layout) as reader:
                    return (yield from self._copy_once(item, name, layout, found, reader))
            except (StartAgain, UploadGone) as error:
                if restart == MAX_RESTARTS:
                    raise RetriesExhausted(_last_error(error), restart) from error
                self._retrier.attempts += 1
                found = None
        raise AssertionError("the last restart returns or raises")

    def _copy_once(
        self, item: ObjectMeta, name: str, layout: Layout, found: OpenUpload | None, reader: RangeReader
    ) -> Step[UploadResult | None]:
        """Resume the upload that was found, or start one, and take it to its end. After any error but Stopped it is aborted."""
        parts = yield from self._start(item, name, layout, found, reader)
        if parts is None:
            return None
        try:
            return (yield from self._finish(parts, reader))
        except Stopped:
            raise
        except Exception:  # of any kind, and raised again: stored parts cost money until their upload is aborted
            yield from self._abort(parts)
            raise

    def _start(
        self, item: ObjectMeta, name: str, layout: Layout, found: OpenUpload | None, reader: RangeReader
    ) -> Step[PartsInFlight | None]:
        """The upload, started with the metadata of the first response; None where parts are not possible.

        The reader is left open on the first range that is missing.
        """
        stored = {part.number: part for part in found.parts} if found else {}
        first = next(missing_ranges(layout, stored, self._fetch_bytes), None)
        headers: Mapping[str, str] | None = None
        if first is not None:
            stream = yield from self._retrier.call(lambda: reader.open(first))
            headers = stream.headers
            is_whole = len(first) == layout.count
            if found is None and not is_whole and "content-range" not in headers:
                return None  # this edge ignores ranges, and would send the whole object for each of them
            if not layout.is_sources_own or is_encrypted(headers):
                require_identity(Proof.CRC32C, headers)  # now rather than at the end: the parts cannot make up the ETag
        token = found.token if found else (yield from self._start_upload(item, name, headers or {}))
        if token is None:
            return None
        parts = PartsInFlight(
            item,
            name,
            layout,
            token,
            headers,
            bucket=self._sink.bucket,
            note=self._records.note_of(name),
            fetch_bytes=self._fetch_bytes,
            stored=stored,
        )
        if stored:
            log.info("resuming %r: %d of %d parts are stored", name, len(stored), layout.count)
            self._progress.part(parts.stored_bytes)
        yield from self._records.save(parts.record())
        return parts

    def _start_upload(self, item: ObjectMeta, name: str, headers: Mapping[str, str]) -> Step[str | None]:
        """The id of a new upload; None where the destination takes no uploads in parts."""
        resource = resource_of(item, headers)

        def start() -> Step[PartsUpload | None]:
            # An attempt whose response is lost has started an upload of unknown id. Its note stays, so that the end of the
            # run finds the upload; only the last attempt's note is removed when the object has been copied.
            yield from self._records.announce(self._sink.bucket, name)
            return (yield from self._sink.begin_parts(name, resource))

        try:
            upload = yield from self._retrier.call(start)
        except RetriesExhausted:  # the upload may exist all the same, so its note stays
            raise
        except ObjectError:
            yield from self._records.forget(name)
            raise
        if upload is not None:
            return upload.token
        yield from self._records.forget(name)
        return None

    def _finish(self, parts: PartsInFlight, reader: RangeReader) -> Step[UploadResult]:
        """Copy all parts, prove them, and join them."""
        yield from self._copy_all(parts, reader)
        is_proven = parts.match_source_etag
        if not is_proven and not parts.has_etag:
            require_identity(Proof.CRC32C, {})
        if parts.wants_md5 and not is_proven:
            is_proven = yield from self._compare_again(parts, reader)
        stored = yield from self._completion.complete(parts)
        yield from self._records.forget(parts.name)
        self._progress.part(-parts.stored_bytes)  # from here on the object itself is counted
        other = Proof.S3_CRC32C if bound_crc32c(stored.proof) or parts.source_crc32c else Proof.CRC32C
        proof = Proof.ETAG_MULTIPART if is_proven else other
        return UploadResult(stored=stored, proof=proof, edge_request_id=parts.edge_request_id)

    def _copy_all(self, parts: PartsInFlight, reader: RangeReader) -> Step[None]:
        """Copy all ranges, with the help of every lane that has nothing else to do."""
        self._board.offer(parts)
        try:
            while (numbers := parts.take()) is not None:
                yield from self._copy_range(parts, numbers, reader)
        finally:
            self._board.withdraw(parts)
        while parts.is_worked_on:
            yield Pause(WAIT_S)
        if parts.error is not None:
            raise parts.error

    def _compare_again(self, parts: PartsInFlight, reader: RangeReader) -> Step[bool]:
        """Read the source again and copy every part again that differs. Returns whether the parts make up the ETag now.

        The parts do not make up the ETag where their size was guessed wrong, or where a byte is wrong. Two reads that agree
        show that the bytes are right.
        """
        log.warning("%r: part checksums do not match the source ETag; reading the object again to compare", parts.name)
        for _ in range(MAX_RESTARTS):
            wrong = []
            for part in parts.parts():
                start = parts.layout.start(part.number)
                crc32c = yield from self._retrier.call(
                    partial(self._source.checksum, parts.item, start, part.size_bytes)
                )
                if crc32c != part.crc32c:
                    wrong.append(part)
            if not wrong:
                return False
            for part in wrong:
                log.warning("%r: part %d is different when read again, and is copied again", parts.name, part.number)
                self._progress.part(-part.size_bytes)
                parts.copy_again(part.number)
            yield from self._copy_all(parts, reader)
            if parts.match_source_etag:
                return True
        raise StartAgain(CorruptTransfer("each read of the source returned different bytes", stage=Stage.DOWNLOAD))

    def _copy_range(self, parts: PartsInFlight, numbers: range, reader: RangeReader) -> Step[None]:
        """Copy one range. Its errors are left for the lane that the object belongs to; only SYSTEMIC_ERRORS are raised."""
        error: Exception | None = None
        try:
            yield from self._send_range(parts, numbers, reader)
        except SYSTEMIC_ERRORS:
            raise
        except (UploadGone, GenerationMismatch) as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - the outermost frame of the work for an object of another lane
            error = as_object_error(caught)
        finally:
            reader.close()
            parts.release(error)

    def _send_range(self, parts: PartsInFlight, numbers: range, reader: RangeReader) -> Step[None]:
        """Send the parts of one range, each with retries of its own."""
        upload = self._sink.parts_upload(parts.name, parts.token)
        for number in numbers:
            left = range(number, numbers.stop)
            part = yield from self._retrier.call(partial(self._send_part, parts, left, reader, upload))
            self._progress.part(part.size_bytes)
            self._pacer.succeeded()
            if parts.add(part):
                yield from self._records.save(parts.record())

    def _send_part(
        self, parts: PartsInFlight, left: range, reader: RangeReader, upload: PartsUpload
    ) -> Step[StoredPart]:
        """Send the first of the parts that are left of a range. After an error the GET has to be opened again at that part."""
        number = left[0]
        stream = yield from reader.open(left)
        if not has_etag(stream.headers):
            parts.has_etag = False
        try:
            part = yield from upload.put(number, stream, parts.layout.size(number), wants_md5=parts.wants_md5)
        except BaseException:
            reader.close()
            raise
        if parts.wants_md5 and not part.md5:  # the server reported no MD5, so that now it is computed here
            reader.close()
            return (yield from self._send_part(parts, left, reader, upload))
        reader.advance()
        return part

    def _abort(self, parts: PartsInFlight) -> Step[None]:
        """Abort the upload: its stored parts cost money."""
        self._progress.part(-parts.stored_bytes)
        try:
            yield from self._retrier.call(self._sink.parts_upload(parts.name, parts.token).abort)
        except TransferError as error:
            log.warning("the unfinished upload of %r is left for the end of the run to abort: %s", parts.name, error)
        else:
            yield from self._records.forget(parts.name)


def _last_error(error: StartAgain | UploadGone) -> RetryableError:
    if isinstance(error, StartAgain):
        return error.error
    return SinkUnavailable("the upload no longer exists, though it was not completed", stage=Stage.UPLOAD)
