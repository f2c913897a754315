"""Joins the parts of an upload, and finds out whether another writer wrote the same name meanwhile.

Completing an upload in parts takes no precondition (Cloud Storage, "XML API multipart uploads"). So the destination is checked
right before, and where the bucket keeps replaced versions, these are compared afterwards with those that were there before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from transfer.copying.binding import check_label
from transfer.copying.parts import PartsInFlight
from transfer.errors import (
    CorruptTransfer,
    DestinationConflict,
    GenerationMismatch,
    SinkUnavailable,
    Stage,
    TransferError,
)
from transfer.model import DestinationObject, ObjectMeta
from transfer.ports import ObjectSink
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)

MAX_CHECK_AGE_S = 5.0
"""Seconds for which a check of the destination is good; it is repeated when more pass before the parts are joined."""


class StartAgain(Exception):
    """No retry of the last request helps: the upload has to be started again from the beginning."""

    def __init__(self, error: CorruptTransfer) -> None:
        super().__init__(error.message)
        self.error = error


class PartsCompletion:
    """Completes the uploads in parts of one lane."""

    def __init__(self, sink: ObjectSink, retrier: Retrier, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._retrier = retrier
        self._clock = clock

    def check_generation(self, item: ObjectMeta, name: str) -> Step[None]:
        """Raises GenerationMismatch when the destination is not as it was listed."""
        if (yield from self._retrier.call(lambda: self._generation(name))) != item.replaces_generation:
            raise GenerationMismatch

    def complete(self, parts: PartsInFlight) -> Step[DestinationObject]:
        """Join all parts.

        Raises StartAgain when the joined object is wrong (it is removed first), GenerationMismatch when another writer wrote
        the name before, DestinationConflict when it did while the parts were joined, UploadGone, or another TransferError.
        """
        stored = yield from self._retrier.call(lambda: self._join(parts))
        yield from self._check_replaced(parts, stored)
        return stored

    def _generation(self, name: str) -> Step[int]:
        """The generation that is at the destination now; 0 when there is none."""
        found = yield from self._sink.stat(name)
        return found.generation if found else 0

    def _join(self, parts: PartsInFlight) -> Step[DestinationObject]:
        upload = self._sink.parts_upload(parts.name, parts.token)
        kept = yield from self._sink.replaced_versions(parts.name)
        checked_at_s = self._clock()
        if (yield from self._generation(parts.name)) == parts.item.replaces_generation:
            parts.known_generations = frozenset(version.generation for version in kept)
        elif (yield from upload.is_open()):  # otherwise an earlier attempt completed it, and its response was lost
            raise GenerationMismatch
        if (age_s := self._clock() - checked_at_s) > MAX_CHECK_AGE_S:
            raise SinkUnavailable(
                f"the destination was checked {age_s:.0f} s ago, which is too long to complete an upload",
                stage=Stage.UPLOAD,
            )
        try:
            stored = yield from upload.complete(parts.parts(), parts.source_crc32c)
            yield from check_label(stored, self._sink)  # the worker that started it may have known S3's CRC32C
            return stored
        except CorruptTransfer as error:
            raise StartAgain(error) from error

    def _check_replaced(self, parts: PartsInFlight, stored: DestinationObject) -> Step[None]:
        """Find a version that another writer wrote after the last check, and that this upload has replaced.

        The copy is then reported as failed, and its label is marked as not bound to its bytes.
        """
        if parts.known_generations is None:  # another worker completed it
            return
        kept = yield from self._retrier.call(lambda: self._sink.replaced_versions(parts.name))
        foreign = [
            version
            for version in kept
            if parts.item.replaces_generation < version.generation < stored.generation
            and version.generation not in parts.known_generations
            and (version.size_bytes, version.crc32c) != (stored.size_bytes, stored.crc32c)
            and version.source_etag != parts.item.etag  # otherwise another delivery of the same message wrote it
        ]
        if not foreign:
            return
        last = max(foreign, key=lambda version: version.generation)
        try:
            yield from self._sink.set_proof(stored, f"replaced generation {last.generation}")
        except (TransferError, GenerationMismatch) as error:
            log.warning("%r replaced another object, and could not be marked as such: %s", parts.name, error)
        raise DestinationConflict(
            f"another writer wrote {parts.name!r} (generation {last.generation}) while its parts were joined, which takes no"
            f" precondition: generation {stored.generation} has replaced it. To restore the other object:"
            f" {last.restored_by}",
            stage=Stage.UPLOAD,
        )
