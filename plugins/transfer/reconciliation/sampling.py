"""Reads a random share of the matched objects back from both sides and compares them byte for byte.

They are read by other means than they were copied: with other libraries, and from S3 itself instead of through CloudFront
(`transfer/backends/sample_readers.py`). The choice follows from a seed and the keys alone, so a million objects take no
memory, and the choice can be checked by the seed that the report names.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Protocol

from transfer.errors import SourceChanged, SourceNotFound, Stopped, TransferError
from transfer.model import DestinationObject, ObjectMeta
from transfer.records.csv_file import CsvFile
from transfer.stopping import Stop

LANES = 4
"""How many objects are compared at a time."""
EXAMPLES = 10
"""The most objects that the report names; sample.csv names all that are not equal."""
SAMPLE_COLUMNS = ("key", "end", "first_differing_byte", "message")
"""Of sample.csv."""
REPORT_INTERVAL_S = 1.0


class SampleEnd(StrEnum):
    """The result of comparing one object."""

    EQUAL = "equal"
    DIFFERING = "differing"
    CHANGED = "changed"
    """The source was replaced or deleted since it was listed: the object that was copied no longer exists."""
    UNREADABLE = "unreadable"
    """One side could not be read, so nothing is known about the copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One compared object, and the result."""

    key: str
    end: SampleEnd
    first_differing_byte: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleReport:
    """The result of a sample, in objects: `equal + differing + changed + unreadable = chosen`."""

    percent: float
    seed: str
    """With the seed, `is_chosen` computes again whether a key was chosen."""
    chosen: int = 0
    bytes_read: int = 0
    """From each side."""
    equal: int = 0
    differing: int = 0
    changed: int = 0
    unreadable: int = 0
    examples: tuple[Compared, ...] = ()
    """Some of the objects that differ or could not be read."""

    @property
    def compared(self) -> int:
        """How many objects were read from both sides, to the end or to the first byte that differs."""
        return self.equal + self.differing

    @property
    def objects_done(self) -> int:
        """How many of the chosen objects have a result."""
        return self.compared + self.changed + self.unreadable

    @property
    def bytes_done(self) -> int:
        """How many bytes were read from each side."""
        return self.bytes_read

    @property
    def lanes(self) -> int:
        """Always 0: the number of objects that are compared at a time does not change."""
        return 0

    @property
    def is_clean(self) -> bool:
        """Whether no object differs and none was unreadable."""
        return not self.differing and not self.unreadable

    def to_dict(self) -> dict[str, object]:
        """The JSON object in report.json and in the task's progress."""
        return asdict(self) | {"compared": self.compared}

    @classmethod
    def of(cls, fields: dict[str, object]) -> SampleReport:
        """The report of which `to_dict` made these fields."""
        examples = tuple(
            Compared(**example | {"end": SampleEnd(example["end"])})
            for example in fields["examples"]  # type: ignore[attr-defined]
        )
        kept = {name: value for name, value in fields.items() if name != "compared"}
        return cls(**kept | {"examples": examples})  # type: ignore[arg-type]

    def __str__(self) -> str:
        return (
            f"{self.chosen:,} objects chosen ({self.percent:g} %, seed {self.seed}) and {self.compared:,} compared byte for byte:"
            f" {self.equal:,} equal, {self.differing:,} differing, {self.unreadable:,} unreadable, {self.changed:,} changed in"
            " the source since"
        )


class SampleReader(Protocol):
    """Reads objects of either side in pieces of at most some megabytes. Thread-safe. Raises TransferError."""

    def source(self, item: ObjectMeta) -> Iterator[bytes]:
        """The bytes of a listed object. Raises SourceChanged or SourceNotFound when it no longer exists as listed."""

    def destination(self, stored: DestinationObject) -> Iterator[bytes]:
        """The bytes of exactly this generation of an object, as they are stored, without decompressing them."""


def new_seed() -> str:
    """An unpredictable seed."""
    return secrets.token_hex(8)


