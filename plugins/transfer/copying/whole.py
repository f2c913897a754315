"""Copies one object: chooses how by its size, and finds out what is there where the destination has changed meanwhile.

size                     how                                                               module
up to whole_bytes        fetched into memory, proven, and stored in one request            one_request
below parallel_bytes     one GET streamed into one upload                                  one_request
larger, ETag not an MD5  ranges of the source's own parts into an upload in parts          in_parts
larger, otherwise        one GET streamed into an upload that can be resumed               streamed
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.accounting.traffic import TrafficMeter
from transfer.comparison import EVIDENCE_OF, evidence_of, holds, is_as_listed, may_be_bound
from transfer.config import MAX_OBJECT_BYTES, TransferConfig
from transfer.copying.binding import bind
from transfer.copying.containment import SYSTEMIC_ERRORS, as_object_error, failure_of
from transfer.copying.in_parts import PartsLane
from transfer.copying.one_request import copy_in_memory, copy_in_one_request
from transfer.copying.parts import PartsBoard
from transfer.copying.proof import UploadResult, server_md5
from transfer.copying.streamed import StreamedObject
from transfer.copying.uploads import UploadRecords
from transfer.errors import (
    DestinationConflict,
    GenerationMismatch,
    RetriesExhausted,
    SinkUnavailable,
    Stage,
    TooLarge,
    TransferError,
)
from transfer.model import Copied, DestinationObject, Failed, ObjectMeta, Proof, Skipped, SkipReason, TransferOutcome
from transfer.naming import Naming
from transfer.ports import ObjectSink, ObjectSource
from transfer.retry import Retrier
from transfer.steps import Pause, Step

log = logging.getLogger(__name__)

_PROOF_OF_EVIDENCE = {evidence: proof or Proof.CRC32C for proof, evidence in EVIDENCE_OF.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What all lanes of one worker have in common. Thread-safe."""

    progress: Progress
    pacer: Pacer
    board: PartsBoard
    traffic: TrafficMeter = field(default_factory=TrafficMeter)


