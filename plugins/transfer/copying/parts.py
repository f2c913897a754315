"""The parts of a large object: how it is cut, which parts are stored, and who works on the rest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from transfer.config import MAX_PARTS, MIN_PART_BYTES
from transfer.copying.proof import source_part_bytes
from transfer.copying.uploads import OpenUpload, UploadKind
from transfer.model import ObjectMeta, StoredPart

RECORD_INTERVAL_S = 2.0
"""How much work a crash may cost. Cloud Storage takes one write a second to the same name."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How an object is cut."""

    size_bytes: int
    part_bytes: int
    is_sources_own: bool
    """Whether the parts are those that the source was written in."""

    @property
    def count(self) -> int:
        """The number of parts."""
        return -(-self.size_bytes // self.part_bytes)

    def start(self, number: int) -> int:
        """Where a part (from 1) begins, in bytes."""
        return (number - 1) * self.part_bytes

    def end(self, number: int) -> int:
        """Where it ends."""
        return min(self.size_bytes, number * self.part_bytes)

    def size(self, number: int) -> int:
        """A part's bytes."""
        return self.end(number) - self.start(number)


def layout_of(item: ObjectMeta, wanted_bytes: int) -> Layout:
    """The source's own parts if they can be told, else parts of the size wanted, or larger if they would be too many."""
    own = source_part_bytes(item)
    if own is not None:
        return Layout(size_bytes=item.size_bytes, part_bytes=own, is_sources_own=True)
    least = -(-item.size_bytes // MAX_PARTS)
    part_bytes = max(wanted_bytes, MIN_PART_BYTES, -(-least // MIB) * MIB)
    return Layout(size_bytes=item.size_bytes, part_bytes=part_bytes, is_sources_own=False)


class PartsInFlight:
    """One object's parts: which are stored, which are to do, who works on them. Thread-safe."""

    def __init__(
        self,
        item: ObjectMeta,
        name: str,
        layout: Layout,
        token: str,
        *,
        bucket: str,
        fetch_bytes: int,
        wants_md5: bool,
        source_crc32c: str,
        edge_request_id: str,
        has_etag: bool = True,
        note: str = "",
        stored: Mapping[int, StoredPart],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.item = item
        self.name = name
        self.layout = layout
        self.token = token
        self.bucket = bucket
        self.wants_md5 = wants_md5
        self.source_crc32c = source_crc32c
        self.edge_request_id = edge_request_id
        self.known_generations: frozenset[int] | None = None
        """Of what was replaced before the last look at the destination; None before there was one."""
        self.has_etag = has_etag
        """Whether the edge said of each range of which content it is; without it only the source's ETag is a proof."""
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._stored = dict(stored)
        self._ranges = deque(ranges_to_do(layout, stored, fetch_bytes))
        self._working = 0
        self._error: Exception | None = None
        self._recorded_at = clock()

    @property
    def error(self) -> Exception | None:
        """What ended the work early: a TransferError, UploadGone or GenerationMismatch."""
        return self._error

    @property
    def is_worked_on(self) -> bool:
        """Whether some lane is still at a range."""
        return self._working > 0

    def take(self) -> range | None:
        """The numbers of a range of parts to fetch in one GET and to send; None when there is nothing more to take."""
        with self._lock:
            if self._error is not None or not self._ranges:
                return None
            self._working += 1
            return self._ranges.popleft()

    def release(self, error: Exception | None = None) -> None:
        """A range is done with, well or not; the first error ends the work of all."""
        with self._lock:
            self._working -= 1
            self._error = self._error or error

    def add(self, part: StoredPart) -> bool:
        """A part is stored; whether it is this caller's turn to put that on record."""
        with self._lock:
            self._stored[part.number] = part
            if self._clock() - self._recorded_at < RECORD_INTERVAL_S:
                return False
            self._recorded_at = self._clock()
            return True

    def parts(self) -> list[StoredPart]:
        """What is stored, in order."""
        with self._lock:
            return [self._stored[number] for number in sorted(self._stored)]

    @property
    def stored_bytes(self) -> int:
        """How much is stored."""
        with self._lock:
            return sum(part.size_bytes for part in self._stored.values())

    def redo(self, number: int) -> None:
        """A part turned out wrong: it is to do again."""
        with self._lock:
            del self._stored[number]
            self._ranges.append(range(number, number + 1))

    def record(self) -> OpenUpload:
        """As it stands, for another worker to go on with."""
        return OpenUpload(
            kind=UploadKind.PARTS,
            bucket=self.bucket,
            name=self.name,
            token=self.token,
            etag=self.item.etag,
            size_bytes=self.item.size_bytes,
            generation=self.item.replaces_generation,
            part_bytes=self.layout.part_bytes,
            parts=tuple(self.parts()),
            note=self._note,
        )


def ranges_to_do(layout: Layout, stored: Mapping[int, StoredPart], fetch_bytes: int) -> Iterator[range]:
    """Runs of neighbouring parts that are not stored, each about so many bytes: one GET each."""
    per_range = max(1, fetch_bytes // layout.part_bytes)
    first = None
    for number in range(1, layout.count + 2):
        is_to_do = number <= layout.count and number not in stored
        if first is not None and (not is_to_do or number - first == per_range):
            yield range(first, number)
            first = None
        if is_to_do and first is None:
            first = number


class PartsBoard:
    """Where the lanes of a worker find objects in parts to lend a hand with. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: list[PartsInFlight] = []

    def offer(self, parts: PartsInFlight) -> None:
        """Others may take part."""
        with self._lock:
            self._offered.append(parts)

    def withdraw(self, parts: PartsInFlight) -> None:
        """Nobody need begin with it any more."""
        with self._lock:
            self._offered.remove(parts)

    def take(self) -> tuple[PartsInFlight, range] | None:
        """A range of some object, the oldest first."""
        with self._lock:
            for parts in self._offered:
                if (numbers := parts.take()) is not None:
                    return parts, numbers
        return None
