"""Whether refusals in a row are everybody's or those objects' own: judged by a control, an object that had worked.

A locked folder is refused object by object, as a wrong key is. Only the next object tells them apart, and in byte order it
is of the same folder. So a worker in doubt holds its lanes and reads again what it copied, or what another worker copied,
or objects from all over the listing; at the destination it writes a record of the run's own.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from typing import Any

from transfer.copying.containment import SYSTEMIC_ERRORS, as_object_error
from transfer.copying.whole import ObjectCopier
from transfer.errors import CredentialsRejected, EdgeBlocked, RecordDamaged, TransferError
from transfer.model import Copied, Failed, ObjectMeta, SkipReason, TransferFailure, TransferOutcome
from transfer.ports import StateStore
from transfer.records.layout import LEDGER, manifest_shards
from transfer.records.manifest import listed_line
from transfer.records.shards import read_records
from transfer.steps import Step

log = logging.getLogger(__name__)

STREAK = 10
"""Refusals in a row, with no success between, after which a worker doubts; twice as many after each control that works."""
MAX_STREAK = 1_000
"""The most: so many objects at most are called refused by name when it was the credential that went meanwhile."""
FOLDERS = 32
PLACES = 64
"""Of the listing that are tried where nothing has worked yet: folders, and objects wherever they are."""
MAX_FOLDERS = 4_096
MAX_SHARDS = 8
"""Of 50,000 objects each: about two seconds."""


class Side(StrEnum):
    """Who refuses."""

    SOURCE = "source"
    DESTINATION = "destination"


REFUSALS = {
    "SourceForbidden": Side.SOURCE,
    "SourceEncrypted": Side.SOURCE,
    "EdgeBlocked": Side.SOURCE,
    "EdgeErrorPage": Side.SOURCE,
    "DestinationForbidden": Side.DESTINATION,
}
"""Failures that may be everybody's, by their code."""


class Finding(StrEnum):
    """What a control showed."""

    WORKS = "works"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It is gone, say, or had trouble of another kind."""


def finding_of(error: TransferError | None) -> Finding:
    """From what trying it raised, if anything.

    nothing, SourceChanged        it was served, if not as it was listed    WORKS
    one of REFUSALS                                                         REFUSED
    anything else                                                           UNKNOWN
    """
    if error is None or error.code == "SourceChanged":
        return Finding.WORKS
    return Finding.REFUSED if error.code in REFUSALS else Finding.UNKNOWN


def is_systemic(proven: Finding, others: Sequence[Finding]) -> bool:
    """Whether the refusals are everybody's, so that no object can be copied.

    proven: what worked in this run    others: from all over the listing    everybody's
    works                              –                                    no
    refused                            –                                    yes
    none, or unknown                   one works                            no
    none, or unknown                   none works, some are refused         yes
    none, or unknown                   there are none                       yes: all that there is was refused
    none, or unknown                   all unknown                          no: nothing was shown; it is asked again
    """
    if proven is not Finding.UNKNOWN:
        return proven is Finding.REFUSED
    return Finding.WORKS not in others and (Finding.REFUSED in others or not others)


class Refusals:
    """Counts refusals in a row on either side, and keeps what worked last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[Side, dict[str, TransferFailure]] = {side: {} for side in Side}
        self._allowed = dict.fromkeys(Side, STREAK)
        self.proven: ObjectMeta | None = None
        """What this worker copied last."""

    def note(self, item: ObjectMeta, outcome: TransferOutcome) -> None:
        """How an object ended. What says nothing of permissions (gone, archived, damaged) is no success and no refusal."""
        with self._lock:
            if isinstance(outcome, Copied):
                self.proven = item
                for either in Side:
                    self._refused[either].clear()
                    self._allowed[either] = STREAK
            elif isinstance(outcome, Failed) and (side := REFUSALS.get(outcome.failure.error_code)):
                if side is Side.DESTINATION:  # it had been read
                    self.proven = item
                    self._refused[Side.SOURCE].clear()
                self._refused[side][item.key] = outcome.failure

    @property
    def doubtful(self) -> Side | None:
        """The side that has refused so many in a row that a control has to be asked."""
        return next((side for side, refused in self._refused.items() if len(refused) >= self._allowed[side]), None)

    def of(self, side: Side) -> dict[str, TransferFailure]:
        """The refusals in a row, by key."""
        with self._lock:
            return dict(self._refused[side])

    def forgive(self, side: Side) -> None:
        """They are those objects' own: count anew."""
        with self._lock:
            self._refused[side].clear()
            self._allowed[side] = min(2 * self._allowed[side], MAX_STREAK)


def systemic_error(refused: Sequence[TransferFailure]) -> TransferError:
    """What ends the worker: nobody gets past it until a person, or time in the case of a firewall, has changed it."""
    last = refused[-1]
    said = f"{len(refused)} different objects in a row were refused ({last.message}), and so was a control that was tried then"
    if last.error_code == "EdgeBlocked":
        return EdgeBlocked(f"{said}: {_ADVICE[last.error_code]}", stage=last.stage, http_status=last.http_status)
    return CredentialsRejected(f"{said}: {_ADVICE[last.error_code]}", stage=last.stage, http_status=last.http_status)


