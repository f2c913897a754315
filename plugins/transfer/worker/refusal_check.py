"""Decides whether many refusals in a row concern single objects, which then fail, or every object, which ends the worker.

A locked folder is refused object by object, exactly as every object is when a permission is missing. In byte order the next
object is in the same folder, so it does not tell the two apart. Test requests do, while the lanes wait:

    10 refusals in a row by the source
     └─ read again an object that was copied in this run, by this worker or by another
         ├─ works, or has changed   only those objects are refused
         ├─ refused                 every object is refused
         └─ none, or no clear result
             └─ read up to 96 objects from all over the listing, other folders first
                 ├─ one works                            only those objects are refused
                 ├─ none works, and some are refused,
                 │  or there are no other objects        every object is refused
                 └─ no clear result                      continue; the next refusals are checked again

    10 refusals in a row by the destination
     └─ write an empty object among the run's records
         ├─ refused                 every object is refused
         └─ otherwise               only those objects are refused
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from typing import Any

from transfer.copying.containment import SYSTEMIC_ERRORS, as_object_error
from transfer.copying.whole import ObjectCopier
from transfer.errors import RecordDamaged, TransferError
from transfer.model import ObjectMeta, SkipReason
from transfer.ports import StateStore
from transfer.records.layout import LEDGER, manifest_shards
from transfer.records.manifest import listed_line
from transfer.records.shards import read_records
from transfer.steps import Step
from transfer.worker.refusals import REFUSALS, Refusals, Side, systemic_error

log = logging.getLogger(__name__)

SAMPLE_FOLDERS = 32
"""Folders of the listing of which one object each is read."""
SAMPLE_OBJECTS = 64
"""Objects that are read besides, wherever they are."""
MAX_KNOWN_FOLDERS = 4_096
MAX_MANIFEST_SHARDS = 8
"""Shards of the manifest that are read for the sample. Each has 50,000 objects: together about two seconds."""
MAX_LEDGER_SHARDS = 8
"""Shards of the ledger in which copied objects are looked for, the last ones written."""


class ProbeResult(StrEnum):
    """The result of a test request."""

    WORKS = "works"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It shows nothing about permissions: for example, the object was deleted."""


def probe_result_of(error: TransferError | None) -> ProbeResult:
    """The result of a test request that raised this error, if any.

    none, SourceChanged       WORKS: the object was served, if with other content
    one of REFUSALS           REFUSED
    any other                 UNKNOWN
    """
    if error is None or error.code == "SourceChanged":
        return ProbeResult.WORKS
    return ProbeResult.REFUSED if error.code in REFUSALS else ProbeResult.UNKNOWN


def is_systemic(copied: ProbeResult, others: Sequence[ProbeResult]) -> bool:
    """Whether every object is refused, so that none can be copied.

    copied: an object copied in this run    others: from all over the listing    every object is refused
    works                                   –                                    no
    refused                                 –                                    yes
    none, or unknown                        one works                            no
    none, or unknown                        none works, some are refused         yes
    none, or unknown                        there are none                       yes: all there are were refused
    none, or unknown                        all unknown                          no: it is checked again later
    """
    if copied is not ProbeResult.UNKNOWN:
        return copied is ProbeResult.REFUSED
    return ProbeResult.WORKS not in others and (ProbeResult.REFUSED in others or not others)