def is_chosen(key: str, *, seed: str, percent: float) -> bool:
    """Whether a key belongs to the sample: a pseudorandom choice of `percent` of all keys."""
    digest = hashlib.blake2b(f"{seed} {key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < percent / 100 * 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a sample is chosen and read."""

    reader: SampleReader
    percent: float
    """The share of the matched objects that is chosen."""
    seed: str = field(default_factory=new_seed)
    stop: Stop
    """Set to stop comparing."""
    on_report: Callable[[SampleReport], None] = lambda report: None
    """Called about once a second with the results so far, and once at the end."""


def compare_sample(
    matched: Iterable[tuple[ObjectMeta, DestinationObject]], rows: CsvFile, sampling: Sampling
) -> SampleReport:
    """Compare the sample, a few objects at a time; `rows` gets every object that is not equal.

    Raises Stopped, or what listing `matched` raises.
    """
    tally, ended = _Tally(rows, sampling), threading.Event()

    def check() -> None:
        if sampling.stop.is_set() or ended.is_set():
            raise Stopped

    pool = ThreadPoolExecutor(LANES, thread_name_prefix="sample")
    waiting: set[Future[Compared]] = set()
    try:
        for item, stored in matched:
            check()
            if is_chosen(item.key, seed=sampling.seed, percent=sampling.percent):
                tally.chosen += 1
                waiting.add(pool.submit(_compare, item, stored, sampling.reader, check, tally.read))
            while len(waiting) >= 2 * LANES:
                check()
                waiting = tally.take(waiting)
            tally.report_progress()
        while waiting:
            check()
            waiting = tally.take(waiting)
    finally:
        ended.set()  # ends the comparisons that are still running
        pool.shutdown(wait=False, cancel_futures=True)  # libraries wait for minutes, and cannot be interrupted
    rows.close()
    report = tally.report()
    sampling.on_report(report)
    return report


class _Tally:
    """Counts the results of comparisons. Use from one thread, except for `read`."""

    def __init__(self, rows: CsvFile, sampling: Sampling) -> None:
        self._rows = rows
        self._sampling = sampling
        self._reported_at_s = time.monotonic()
        self._lock = threading.Lock()
        self._bytes_read = 0
        self._ends = dict.fromkeys(SampleEnd, 0)
        self._examples: list[Compared] = []
        self.chosen = 0

    def read(self, size_bytes: int) -> None:
        """Count bytes that are equal on both sides. Thread-safe."""
        with self._lock:
            self._bytes_read += size_bytes

    def take(self, waiting: set[Future[Compared]]) -> set[Future[Compared]]:
        """Count the comparisons that have ended, and return the others. Raises what a comparison raised unexpectedly."""
        done, others = wait(waiting, timeout=REPORT_INTERVAL_S, return_when=FIRST_COMPLETED)
        for future in done:
            compared = future.result()
            self._ends[compared.end] += 1
            if compared.end is not SampleEnd.EQUAL:
                at = "" if compared.first_differing_byte is None else compared.first_differing_byte
                self._rows.add((compared.key, compared.end, at, compared.message))
            if compared.end in (SampleEnd.DIFFERING, SampleEnd.UNREADABLE) and len(self._examples) < EXAMPLES:
                self._examples.append(compared)
        self.report_progress()
        return others

    def report_progress(self) -> None:
        """Hand over the results so far, about once a second."""
        if time.monotonic() - self._reported_at_s >= REPORT_INTERVAL_S:
            self._reported_at_s = time.monotonic()
            self._sampling.on_report(self.report())

    def report(self) -> SampleReport:
        """The results so far."""
        with self._lock:
            bytes_read = self._bytes_read
        return SampleReport(
            percent=self._sampling.percent,
            seed=self._sampling.seed,
            chosen=self.chosen,
            bytes_read=bytes_read,
            equal=self._ends[SampleEnd.EQUAL],
            differing=self._ends[SampleEnd.DIFFERING],
            changed=self._ends[SampleEnd.CHANGED],
            unreadable=self._ends[SampleEnd.UNREADABLE],
            examples=tuple(self._examples),
        )


def _compare(
    item: ObjectMeta,
    stored: DestinationObject,
    reader: SampleReader,
    check: Callable[[], None],
    read: Callable[[int], None],
) -> Compared:
    try:
        at = first_difference(reader.source(item), reader.destination(stored), check=check, read=read)
    except (SourceChanged, SourceNotFound) as error:
        return Compared(key=item.key, end=SampleEnd.CHANGED, message=error.message)
    except TransferError as error:
        return Compared(key=item.key, end=SampleEnd.UNREADABLE, message=f"{error.code}: {error.message}")
    if at is None:
        return Compared(key=item.key, end=SampleEnd.EQUAL)
    return Compared(key=item.key, end=SampleEnd.DIFFERING, first_differing_byte=at)


def first_difference(
    left: Iterator[bytes],
    right: Iterator[bytes],
    *,
    check: Callable[[], None] = lambda: None,
    read: Callable[[int], None] = lambda size_bytes: None,
) -> int | None:
    """The position of the first byte in which two streams differ, or at which one has ended; None when they are equal.

    The streams may come in pieces of any sizes. `check` is called before each piece and may raise; `read` is called with
    the number of bytes of each piece that are equal.
    """
    at, one, other = 0, b"", b""
    while True:
        check()
        one, other = one or _next(left), other or _next(right)
        count = min(len(one), len(other))
        if not count:
            return at if one or other else None
        head, other_head = one[:count], other[:count]
        if head != other_head:
            return at + next(index for index in range(count) if head[index] != other_head[index])
        read(count)
        at, one, other = at + count, one[count:], other[count:]


def _next(pieces: Iterator[bytes]) -> bytes:
    """The next piece that is not empty; empty at the end of the stream."""
    return next(filter(None, pieces), b"")