_ADVICE = {
    "SourceForbidden": (
        "the distribution's origin access must allow s3:GetObject on the bucket, and s3:ListBucket so that a missing object"
        " is not taken for a forbidden one"
    ),
    "SourceEncrypted": "let the distribution use the KMS key (kms:Decrypt); objects under a customer's key cannot be copied",
    "EdgeBlocked": "a rule of the distribution's web ACL, or its rate limit, blocks every request: let this machine through",
    "EdgeErrorPage": "remove the distribution's custom error responses, so that what is wrong can be told",
    "DestinationForbidden": (
        "give the Google connection's account roles/storage.objectUser on the destination bucket: it writes, replaces and"
        " deletes objects there"
    ),
}


class Control:
    """Asks, from the worker's own thread, while its lanes hold.

    Args:
        run: drives one step to its end.
        on_acquittal: told whether refusals in a row are known to be those objects' own.
        try_source, try_sink: as ObjectCopier has them.
    """

    def __init__(
        self,
        refusals: Refusals,
        *,
        state: StateStore,
        listing: str,
        mover: Callable[[], ObjectCopier],
        run: Callable[[Step[None]], None],
        on_acquittal: Callable[[bool], None] = lambda is_so: None,
    ) -> None:
        self._refusals = refusals
        self._state = state
        self._listing = listing
        self._new_mover = mover
        self._mover: ObjectCopier | None = None
        self._run = run
        self._on_acquittal = on_acquittal

    def settle_doubt(self) -> None:
        """Go on, or raise what ends the worker. Nothing without a doubt."""
        side = self._refusals.doubtful
        if side is None:
            return
        refused = self._refusals.of(side)
        if side is Side.SOURCE:
            self._on_acquittal(False)
        if self._is_systemic(side, list(refused)):
            raise systemic_error(list(refused.values()))
        log.warning(
            "%d objects in a row were refused by the %s, and a control was not: those are refused by name, and the others"
            " go on",
            len(refused),
            side,
        )
        self._refusals.forgive(side)
        if side is Side.SOURCE:
            self._on_acquittal(True)

    def _is_systemic(self, side: Side, refused: Sequence[str]) -> bool:
        if side is Side.DESTINATION:
            return is_systemic(self._ask(lambda mover: mover.probe_sink()), [Finding.UNKNOWN])
        proven = Finding.UNKNOWN
        for item in self._proven():
            if (proven := self._ask_source(item, has_patience=True)) is not Finding.UNKNOWN:
                return is_systemic(proven, ())
        others: list[Finding] = []
        for item in spread(self._state, self._listing, refused):
            others.append(self._ask_source(item, has_patience=False))
            if others[-1] is Finding.WORKS:
                self._refusals.proven = item
                break
        return is_systemic(proven, others)

    def _proven(self) -> Iterator[ObjectMeta]:
        if self._refusals.proven is not None:
            yield self._refusals.proven
        yield from copied_by_others(self._state)

    def _ask_source(self, item: ObjectMeta, *, has_patience: bool) -> Finding:
        return self._ask(lambda mover: mover.probe_source(item, with_retries=has_patience))

    def _ask(self, question: Callable[[ObjectCopier], Step[None]]) -> Finding:
        mover = self._mover = self._mover or self._new_mover()
        findings: list[Finding] = []

        def ask() -> Step[None]:
            try:
                yield from question(mover)
            except SYSTEMIC_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - an object's outermost frame
                findings.append(finding_of(as_object_error(error)))
            else:
                findings.append(Finding.WORKS)

        self._run(ask())
        return findings[0]


def copied_by_others(state: StateStore, *, shards: int = 8) -> Iterator[ObjectMeta]:
    """Objects that any worker of the run has copied, one of each of the last shards. Their ETags are not on record."""
    for entry in list(state.entries(LEDGER))[-shards:]:
        with suppress(RecordDamaged):  # its time comes in the reconciliation
            yield from islice(filter(None, read_records(state, entry.name, _copied)), 1)


def _copied(line: Any) -> ObjectMeta | None:
    if line["outcome"] != "copied":
        return None
    return ObjectMeta(key=str(line["key"]), size_bytes=int(line["bytes"]), etag="unknown", last_modified_s=0)


def spread(state: StateStore, listing: str, refused: Sequence[str]) -> list[ObjectMeta]:
    """Objects from all over a listing that were not refused, those of other folders first."""
    base, _, _ = listing.partition(".")  # a second pass works on what the first one listed
    entries = list(state.entries(manifest_shards(base)))
    step = max(1, -(-len(entries) // MAX_SHARDS))
    folders: dict[str, ObjectMeta] = {}
    places: list[ObjectMeta] = []
    out = set(refused)
    draw, seen = random.Random(0), 0
    for entry in entries[::step]:
        for item, skipped in read_records(state, entry.name, listed_line):
            if item.key in out or skipped not in (None, SkipReason.UNCHANGED, SkipReason.EXISTS):
                continue
            folder = item.key.rpartition("/")[0]
            if len(folders) < MAX_FOLDERS:
                folders.setdefault(folder, item)
            seen += 1
            if len(places) < PLACES:
                places.append(item)
            elif (place := draw.randrange(seen)) < PLACES:
                places[place] = item
    locked = {key.rpartition("/")[0] for key in refused}
    others = [item for folder, item in folders.items() if folder not in locked]
    chosen = others[:: max(1, -(-len(others) // FOLDERS))] + places
    return list({item.key: item for item in chosen}.values())