class RefusalCheck:
    """Sends the test requests, from the worker's own thread, while its lanes wait.

    Args:
        listing: whose manifest names the objects to read.
        new_copier: makes the copier that sends the test requests, when there are any.
        run: drives one step to its end.
        on_isolated: called with True when refusals by the source are known to concern single objects, and with False when
            that is in question again.
    """

    def __init__(
        self,
        refusals: Refusals,
        *,
        state: StateStore,
        listing: str,
        new_copier: Callable[[], ObjectCopier],
        run: Callable[[Step[None]], None],
        on_isolated: Callable[[bool], None] = lambda is_so: None,
    ) -> None:
        self._refusals = refusals
        self._state = state
        self._listing = listing
        self._new_copier = new_copier
        self._copier: ObjectCopier | None = None
        self._run = run
        self._on_isolated = on_isolated

    def check(self) -> None:
        """Check the side that has refused many objects in a row, if any. Raises the error that ends the worker."""
        side = self._refusals.suspected_side
        if side is None:
            return
        refused = self._refusals.of(side)
        if side is Side.SOURCE:
            self._on_isolated(False)
        if self._is_systemic(side, list(refused)):
            raise systemic_error(list(refused.values()))
        log.warning(
            "%d objects in a row were refused by the %s, but a test request was not: only those objects fail, and the"
            " others continue",
            len(refused),
            side,
        )
        self._refusals.forgive(side)
        if side is Side.SOURCE:
            self._on_isolated(True)

    def _is_systemic(self, side: Side, refused: Sequence[str]) -> bool:
        if side is Side.DESTINATION:
            return is_systemic(self._probe(lambda copier: copier.probe_sink()), [ProbeResult.UNKNOWN])
        copied = ProbeResult.UNKNOWN
        for item in self._copied():
            if (copied := self._probe_source(item, with_retries=True)) is not ProbeResult.UNKNOWN:
                return is_systemic(copied, ())
        others: list[ProbeResult] = []
        for item in sample_listing(self._state, self._listing, refused):
            others.append(self._probe_source(item, with_retries=False))
            if others[-1] is ProbeResult.WORKS:
                self._refusals.last_readable = item
                break
        return is_systemic(copied, others)

    def _copied(self) -> Iterator[ObjectMeta]:
        if self._refusals.last_readable is not None:
            yield self._refusals.last_readable
        yield from recently_copied(self._state)

    def _probe_source(self, item: ObjectMeta, *, with_retries: bool) -> ProbeResult:
        return self._probe(lambda copier: copier.probe_source(item, with_retries=with_retries))

    def _probe(self, request: Callable[[ObjectCopier], Step[None]]) -> ProbeResult:
        copier = self._copier = self._copier or self._new_copier()
        results: list[ProbeResult] = []

        def probe() -> Step[None]:
            try:
                yield from request(copier)
            except SYSTEMIC_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - an object's outermost frame
                results.append(probe_result_of(as_object_error(error)))
            else:
                results.append(ProbeResult.WORKS)

        self._run(probe())
        return results[0]


def recently_copied(state: StateStore) -> Iterator[ObjectMeta]:
    """Objects that any worker of the run has copied, one of each of the last shards of the ledger.

    The ledger does not hold their ETags, so that reading one gives SourceChanged.
    """
    for entry in list(state.entries(LEDGER))[-MAX_LEDGER_SHARDS:]:
        with suppress(RecordDamaged):  # the reconciliation reports it
            yield from islice(filter(None, read_records(state, entry.name, _copied)), 1)


def _copied(line: Any) -> ObjectMeta | None:
    if line["outcome"] != "copied":
        return None
    return ObjectMeta(key=str(line["key"]), size_bytes=int(line["bytes"]), etag="unknown", last_modified_s=0)


def sample_listing(state: StateStore, listing: str, refused: Sequence[str]) -> list[ObjectMeta]:
    """Objects from all over a listing that were not refused, those of folders without a refused object first."""
    base, _, _ = listing.partition(".")  # a second pass works on objects of the first listing
    entries = list(state.entries(manifest_shards(base)))
    step = max(1, -(-len(entries) // MAX_MANIFEST_SHARDS))
    folders: dict[str, ObjectMeta] = {}
    anywhere: list[ObjectMeta] = []
    excluded = set(refused)
    draw, seen = random.Random(0), 0
    for entry in entries[::step]:
        for item, skipped in read_records(state, entry.name, listed_line):
            if item.key in excluded or skipped not in (None, SkipReason.UNCHANGED, SkipReason.EXISTS):
                continue
            folder = item.key.rpartition("/")[0]
            if len(folders) < MAX_KNOWN_FOLDERS:
                folders.setdefault(folder, item)
            seen += 1
            if len(anywhere) < SAMPLE_OBJECTS:  # reservoir sampling: each object with the same probability
                anywhere.append(item)
            elif (place := draw.randrange(seen)) < SAMPLE_OBJECTS:
                anywhere[place] = item
    locked = {key.rpartition("/")[0] for key in refused}
    others = [item for folder, item in folders.items() if folder not in locked]
    chosen = others[:: max(1, -(-len(others) // SAMPLE_FOLDERS))] + anywhere
    return list({item.key: item for item in chosen}.values())