class ObjectCopier:
    """Copies one object at a time. One instance per lane, with connections of its own to both sides."""

    def __init__(
        self,
        source: ObjectSource,
        sink: ObjectSink,
        *,
        naming: Naming,
        retrier: Retrier,
        config: TransferConfig,
        records: UploadRecords,
        share: WorkerContext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._sink = sink
        self._naming = naming
        self._retrier = retrier
        self._config = config
        self._records = records
        self._progress = share.progress
        self._pacer = share.pacer
        self._clock = clock
        self._parts = PartsLane(
            source=source,
            sink=sink,
            retrier=retrier,
            progress=share.progress,
            pacer=share.pacer,
            records=records,
            board=share.board,
            fetch_bytes=config.part_size_bytes,
        )

    def help(self) -> Step[bool]:
        """Copy one range of a large object of another lane, if there is one. Returns whether there was.

        Raises SYSTEMIC_ERRORS only: other errors are left for the lane that the object belongs to.
        """
        return self._parts.help()

    def copy(self, item: ObjectMeta) -> Step[TransferOutcome]:
        """Copy an object: Copied, Skipped (identical) or Failed, whatever goes wrong with it. Raises SYSTEMIC_ERRORS only."""
        started_at_s = self._clock()
        self._retrier.reset()
        try:
            outcome = yield from self._copy(item, started_at_s)
        except SYSTEMIC_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - an object's outermost frame
            outcome = Failed(failure=failure_of(as_object_error(error), key=item.key, attempts=self._retrier.attempts))
        self._progress.settled(outcome)
        return outcome

    def probe_source(self, item: ObjectMeta, *, with_retries: bool) -> Step[None]:
        """Read the first byte of an object. Raises the error that copying it would meet."""
        self._retrier.reset()

        def read() -> Step[None]:
            stream = yield from self._source.open(item, 0, min(1, item.size_bytes))
            stream.close()

        yield from self._retrier.call(read) if with_retries else read()

    def probe_sink(self) -> Step[None]:
        """Write an empty object among the records, and delete it. Raises the error that writing an object would meet."""
        self._retrier.reset()
        name = f"{self._naming.state_prefix}control/{secrets.token_hex(8)}"
        stored = yield from self._retrier.call(lambda: self._sink.put(name, b"", {"contentType": "text/plain"}, 0))
        try:
            yield from self._sink.delete(name, stored.generation)
        except (
            TransferError,
            GenerationMismatch,
        ) as error:  # e.g. a retention period: it could be written all the same
            log.info("the empty object %r could not be deleted after a check of the destination: %s", name, error)

    def _copy(self, item: ObjectMeta, started_at_s: float) -> Step[TransferOutcome]:
        if item.size_bytes > MAX_OBJECT_BYTES:
            raise TooLarge(
                f"it has {item.size_bytes:,} bytes, and Cloud Storage holds at most 5 TiB per object",
                stage=Stage.UPLOAD,
            )
        name = self._naming.check(self._naming.name_of(item.key))
        if (wait_s := self._pacer.write_wait_s()) > 0:
            yield Pause(wait_s)
        try:
            result = yield from self._copy_by_size(item, name)
        except GenerationMismatch:
            return (yield from self._resolve_mismatch(item, name, started_at_s))
        self._pacer.succeeded()
        stored, is_bound = result.stored, holds(result.stored, item)
        if not is_bound:
            stored = yield from bind(stored, result.proof, sink=self._sink, retrier=self._retrier)
            is_bound = holds(stored, item)
        return self._copied(
            item, stored, result.proof, started_at_s, is_bound=is_bound, edge_request_id=result.edge_request_id
        )

    def _copy_by_size(self, item: ObjectMeta, name: str) -> Step[UploadResult]:
        source, sink = self._source, self._sink
        if item.size_bytes <= self._config.whole_bytes:
            copy = partial(copy_in_memory, item, name, source=source, sink=sink)
        elif item.size_bytes < self._config.parallel_bytes:
            copy = partial(copy_in_one_request, item, name, source=source, sink=sink, progress=self._progress)
        else:
            return (yield from self._copy_large(item, name))
        return (yield from self._retrier.call(copy))

    def _copy_large(self, item: ObjectMeta, name: str) -> Step[UploadResult]:
        # The upload's own precondition would fail, too, but only after everything had been fetched.
        stored = yield from self._retrier.call(lambda: self._sink.stat(name))
        if (stored.generation if stored else 0) != item.replaces_generation:
            raise GenerationMismatch
        if self._sink.takes_parts and not server_md5(item, {}):
            result = yield from self._parts.copy(item, name)
            if result is not None:
                return result
        streamed = StreamedObject(
            item,
            name,
            source=self._source,
            sink=self._sink,
            retrier=self._retrier,
            progress=self._progress,
            records=self._records,
        )
        return (yield from streamed.copy())

    def _resolve_mismatch(self, item: ObjectMeta, name: str, started_at_s: float) -> Step[TransferOutcome]:
        """The outcome where the destination is not at the listed generation: it may hold a copy of the object already.

        An earlier attempt or an earlier delivery may have stored it, and its response may have been lost. Where a worker ended
        between an upload and its label, nothing there shows what it holds: the source is then read again to compare.
        """
        attempts = self._retrier.attempts
        stored = yield from self._retrier.call(lambda: self._sink.stat(name))
        if stored is not None and is_as_listed(stored, item):
            raise RetriesExhausted(
                SinkUnavailable(
                    f"Cloud Storage answered that {name!r} was not at generation {stored.generation}, and now that it is",
                    stage=Stage.UPLOAD,
                    http_status=412,
                ),
                attempts,
            )
        if stored is not None and may_be_bound(stored, item) and not holds(stored, item):
            log.info("%r is at the destination without a proof of its bytes: reading the source again to compare", name)
            crc32c = yield from self._retrier.call(lambda: self._source.checksum(item, 0, item.size_bytes))
            if crc32c == stored.crc32c:
                stored = yield from bind(stored, Proof.CRC32C, sink=self._sink, retrier=self._retrier)
                return self._copied(item, stored, Proof.CRC32C, started_at_s, is_bound=holds(stored, item))
        if stored is not None and (evidence := evidence_of(stored, item)):
            if attempts > 1 and item.size_bytes < self._config.parallel_bytes:
                return self._copied(item, stored, _PROOF_OF_EVIDENCE[evidence], started_at_s, is_bound=True)
            return Skipped(key=item.key, size_bytes=item.size_bytes, reason=SkipReason.IDENTICAL)
        raise DestinationConflict(
            f"{name!r} changed at the destination after it was listed (generation {item.replaces_generation} then,"
            f" {stored.generation if stored else 'none'} now) and holds something else; run again to overwrite it",
            stage=Stage.UPLOAD,
            http_status=412,
        )

    def _copied(
        self,
        item: ObjectMeta,
        stored: DestinationObject,
        proof: Proof,
        started_at_s: float,
        *,
        is_bound: bool,
        edge_request_id: str = "",
    ) -> Copied:
        return Copied(
            key=item.key,
            size_bytes=item.size_bytes,
            proof=proof,
            crc32c=stored.crc32c,
            generation=stored.generation,
            attempts=self._retrier.attempts,
            seconds=self._clock() - started_at_s,
            edge_request_id=edge_request_id,
            is_bound=is_bound,
        )
