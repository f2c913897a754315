"""One object's way: fetched through the edge, checked, uploaded under a condition, checked again."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.comparison import EVIDENCE_OF, evidence_of, holds, is_as_listed, may_be_bound
from transfer.config import MAX_OBJECT_BYTES, TransferConfig
from transfer.copying.binding import bind
from transfer.copying.containment import SYSTEMIC_ERRORS, as_object_error
from transfer.copying.in_parts import PartsLane
from transfer.copying.metadata import resource_of
from transfer.copying.parts import PartsBoard
from transfer.copying.proof import SourceDigest, require_identity, server_md5
from transfer.copying.streamed import StreamedObject, UploadResult, copy_in_one_request
from transfer.copying.uploads import UploadRecords
from transfer.errors import (
    CorruptTransfer,
    DestinationConflict,
    GenerationMismatch,
    RetriesExhausted,
    SinkUnavailable,
    Stage,
    TooLarge,
    TransferError,
)
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
from transfer.ports import ObjectSink, ObjectSource
from transfer.retry import Retrier
from transfer.steps import Pause, Step

log = logging.getLogger(__name__)

PROOF_OF = {evidence: proof or Proof.CRC32C for proof, evidence in EVIDENCE_OF.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What the lanes of one worker have in common. Thread-safe."""

    progress: Progress
    pacer: Pacer
    board: PartsBoard


