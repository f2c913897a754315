"""The progress of a listing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from transfer.accounting.progress import human_bytes, human_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingStats:
    """The counts of a listing so far. Its total is not known before its end."""

    listed: int = 0
    listed_bytes: int = 0
    skipped: int = 0
    objects_total: int = 0
    """How many objects have to be copied, of those listed so far; `bytes_total` is their total size."""
    bytes_total: int = 0
    seconds: float = 0.0
    lanes: int = 0
    """Always 0: a listing has no lanes."""

    @property
    def objects_done(self) -> int:
        """How many objects were listed."""
        return self.listed

    @property
    def bytes_done(self) -> int:
        """Always 0: a listing copies nothing."""
        return 0

    def to_dict(self) -> dict[str, object]:
        """The counts as JSON, as stored in the task state store."""
        document = asdict(self)
        del document["lanes"]
        return document

    def line(self, before: ListingStats) -> str:
        """One log line: the counts so far, and the rate since the counts of the previous line."""
        span_s = max(self.seconds - before.seconds, 1e-3)
        return f"{self._counts()}; now {(self.listed - before.listed) / span_s:,.0f} objects/s"

    def last_line(self) -> str:
        """The log line at the end, with the average rate."""
        return f"{self._counts()}, {self.listed / max(self.seconds, 1e-3):,.0f} objects/s on average"

    def _counts(self) -> str:
        to_copy = f"{self.objects_total:,} to copy ({human_bytes(self.bytes_total)})"
        return f"{self.listed:,} listed, {to_copy}, in {human_seconds(self.seconds)}"


class ListingProgress:
    """Holds the counts of a listing. Use from one thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at = clock()
        self._counts = ListingStats()

    def counted(self, counts: ListingStats) -> None:
        """Take over the counts of the listing; their `seconds` are ignored."""
        self._counts = counts

    def stats(self) -> ListingStats:
        """The counts at this moment."""
        return replace(self._counts, seconds=round(self._clock() - self._started_at, 3))
