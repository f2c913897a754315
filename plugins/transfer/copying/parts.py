"""The parts of a large object: how it is divided, which parts are stored, and which ranges are still to be copied."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from transfer.comparison import has_etag
from transfer.config import MAX_PARTS, MIN_PART_BYTES
from transfer.copying.proof import is_encrypted, multipart_etag, source_crc32c, source_part_bytes
from transfer.copying.uploads import OpenUpload, UploadKind
from transfer.model import ObjectMeta, StoredPart

RECORD_INTERVAL_S = 2.0
"""Seconds between two records of the stored parts, which is how much work a crash may cost. Cloud Storage takes one write a
second to the same name."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How an object is divided into parts, which are numbered from 1."""

    size_bytes: int
    part_bytes: int
    is_sources_own: bool
    """Whether the parts are those in which the source was uploaded, so that their MD5s give its ETag."""

    @property
    def count(self) -> int:
        """The number of parts."""
        return -(-self.size_bytes // self.part_bytes)

    def start(self, number: int) -> int:
        """The offset of a part's first byte."""
        return (number - 1) * self.part_bytes

    def end(self, number: int) -> int:
        """The offset behind a part's last byte."""
        return min(self.size_bytes, number * self.part_bytes)

    def size(self, number: int) -> int:
        """The number of bytes in a part."""
        return self.end(number) - self.start(number)


def layout_of(item: ObjectMeta, wanted_bytes: int) -> Layout:
    """Divide an object into the source's own parts where their size is known, else into parts of about `wanted_bytes`."""
    own_bytes = source_part_bytes(item)
    if own_bytes is not None:
        return Layout(size_bytes=item.size_bytes, part_bytes=own_bytes, is_sources_own=True)
    least_bytes = -(-item.size_bytes // MAX_PARTS)
    part_bytes = max(wanted_bytes, MIN_PART_BYTES, -(-least_bytes // MIB) * MIB)
    return Layout(size_bytes=item.size_bytes, part_bytes=part_bytes, is_sources_own=False)


class PartsInFlight:
    """The upload in parts of one object: which parts are stored, and which ranges are still to be copied. Thread-safe.

    Args:
        token: the id of the upload in Cloud Storage.
        headers: of the first response of the edge; None where all parts are stored already and none was fetched.
        fetch_bytes: about how many bytes one GET fetches.
        note: the name of the note that announced the upload (`uploads.py`).
        stored: the parts that are stored already, by number.
    """

    def __init__(
        self,
        item: ObjectMeta,
        name: str,
        layout: Layout,
        token: str,
        headers: Mapping[str, str] | None,
        *,
        bucket: str,
        fetch_bytes: int,
        note: str = "",
        stored: Mapping[int, StoredPart],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.item = item
        self.name = name
        self.layout = layout
        self.token = token
        self.bucket = bucket
        self.wants_md5 = layout.is_sources_own and not is_encrypted(headers or {})
        """Whether the MD5s of the parts are needed, since they give the source's ETag."""
        self.source_crc32c = source_crc32c(headers or {})
        """S3's own CRC32C (base64) of the whole object; empty where it sends none."""
        self.edge_request_id = (headers or {}).get("x-amz-cf-id", "")
        self.known_generations: frozenset[int] | None = None
        """Generations of the object's replaced versions at the last check of the destination; None before the first check."""
        self.has_etag = headers is None or has_etag(headers)
        """Whether every response named an ETag. If not, only parts that make up the source's ETag prove the object."""
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._stored = dict(stored)
        self._ranges = deque(missing_ranges(layout, stored, fetch_bytes))
        self._lanes_at_work = 0
        self._error: Exception | None = None
        self._recorded_at = clock()

    @property
    def error(self) -> Exception | None:
        """The error that ended the work early, if any: a TransferError, UploadGone or GenerationMismatch."""
        return self._error

    @property
    def is_worked_on(self) -> bool:
        """Whether a lane is still copying a range."""
        return self._lanes_at_work > 0

    def take(self) -> range | None:
        """Reserve a range of parts to fetch in one GET and to send; None when there is none left, or after an error."""
        with self._lock:
            if self._error is not None or not self._ranges:
                return None
            self._lanes_at_work += 1
            return self._ranges.popleft()

    def release(self, error: Exception | None = None) -> None:
        """End the work on a reserved range. The first error of any range ends the work on the object."""
        with self._lock:
            self._lanes_at_work -= 1
            self._error = self._error or error

    def add(self, part: StoredPart) -> bool:
        """Note that a part is stored. Returns whether the caller should save the record, which is due after some seconds."""
        with self._lock:
            self._stored[part.number] = part
            if self._clock() - self._recorded_at < RECORD_INTERVAL_S:
                return False
            self._recorded_at = self._clock()
            return True

    def parts(self) -> list[StoredPart]:
        """The stored parts, in order."""
        with self._lock:
            return [self._stored[number] for number in sorted(self._stored)]

    @property
    def stored_bytes(self) -> int:
        """The number of bytes in all stored parts."""
        with self._lock:
            return sum(part.size_bytes for part in self._stored.values())

    @property
    def match_source_etag(self) -> bool:
        """Whether the MD5s of the stored parts make up the source's ETag."""
        md5s = [part.md5 for part in self.parts()]
        return self.layout.is_sources_own and all(md5s) and multipart_etag(md5s) == self.item.etag

    def copy_again(self, number: int) -> None:
        """Copy a part again that turned out to be wrong."""
        with self._lock:
            del self._stored[number]
            self._ranges.append(range(number, number + 1))

    def record(self) -> OpenUpload:
        """The upload's record, from which another worker can resume it."""
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


def missing_ranges(layout: Layout, stored: Mapping[int, StoredPart], fetch_bytes: int) -> Iterator[range]:
    """Ranges of neighbouring parts that are not stored, each of about `fetch_bytes` bytes, for one GET."""
    per_range = max(1, fetch_bytes // layout.part_bytes)
    first = None
    for number in range(1, layout.count + 2):
        is_missing = number <= layout.count and number not in stored
        if first is not None and (not is_missing or number - first == per_range):
            yield range(first, number)
            first = None
        if is_missing and first is None:
            first = number


class PartsBoard:
    """The objects in parts that are being copied by one worker, so that idle lanes can help. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: list[PartsInFlight] = []

    def offer(self, parts: PartsInFlight) -> None:
        """Let other lanes take ranges of an object."""
        with self._lock:
            self._offered.append(parts)

    def withdraw(self, parts: PartsInFlight) -> None:
        """Let no other lane take ranges of an object any more."""
        with self._lock:
            self._offered.remove(parts)

    def take(self) -> tuple[PartsInFlight, range] | None:
        """Reserve a range of an offered object, the oldest object first; None when there is none."""
        with self._lock:
            for parts in self._offered:
                if (numbers := parts.take()) is not None:
                    return parts, numbers
        return None