class ObjectCopier:
    """Moves one object at a time. One instance a lane: it owns its connections to either side."""

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
        """Lend a hand with a large object of another lane, if there is one; whether there was. Raises SYSTEMIC_ERRORS only."""
        return self._parts.help()

    def move(self, item: ObjectMeta) -> Step[TransferOutcome]:
        """Copied, Skipped(identical) or Failed: whatever goes wrong with it is its own. Raises SYSTEMIC_ERRORS only."""
        begun = self._clock()
        self._retrier.reset()
        try:
            outcome = yield from self._move(item, begun)
        except SYSTEMIC_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - an object's outermost frame
            outcome = Failed(failure=failure_of(as_object_error(error), key=item.key, attempts=self._retrier.attempts))
        self._progress.settled(outcome)
        return outcome

    def try_source(self, item: ObjectMeta, *, has_patience: bool) -> Step[None]:
        """Read the first byte of an object, as often as it takes if there is patience. Raises what copying it would."""
        self._retrier.reset()

        def read() -> Step[None]:
            stream = yield from self._source.open(item, 0, min(1, item.size_bytes))
            stream.close()

        yield from self._retrier.call(read) if has_patience else read()

    def try_sink(self) -> Step[None]:
        """Write an empty object among the records and remove it. Raises what writing an object would."""
        self._retrier.reset()
        name = f"{self._naming.state_prefix}control/{secrets.token_hex(8)}"
        stored = yield from self._retrier.call(lambda: self._sink.put(name, b"", {"contentType": "text/plain"}, 0))
        try:
            yield from self._sink.delete(name, stored.generation)
        except (TransferError, GenerationMismatch) as error:  # a hold or a retention period keeps it: it was written
            log.info("%r stays where it is: %s", name, error)

    def _move(self, item: ObjectMeta, begun: float) -> Step[TransferOutcome]:
        if item.size_bytes > MAX_OBJECT_BYTES:
            raise TooLarge(
                f"{item.size_bytes} bytes, and Cloud Storage holds 5 TiB an object at most", stage=Stage.UPLOAD
            )
        name = self._naming.check(self._naming.name_of(item.key))
        if (wait_s := self._pacer.write_wait_s()) > 0:
            yield Pause(wait_s)
        try:
            moved = yield from self._copy_by_size(item, name)
        except GenerationMismatch:
            return (yield from self._already_there(item, name, begun))
        self._pacer.succeeded()
        stored, is_bound = moved.stored, holds(moved.stored, item)
        if not is_bound:
            stored = yield from bind(stored, moved.proof, sink=self._sink, retrier=self._retrier)
            is_bound = holds(stored, item)
        return self._copied(item, stored, moved.proof, begun, is_bound=is_bound, edge_request_id=moved.edge_request_id)

    def _copy_by_size(self, item: ObjectMeta, name: str) -> Step[UploadResult]:
        if item.size_bytes <= self._config.whole_bytes:
            return (yield from self._retrier.call(lambda: self._copy_whole(item, name)))
        if item.size_bytes < self._config.parallel_bytes:
            at_once = partial(
                copy_in_one_request, item, name, source=self._source, sink=self._sink, progress=self._progress
            )
            return (yield from self._retrier.call(at_once))
        return (yield from self._copy_large(item, name))

    def _copy_whole(self, item: ObjectMeta, name: str) -> Step[UploadResult]:
        fetched = yield from self._source.fetch(item)
        digest = SourceDigest(item, fetched.headers)
        digest.update(fetched.body)
        proof = digest.prove()
        require_identity(proof, fetched.headers)
        if digest.is_doubtful and (yield from self._source.fetch(item)).body != fetched.body:
            raise CorruptTransfer("read twice, it was not the same", stage=Stage.DOWNLOAD)
        resource = resource_of(item, fetched.headers)
        stored = yield from self._sink.put(name, fetched.body, resource, item.replaces_generation, proof=proof)
        return UploadResult(stored=stored, proof=proof, edge_request_id=fetched.headers.get("x-amz-cf-id", ""))

    def _copy_large(self, item: ObjectMeta, name: str) -> Step[UploadResult]:
        # The upload would say so too, but only after everything had been fetched.
        stored = yield from self._retrier.call(lambda: self._sink.stat(name))
        if (stored.generation if stored else 0) != item.replaces_generation:
            raise GenerationMismatch
        if self._sink.takes_parts and not server_md5(item, {}):
            moved = yield from self._parts.move(item, name)
            if moved is not None:
                return moved
        streamed = StreamedObject(
            item,
            name,
            source=self._source,
            sink=self._sink,
            retrier=self._retrier,
            progress=self._progress,
            records=self._records,
        )
        return (yield from streamed.move())

    def _already_there(self, item: ObjectMeta, name: str, begun: float) -> Step[TransferOutcome]:
        """The condition on the generation failed: by this try's lost answer, an earlier delivery, or another's hand.

        Where a worker ended, or an answer was lost, between an upload and its label, nothing there shows what it holds:
        then it is compared with the source, read once more.
        """
        tries = self._retrier.attempts
        stored = yield from self._retrier.call(lambda: self._sink.stat(name))
        if stored is not None and is_as_listed(stored, item):
            said = f"Cloud Storage said that {name!r} is not at generation {stored.generation}, and now that it is"
            raise RetriesExhausted(SinkUnavailable(said, stage=Stage.UPLOAD, http_status=412), tries)
        if stored is not None and may_be_bound(stored, item) and not holds(stored, item):
            log.info("%r is there without a proof of its bytes: the source is read once more to compare", name)
            again = yield from self._retrier.call(lambda: self._source.checksum(item, 0, item.size_bytes))
            if again == stored.crc32c:
                stored = yield from bind(stored, Proof.CRC32C, sink=self._sink, retrier=self._retrier)
                return self._copied(item, stored, Proof.CRC32C, begun, is_bound=holds(stored, item))
        if stored is not None and (evidence := evidence_of(stored, item)):
            if tries > 1 and item.size_bytes < self._config.parallel_bytes:
                return self._copied(item, stored, PROOF_OF[evidence], begun, is_bound=True)
            return Skipped(key=item.key, size_bytes=item.size_bytes, reason=SkipReason.IDENTICAL)
        raise DestinationConflict(
            f"{name!r} changed at the destination after it was listed (generation {item.replaces_generation} then,"
            f" {stored.generation if stored else 'none'} now) and holds something else; run again to copy over it",
            stage=Stage.UPLOAD,
            http_status=412,
        )

    def _copied(
        self,
        item: ObjectMeta,
        stored: DestinationObject,
        proof: Proof,
        begun: float,
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
            seconds=self._clock() - begun,
            edge_request_id=edge_request_id,
            is_bound=is_bound,
        )


def failure_of(error: TransferError, *, key: str, attempts: int = 0) -> TransferFailure:
    """The failure record of an error."""
    return TransferFailure(
        key=key,
        stage=error.stage,
        error_code=error.code,
        http_status=error.http_status,
        attempts=attempts,
        message=error.message,
    )
