"""One object's way: fetched through the edge, checked, uploaded under a condition, checked again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from transfer.comparison import holds
from transfer.errors import (
    CorruptTransfer,
    DestinationConflict,
    ObjectError,
    RetriesExhausted,
    Stage,
    TooLarge,
    TransferError,
)
from transfer.metadata import resource_of
from transfer.model import (
    Copied,
    DestinationObject,
    Failed,
    ObjectMeta,
    Proof,
    Skipped,
    SkipReason,
    TransferFailure,
    TransferOutcome,
)
from transfer.naming import Naming
from transfer.ports import Fetched, GenerationMismatch, ObjectSink, ObjectSource, Upload
from transfer.progress import Progress
from transfer.proof import SourceDigest
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)

MAX_OBJECT_BYTES = 5 * 1024**4
"""Cloud Storage, "Quotas and limits": 5 TiB."""
MAX_RESTARTS = 3
"""Times a large object is begun anew when its MD5 turns out wrong at the end."""


class ObjectMover:
    """Moves one object at a time. One instance a lane: it owns its connections to either side."""

    def __init__(
        self,
        source: ObjectSource,
        sink: ObjectSink,
        *,
        naming: Naming,
        retrier: Retrier,
        part_size_bytes: int,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._sink = sink
        self._naming = naming
        self._retrier = retrier
        self._part_size_bytes = part_size_bytes
        self._progress = progress
        self._clock = clock

    def move(self, item: ObjectMeta) -> Step[TransferOutcome]:
        """Copied, Skipped(identical) or Failed. Raises FatalError only."""
        begun = self._clock()
        self._retrier.reset()
        try:
            outcome = yield from self._move(item, begun)
        except ObjectError as error:
            outcome = Failed(failure=failure_of(error, key=item.key, attempts=self._retrier.attempts))
        self._progress.settled(outcome)
        return outcome

    def _move(self, item: ObjectMeta, begun: float) -> Step[TransferOutcome]:
        if item.size_bytes > MAX_OBJECT_BYTES:
            raise TooLarge(
                f"{item.size_bytes} bytes, and Cloud Storage holds 5 TiB an object at most", stage=Stage.UPLOAD
            )
        name = self._naming.check(self._naming.name_of(item.key))
        try:
            if item.size_bytes <= self._part_size_bytes:
                fetched, proof, stored = yield from self._retrier.call(lambda: self._move_whole(item, name))
            else:
                fetched, proof, stored = yield from self._move_parts(item, name)
        except GenerationMismatch:
            return (yield from self._already_there(item, name, begun))
        return Copied(
            key=item.key,
            size_bytes=item.size_bytes,
            proof=proof,
            crc32c=stored.crc32c,
            generation=stored.generation,
            attempts=self._retrier.attempts,
            seconds=self._clock() - begun,
            edge_request_id=fetched.headers.get("x-amz-cf-id", ""),
        )

    def _move_whole(self, item: ObjectMeta, name: str) -> Step[tuple[Fetched, Proof, DestinationObject]]:
        fetched = yield from self._source.fetch(item)
        digest = SourceDigest(item, fetched.headers)
        digest.update(fetched.body)
        proof = digest.prove()
        stored = yield from self._sink.put(
            name, fetched.body, resource_of(item, fetched.headers), item.replaces_generation
        )
        return fetched, proof, stored

    def _move_parts(self, item: ObjectMeta, name: str) -> Step[tuple[Fetched, Proof, DestinationObject]]:
        # The upload would say so too, but only after everything had been fetched.
        stored = yield from self._retrier.call(lambda: self._sink.stat(name))
        if (stored.generation if stored else 0) != item.replaces_generation:
            raise GenerationMismatch
        for restart in range(1, MAX_RESTARTS + 1):
            parts = _Parts(item, name, self._source, self._sink, self._retrier, self._progress)
            try:
                return (yield from parts.stream(self._part_size_bytes))
            except _Spoilt as spoilt:
                yield from parts.give_up()
                if restart == MAX_RESTARTS:
                    raise RetriesExhausted(spoilt.error, restart) from spoilt.error
                self._retrier.attempts += 1
            except (TransferError, GenerationMismatch):
                yield from parts.give_up()
                raise
        raise AssertionError("the last restart returns or raises")

    def _already_there(self, item: ObjectMeta, name: str, begun: float) -> Step[TransferOutcome]:
        """The condition on the generation failed: by this try's lost answer, an earlier delivery, or another's hand."""
        tries = self._retrier.attempts
        stored = yield from self._retrier.call(lambda: self._sink.stat(name))
        if stored is not None and holds(stored, item):
            if tries > 1 and item.size_bytes <= self._part_size_bytes:
                return Copied(
                    key=item.key,
                    size_bytes=item.size_bytes,
                    proof=Proof.ETAG_MD5 if stored.md5 == item.etag else Proof.CRC32C,
                    crc32c=stored.crc32c,
                    generation=stored.generation,
                    attempts=tries,
                    seconds=self._clock() - begun,
                )
            return Skipped(key=item.key, size_bytes=item.size_bytes, reason=SkipReason.IDENTICAL)
        raise DestinationConflict(
            f"{name!r} changed at the destination after it was listed (generation {item.replaces_generation} then,"
            f" {stored.generation if stored else 'none'} now) and holds something else; run again to copy over it",
            stage=Stage.UPLOAD,
            http_status=412,
        )


class _Spoilt(Exception):
    """An upload that no retry of a part can mend: it has to begin anew."""

    def __init__(self, error: CorruptTransfer) -> None:
        super().__init__(error.message)
        self.error = error


class _Parts:
    """One large object on its way, part after part, each in memory only while it is sent."""

    def __init__(
        self,
        item: ObjectMeta,
        name: str,
        source: ObjectSource,
        sink: ObjectSink,
        retrier: Retrier,
        progress: Progress,
    ) -> None:
        self._item = item
        self._name = name
        self._source = source
        self._sink = sink
        self._retrier = retrier
        self._progress = progress
        self._upload: Upload | None = None
        self._shown_bytes = 0

    def stream(self, part_size_bytes: int) -> Step[tuple[Fetched, Proof, DestinationObject]]:
        """Nothing is visible before the last part is accepted, and that is sent only when the ETag is right."""
        item, digest = self._item, None
        for start in range(0, item.size_bytes, part_size_bytes):
            count = min(part_size_bytes, item.size_bytes - start)
            fetched = yield from self._fetch(start, count)
            if digest is None or self._upload is None:
                digest = SourceDigest(item, fetched.headers)
                self._upload = yield from self._begin(fetched)
            digest.update(fetched.body)
            is_last = start + count == item.size_bytes
            try:
                proof = digest.prove() if is_last else None
            except CorruptTransfer as error:
                raise _Spoilt(error) from error
            stored = yield from self._write(self._upload, fetched.body, is_last)
            if proof is not None and stored is not None:
                self._progress.part(-self._shown_bytes)  # from here on the object itself counts
                return fetched, proof, stored
            self._progress.part(count)
            self._shown_bytes += count
        raise AssertionError("the last part's answer describes the object")

    def give_up(self) -> Step[None]:
        """Give back what an unfinished upload holds. (One that a stop leaves open expires by itself and costs nothing.)"""
        self._progress.part(-self._shown_bytes)
        if self._upload is not None:
            try:
                yield from self._upload.abort()
            except TransferError as error:
                log.info("an unfinished upload of %r could not be given up: %s", self._name, error)

    def _fetch(self, start: int, count: int) -> Step[Fetched]:
        return self._retrier.call(lambda: self._source.fetch_range(self._item, start, count))

    def _begin(self, first: Fetched) -> Step[Upload]:
        resource = resource_of(self._item, first.headers)
        generation = self._item.replaces_generation
        return self._retrier.call(lambda: self._sink.begin(self._name, self._item.size_bytes, resource, generation))

    def _write(self, upload: Upload, part: memoryview, is_last: bool) -> Step[DestinationObject | None]:
        def attempt() -> Step[DestinationObject | None]:
            try:
                return (yield from upload.write(part, is_last=is_last))
            except CorruptTransfer as error:
                raise _Spoilt(error) from error

        return self._retrier.call(attempt)


def failure_of(error: ObjectError, *, key: str, attempts: int = 0) -> TransferFailure:
    """The failure record of an error."""
    return TransferFailure(
        key=key,
        stage=error.stage,
        error_code=error.code,
        http_status=error.http_status,
        attempts=attempts,
        message=error.message,
    )
