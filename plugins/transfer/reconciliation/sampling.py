"""Copies read back from both sides and compared byte for byte: a share of what a run calls matched, chosen at random.

The readers are not those that copied: other libraries, and S3 itself instead of the edge in front of it
(`transfer/backends/sample_readers.py`). Which objects are chosen follows from a seed and their keys, so that a million
objects take no memory, and the report, which names the seed, can be checked.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol

from transfer.errors import SourceChanged, SourceNotFound, Stopped, TransferError
from transfer.model import DestinationObject, ObjectMeta
from transfer.records.csv_file import CsvFile

LANES = 4
"""Objects compared at a time."""
EXAMPLES = 10
"""Objects that the report names; sample.csv names all."""
SAMPLE_COLUMNS = ("key", "end", "first_differing_byte", "message")
REPORT_INTERVAL_S = 1.0


class SampleEnd(StrEnum):
    """What a comparison came to."""

    EQUAL = "equal"
    DIFFERING = "differing"
    CHANGED = "changed"
    """The source was replaced or deleted since it was listed: the copy is of what was listed, and that is gone."""
    UNREADABLE = "unreadable"
    """One side could not be read, so nothing is known of the copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One object, compared."""

    key: str
    end: SampleEnd
    first_differing_byte: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleReport:
    """What a sample came to: `equal + differing + changed + unreadable = chosen`."""

    percent: float
    seed: str
    """With it, `is_chosen` says of every key whether it was compared."""
    chosen: int = 0
    bytes_read: int = 0
    """Of each side."""
    equal: int = 0
    differing: int = 0
    changed: int = 0
    unreadable: int = 0
    examples: tuple[Compared, ...] = ()
    """Of those differing or unreadable."""

    @property
    def compared(self) -> int:
        """Objects of which both sides were read to the end, or to the first byte that differs."""
        return self.equal + self.differing

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs, and nothing that was to be compared could not be."""
        return not self.differing and not self.unreadable

    def to_dict(self) -> dict[str, object]:
        """As report.json and the task's progress hold it."""
        return asdict(self) | {"compared": self.compared}

    @classmethod
    def of(cls, fields: dict[str, object]) -> SampleReport:
        """What `to_dict` made."""
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
    """Reads either side in pieces of some megabytes at most. Thread-safe. Raises TransferError."""

    def source(self, item: ObjectMeta) -> Iterator[bytes]:
        """The listed object's bytes. Raises SourceChanged or SourceNotFound when it is there no more."""

    def destination(self, stored: DestinationObject) -> Iterator[bytes]:
        """The bytes of this very generation, as they are stored: nothing is unpacked."""


def new_seed() -> str:
    """One that nobody could foresee."""
    return secrets.token_hex(8)


def is_chosen(key: str, *, seed: str, percent: float) -> bool:
    """Whether a key belongs to the sample: about that share of all keys do, whatever they are called."""
    digest = hashlib.blake2b(f"{seed} {key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < percent / 100 * 2**64


def compare_sample(
    matched: Iterable[tuple[ObjectMeta, DestinationObject]],
    reader: SampleReader,
    rows: CsvFile,
    *,
    percent: float,
    seed: str,
    stop: threading.Event,
    on_report: Callable[[SampleReport], None] = lambda report: None,
) -> SampleReport:
    """Compare the sample, a few objects at a time; `rows` gets each that is not equal, `on_report` how far it is.

    Raises Stopped, or what listing `matched` raises.
    """
    tally, ended = _Tally(percent, seed, rows, on_report), threading.Event()

    def check() -> None:
        if stop.is_set() or ended.is_set():
            raise Stopped

    pool = ThreadPoolExecutor(LANES, thread_name_prefix="sample")
    waiting: set[Future[Compared]] = set()
    try:
        for item, stored in matched:
            check()
            if is_chosen(item.key, seed=seed, percent=percent):
                tally.chosen += 1
                waiting.add(pool.submit(_compare, item, stored, reader, check, tally.read))
            while len(waiting) >= 2 * LANES:
                check()
                waiting = tally.take(waiting)
            tally.tell()
        while waiting:
            check()
            waiting = tally.take(waiting)
    finally:
        ended.set()  # also those that are being compared
        pool.shutdown(wait=False, cancel_futures=True)  # libraries wait for minutes, and cannot be broken off
    rows.close()
    tally.tell(force=True)
    return tally.report()


class _Tally:
    """Counts what comparisons came to. All but `read` is for one thread."""

    def __init__(self, percent: float, seed: str, rows: CsvFile, on_report: Callable[[SampleReport], None]) -> None:
        self._percent = percent
        self._seed = seed
        self._rows = rows
        self._on_report = on_report
        self._told_at = time.monotonic()
        self._lock = threading.Lock()
        self._bytes_read = 0
        self._ends = dict.fromkeys(SampleEnd, 0)
        self._examples: list[Compared] = []
        self.chosen = 0

    def read(self, size_bytes: int) -> None:
        """So much more of both sides is equal."""
        with self._lock:
            self._bytes_read += size_bytes

    def take(self, waiting: set[Future[Compared]]) -> set[Future[Compared]]:
        """Count those that have ended meanwhile; the others. Raises what a comparison could not put into words."""
        done, others = wait(waiting, timeout=REPORT_INTERVAL_S, return_when=FIRST_COMPLETED)
        for future in done:
            compared = future.result()
            self._ends[compared.end] += 1
            if compared.end is not SampleEnd.EQUAL:
                at = "" if compared.first_differing_byte is None else compared.first_differing_byte
                self._rows.add((compared.key, compared.end, at, compared.message))
            if compared.end in (SampleEnd.DIFFERING, SampleEnd.UNREADABLE) and len(self._examples) < EXAMPLES:
                self._examples.append(compared)
        self.tell()
        return others

    def tell(self, *, force: bool = False) -> None:
        """How far it is, about once a second."""
        if force or time.monotonic() - self._told_at >= REPORT_INTERVAL_S:
            self._told_at = time.monotonic()
            self._on_report(self.report())

    def report(self) -> SampleReport:
        with self._lock:
            bytes_read = self._bytes_read
        return SampleReport(
            percent=self._percent,
            seed=self._seed,
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
    """The position of the first byte in which two streams differ, or in which one has ended; None when they are equal.

    They may come in pieces of any sizes. `check` is called at each and may raise; `read` is told how much was equal.
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
    """The next piece that is not empty; empty at the end."""
    return next(filter(None, pieces), b"")
