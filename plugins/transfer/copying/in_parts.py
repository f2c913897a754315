"""A large object in parts, many at a time: ranges of it are fetched and sent by every lane that has nothing else to do.

The parts are the source's own wherever its writer's part size can be told: the MD5s that Cloud Storage names for them
then make up the source's ETag. Nothing becomes visible before all of them are right and joined.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.comparison import has_etag
from transfer.copying.binding import as_announced
from transfer.copying.containment import SYSTEMIC_ERRORS, as_object_error
from transfer.copying.metadata import resource_of
from transfer.copying.parts import PartsBoard, PartsInFlight, layout_of, ranges_to_do
from transfer.copying.proof import is_encrypted, multipart_etag, require_identity, source_crc32c
from transfer.copying.streamed import MAX_RESTARTS, UploadResult
from transfer.copying.uploads import UploadKind, UploadRecords, resume_upload
from transfer.errors import (
    CorruptTransfer,
    DestinationConflict,
    GenerationMismatch,
    ObjectError,
    RetriesExhausted,
    SinkUnavailable,
    Stage,
    Stopped,
    TransferError,
    UploadGone,
)
from transfer.labels import bound_crc32c
from transfer.model import DestinationObject, ObjectMeta, Proof, StoredPart
from transfer.ports import ByteStream, ObjectSink, ObjectSource, PartsUpload
from transfer.retry import Retrier
from transfer.steps import Pause, Step

log = logging.getLogger(__name__)

WAIT_S = 0.02
MAX_LOOK_AGE_S = 5.0
"""An upload in parts is not completed on a look at the destination that is older: it was in time, and the machine was not."""
_Stream = ByteStream | None


class _StartAgain(Exception):
    """What no retry mends: the upload has to begin anew."""

    def __init__(self, error: CorruptTransfer) -> None:
        super().__init__(error.message)
        self.error = error


class PartsLane:
    """What one lane does for objects in parts: its own and others'.

    Args:
        fetch_bytes: how much one GET fetches: one part, or some of the source's own if they are smaller.
        board: where the lanes of a worker find each other's objects.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._source = source
        self._sink = sink
        self._retrier = retrier
        self._progress = progress
        self._pacer = pacer
        self._records = records
        self._board = board
        self._fetch_bytes = fetch_bytes

    def help(self) -> Step[bool]:
        """Take one range of some object in hand, if there is one; whether there was. Raises SYSTEMIC_ERRORS only."""
        taken = self._board.take()
        if taken is None:
            return False
        self._retrier.reset()
        yield from self._work(*taken, None)
        return True

    def move(self, item: ObjectMeta, name: str) -> Step[UploadResult | None]:
        """All of it; None when the destination takes no parts, or the edge gives none.

        Raises ObjectError, FatalError, or GenerationMismatch.
        """
        for restart in range(1, MAX_RESTARTS + 1):
            if restart > 1:  # another delivery may have completed it meanwhile
                yield from self._check_generation(item, name)
            begun = yield from self._begin(item, name, may_go_on=restart == 1)
            if begun is None:
                return None
            parts, stream = begun
            try:
                return (yield from self._finish(parts, stream))
            except (_StartAgain, UploadGone) as error:
                yield from self._abort(parts)
                if restart == MAX_RESTARTS:
                    last = error.error if isinstance(error, _StartAgain) else _gone()
                    raise RetriesExhausted(last, restart) from error
                self._retrier.attempts += 1
            except Stopped:
                raise
            except Exception:  # whatever it was, and on its way on: what was begun is paid for until it is given up
                yield from self._abort(parts)
                raise
        raise AssertionError("the last restart returns or raises")

    def _begin(self, item: ObjectMeta, name: str, *, may_go_on: bool) -> Step[tuple[PartsInFlight, _Stream] | None]:
        """The upload, new or an earlier delivery's, and the stream of its first range that is to do."""
        layout = layout_of(item, self._fetch_bytes)
        found = None
        if may_go_on:
            found = yield from resume_upload(
                self._records, self._sink, item, name, UploadKind.PARTS, part_bytes=layout.part_bytes
            )
        stored = {part.number: part for part in found.parts} if found else {}
        first = next(ranges_to_do(layout, stored, self._fetch_bytes), None)
        stream: _Stream = None
        headers: Mapping[str, str] = {}
        if first is not None:
            start, end = layout.start(first[0]), layout.end(first[-1])
            stream = yield from self._retrier.call(lambda: self._source.open(item, start, end - start))
            headers = stream.headers
            if found is None and end - start < item.size_bytes and "content-range" not in headers:
                stream.close()  # this edge knows no ranges, and would send all of it for each of them
                return None
        try:
            if stream is not None and not (layout.is_sources_own and not is_encrypted(headers)):
                require_identity(Proof.CRC32C, headers)  # now and not at the end: these parts cannot make up its ETag
            token = found.token if found else (yield from self._new_upload(item, name, headers))
        except BaseException:
            if stream is not None:
                stream.close()
            raise
        if token is None:
            if stream is not None:
                stream.close()
            return None
        parts = PartsInFlight(
            item,
            name,
            layout,
            token,
            bucket=self._sink.bucket,
            note=self._records.note_of(name),
            fetch_bytes=self._fetch_bytes,
            stored=stored,
            wants_md5=layout.is_sources_own and not is_encrypted(headers),
            source_crc32c=source_crc32c(headers),
            edge_request_id=headers.get("x-amz-cf-id", ""),
            has_etag=stream is None or has_etag(headers),
        )
        if stored:
            log.info("going on with %r: %d of %d parts are stored", name, len(stored), layout.count)
            self._progress.part(parts.stored_bytes)
        yield from self._records.save(parts.record())
        return parts, stream

    def _new_upload(self, item: ObjectMeta, name: str, headers: Mapping[str, str]) -> Step[str | None]:
        resource = resource_of(item, headers)

        def begin() -> Step[PartsUpload | None]:
            # A try whose answer is lost has begun an upload that nobody knows the id of: its note stays behind, by which
            # whoever closes the run finds it, and only the last try's goes when the object has arrived.
            yield from self._records.about_to_begin(self._sink.bucket, name)
            return (yield from self._sink.begin_parts(name, resource))

        try:
            upload = yield from self._retrier.call(begin)
        except RetriesExhausted:  # it may have been begun all the same, with its answer lost: the note stays
            raise
        except ObjectError:
            yield from self._records.forget(name)
            raise
        if upload is not None:
            return upload.token
        yield from self._records.forget(name)
        return None

    def _finish(self, parts: PartsInFlight, stream: _Stream) -> Step[UploadResult]:
        """Send all parts, look once more, join them."""
        yield from self._send_all(parts, stream)
        is_proven = _has_the_etag(parts)
        if not is_proven and not parts.has_etag:
            require_identity(Proof.CRC32C, {})
        if parts.wants_md5 and not is_proven:
            yield from self._read_again(parts)
            is_proven = _has_the_etag(parts)
        stored = yield from self._retrier.call(lambda: self._complete(parts))
        yield from self._check_replaced(parts, stored)
        yield from self._records.forget(parts.name)
        self._progress.part(-parts.stored_bytes)  # from here on the object itself counts
        other = Proof.S3_CRC32C if bound_crc32c(stored.proof) or parts.source_crc32c else Proof.CRC32C
        proof = Proof.ETAG_MULTIPART if is_proven else other
        return UploadResult(stored=stored, proof=proof, edge_request_id=parts.edge_request_id)

    def _check_generation(self, item: ObjectMeta, name: str) -> Step[None]:
        found = yield from self._retrier.call(lambda: self._sink.stat(name))
        if (found.generation if found else 0) != item.replaces_generation:
            raise GenerationMismatch

    def _send_all(self, parts: PartsInFlight, stream: _Stream) -> Step[None]:
        """With the help of every lane that has nothing else to do."""
        self._board.offer(parts)
        try:
            while (numbers := parts.take()) is not None:
                yield from self._work(parts, numbers, stream)
                stream = None
        finally:
            self._board.withdraw(parts)
            if stream is not None:
                stream.close()
        while parts.is_worked_on:
            yield Pause(WAIT_S)
        if parts.error is not None:
            raise parts.error

    def _read_again(self, parts: PartsInFlight) -> Step[None]:
        """The parts do not make up the ETag: by another part size than was guessed, or by a wrong byte. Twice alike is right."""
        log.warning(
            "%r: its parts do not make up the source's ETag; all of it is read once more to compare", parts.name
        )
        for _ in range(MAX_RESTARTS):
            wrong = []
            for part in parts.parts():
                start = parts.layout.start(part.number)
                again = yield from self._retrier.call(
                    partial(self._source.checksum, parts.item, start, part.size_bytes)
                )
                if again != part.crc32c:
                    wrong.append(part)
            if not wrong:
                return
            for part in wrong:
                log.warning("%r: part %d reads differently now and is sent again", parts.name, part.number)
                self._progress.part(-part.size_bytes)
                parts.redo(part.number)
            yield from self._send_all(parts, None)
            if _has_the_etag(parts):
                return
        raise _StartAgain(CorruptTransfer("it reads differently every time", stage=Stage.DOWNLOAD))

    def _complete(self, parts: PartsInFlight) -> Step[DestinationObject]:
        """Uploads in parts know no conditions: what somebody else wrote meanwhile is looked for right before each try."""
        upload = self._sink.parts_upload(parts.name, parts.token)
        known = yield from self._sink.replaced_versions(parts.name)
        asked_at_s = self._clock()
        found = yield from self._sink.stat(parts.name)
        if (found.generation if found else 0) == parts.item.replaces_generation:
            parts.known_generations = frozenset(kept.generation for kept in known)
        elif (yield from upload.is_open()):  # otherwise an earlier try completed it, its answer lost
            raise GenerationMismatch
        if (age_s := self._clock() - asked_at_s) > MAX_LOOK_AGE_S:
            raise SinkUnavailable(f"what is at the destination was looked at {age_s:.0f} s ago", stage=Stage.UPLOAD)
        try:
            stored = yield from upload.complete(parts.parts(), parts.source_crc32c)
            yield from as_announced(stored, self._sink)  # another worker began it, and knew what S3 says
            return stored
        except CorruptTransfer as error:
            raise _StartAgain(error) from error

    def _check_replaced(self, parts: PartsInFlight, stored: DestinationObject) -> Step[None]:
        """Between the look and the end somebody else may have written all the same: that object is not this run's to replace.

        It is found where the bucket keeps what is replaced. The copy then is no copy: its label is not bound to its bytes.
        """
        if parts.known_generations is None:  # another worker completed it
            return
        kept = yield from self._retrier.call(lambda: self._sink.replaced_versions(parts.name))
        theirs = [
            version
            for version in kept
            if parts.item.replaces_generation < version.generation < stored.generation
            and version.generation not in parts.known_generations
            and (version.size_bytes, version.crc32c) != (stored.size_bytes, stored.crc32c)
            and version.source_etag != parts.item.etag  # another delivery of the same
        ]
        if not theirs:
            return
        last = max(theirs, key=lambda version: version.generation)
        try:
            yield from self._sink.set_proof(stored, f"replaced generation {last.generation}")
        except (TransferError, GenerationMismatch) as error:
            log.warning("%r cannot be marked as what replaced something else: %s", parts.name, error)
        raise DestinationConflict(
            f"{parts.name!r} was written by somebody else (generation {last.generation}) while its parts were joined, which"
            f" knows no conditions: generation {stored.generation} now stands in its place. To have the other one back:"
            f" {last.restored_by}",
            stage=Stage.UPLOAD,
        )

    def _abort(self, parts: PartsInFlight) -> Step[None]:
        """Parts are paid for until their upload is given up."""
        self._progress.part(-parts.stored_bytes)
        try:
            yield from self._retrier.call(self._sink.parts_upload(parts.name, parts.token).abort)
        except TransferError as error:
            log.warning("the unfinished upload of %r is left to the end of the run: %s", parts.name, error)
        else:
            yield from self._records.forget(parts.name)

    def _work(self, parts: PartsInFlight, numbers: range, stream: ByteStream | None) -> Step[None]:
        """One range; what goes wrong with it is told to whom the object belongs."""
        error: Exception | None = None
        try:
            yield from self._send(parts, numbers, stream)
        except SYSTEMIC_ERRORS:
            raise
        except (UploadGone, GenerationMismatch) as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - the outermost frame of work for an object of another lane
            error = as_object_error(caught)
        finally:
            parts.release(error)

    def _send(self, parts: PartsInFlight, numbers: range, stream: ByteStream | None) -> Step[None]:
        """Part after part out of one GET; after an error the GET begins again at the part that broke."""
        upload, layout = self._sink.parts_upload(parts.name, parts.token), parts.layout
        end = layout.end(numbers[-1])

        def attempt(number: int) -> Step[StoredPart]:
            nonlocal stream
            if stream is None:
                stream = yield from self._source.open(parts.item, layout.start(number), end - layout.start(number))
                if not has_etag(stream.headers):
                    parts.has_etag = False
            try:
                part = yield from upload.put(number, stream, layout.size(number), wants_md5=parts.wants_md5)
            except BaseException:
                stream.close()
                stream = None
                raise
            if parts.wants_md5 and not part.md5:
                stream.close()
                stream = None
                part = yield from attempt(number)
            return part

        try:
            for number in numbers:
                part = yield from self._retrier.call(partial(attempt, number))
                self._progress.part(part.size_bytes)
                self._pacer.succeeded()
                if parts.add(part):
                    yield from self._records.save(parts.record())
        finally:
            if stream is not None:
                stream.close()


def _has_the_etag(parts: PartsInFlight) -> bool:
    """Whether the MD5s of the parts make up the source's ETag."""
    md5s = [part.md5 for part in parts.parts()]
    return parts.layout.is_sources_own and all(md5s) and multipart_etag(md5s) == parts.item.etag


def _gone() -> SinkUnavailable:
    return SinkUnavailable("the upload was gone before it was complete", stage=Stage.UPLOAD)
