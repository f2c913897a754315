"""The last word on a run: what was listed, what the destination holds and what failed, marched side by side.

Every listed key ends as exactly one verdict, in constant memory: the three sides are read in order, and failures wait in
a temporary database on disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from transfer.advice import advice_for
from transfer.comparison import holds
from transfer.errors import InvalidMessage, Stage
from transfer.march import march
from transfer.messages import decode_failure, encode_failure
from transfer.model import DestinationObject, ObjectMeta, SkipReason, TransferFailure
from transfer.naming import Naming
from transfer.ports import Delivery, RequestQueue

SAMPLES = 3
"""Keys shown for each reason."""
PULL_WAIT_S = 2.0
DRAIN_PATIENCE_S = 20.0
LEASE_S = 600
"""Pub/Sub's longest ack deadline: failures stay ours until the report that holds them is stored."""


class Verdict(StrEnum):
    """How a key ends."""

    MATCHED = "matched"
    SKIPPED = "skipped"
    FAILED = "failed"
    MISSING = "missing"
    DIFFERING = "differing"
    EXTRA = "extra"


def judge(
    item: ObjectMeta | None,
    skipped: SkipReason | None,
    stored: DestinationObject | None,
    failure: TransferFailure | None,
) -> Verdict:
    """One key's verdict.

    listed  skipped by the listing     destination            failure   verdict
    no      –                          something              –         EXTRA
    yes     archived, prefix-itself    –                      –         SKIPPED
    yes     exists                     something              –         SKIPPED
    yes     unchanged                  holds it               –         SKIPPED
    yes     no                         holds it               –         MATCHED
    yes     no                         nothing, or else       yes       FAILED
    yes     any other                  nothing                no        MISSING
    yes     any other                  something else         no        DIFFERING
    """
    if item is None:
        return Verdict.EXTRA
    if skipped in (SkipReason.ARCHIVED, SkipReason.PREFIX_ITSELF):
        return Verdict.SKIPPED
    if stored is not None and (skipped is SkipReason.EXISTS or holds(stored, item)):
        return Verdict.SKIPPED if skipped else Verdict.MATCHED
    if failure is not None:
        return Verdict.FAILED
    return Verdict.MISSING if stored is None else Verdict.DIFFERING


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why some keys did not end as matched."""

    verdict: Verdict
    reason: str
    count: int
    samples: tuple[str, ...]
    advice: str
    message: str = ""
    """The first failure's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport:
    """What a run came to; the first six counts add up to `listed`, less `extra`."""

    run_id: str
    listed: int
    copied: int
    matched: int
    skipped: int
    failed: int
    missing: int
    differing: int
    extra: int
    bytes_copied: int
    invalid_messages: int
    reasons: tuple[Reason, ...] = field(default=())

    @property
    def is_green(self) -> bool:
        """Whether every listed object is matched, or skipped with a reason."""
        return self.listed == self.matched + self.skipped

    def to_dict(self) -> dict[str, object]:
        """As report.json holds it."""
        return asdict(self)


class FailureTable:
    """Failures by key, on disk. Use from one thread; close it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file that SQLite removes itself
        self._database.execute("CREATE TABLE failure (key BLOB PRIMARY KEY, record BLOB) WITHOUT ROWID")
        self.invalid_messages = 0

    def __enter__(self) -> FailureTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._database.close()

    def add(self, failure: TransferFailure) -> None:
        """The last failure of a key is the one that counts; one without a key is a message that was no request."""
        if not failure.key:
            self.invalid_messages += 1
            return
        record, _ = encode_failure(failure, run_id="")
        self._database.execute("INSERT OR REPLACE INTO failure VALUES (?, ?)", (_bytes(failure.key), record))

    def get(self, key: str) -> TransferFailure | None:
        """The failure of a key, if there is one."""
        with closing(self._database.execute("SELECT record FROM failure WHERE key = ?", (_bytes(key),))) as rows:
            row = rows.fetchone()
        return decode_failure(row[0]) if row else None


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def drain_failures(
    queue: RequestQueue,
    table: FailureTable,
    *,
    run_id: str,
    expected: int,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Read this run's failures into the table, at least `expected` of them; returns the ack ids, still leased.

    What the ledger counts is in the topic, so this waits for it, though not for ever: a failure that does not come
    only leaves its key without a reason, never without a verdict.
    """
    ack_ids: list[str] = []
    received = 0
    deadline = clock() + DRAIN_PATIENCE_S
    while received < expected and clock() < deadline:
        deliveries = queue.pull(1_000, PULL_WAIT_S)
        if deliveries:
            queue.extend([delivery.ack_id for delivery in deliveries], LEASE_S)
            deadline = clock() + DRAIN_PATIENCE_S
        for delivery in deliveries:
            ack_ids.append(delivery.ack_id)
            if delivery.attributes.get("run") == run_id:
                received += 1
                table.add(_failure_in(delivery))
    return ack_ids


def _failure_in(delivery: Delivery) -> TransferFailure:
    try:
        return decode_failure(delivery.body)
    except InvalidMessage as error:
        return TransferFailure(
            key="", stage=Stage.RECONCILE, error_code=error.code, http_status=None, attempts=0, message=error.message
        )


class _Reasons:
    """Counts and samples of what did not match."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Verdict, str]] = Counter()
        self._samples: dict[tuple[Verdict, str], list[str]] = {}
        self._messages: dict[tuple[Verdict, str], str] = {}

    def add(self, verdict: Verdict, reason: str, key: str, message: str = "") -> None:
        group = (verdict, reason)
        self._counts[group] += 1
        samples = self._samples.setdefault(group, [])
        if len(samples) < SAMPLES:
            samples.append(key)
        self._messages.setdefault(group, message)

    def sorted(self) -> tuple[Reason, ...]:
        return tuple(
            Reason(
                verdict=verdict,
                reason=reason,
                count=count,
                samples=tuple(self._samples[verdict, reason]),
                advice=advice_for(reason),
                message=self._messages[verdict, reason],
            )
            for (verdict, reason), count in self._counts.most_common()
        )


def reconcile(
    manifest: Iterable[tuple[ObjectMeta, SkipReason | None]],
    destination: Iterable[DestinationObject],
    failures: FailureTable,
    *,
    naming: Naming,
    run_id: str,
) -> ReconciliationReport:
    """Judge every key. Raises ListingOutOfOrder, or what the listings raise."""
    counts: Counter[Verdict] = Counter()
    reasons = _Reasons()
    copied = bytes_copied = 0
    pairs = march(
        manifest,
        destination,
        left_name=lambda entry: naming.name_of(entry[0].key),
        right_name=lambda stored: stored.name,
    )
    for entry, stored in pairs:
        item, skipped = entry or (None, None)
        failure = failures.get(item.key) if item is not None and skipped is None else None
        verdict = judge(item, skipped, stored, failure)
        counts[verdict] += 1
        if item is None:
            continue
        if verdict is Verdict.MATCHED:
            copied += 1
            bytes_copied += item.size_bytes
        elif verdict is Verdict.FAILED and failure is not None:
            reasons.add(verdict, failure.error_code, item.key, failure.message)
        else:
            reasons.add(verdict, str(skipped) if verdict is Verdict.SKIPPED else str(verdict), item.key)
    return ReconciliationReport(
        run_id=run_id,
        listed=sum(counts.values()) - counts[Verdict.EXTRA],
        copied=copied,
        matched=counts[Verdict.MATCHED],
        skipped=counts[Verdict.SKIPPED],
        failed=counts[Verdict.FAILED],
        missing=counts[Verdict.MISSING],
        differing=counts[Verdict.DIFFERING],
        extra=counts[Verdict.EXTRA],
        bytes_copied=bytes_copied,
        invalid_messages=failures.invalid_messages,
        reasons=reasons.sorted(),
    )


def reason_table(reasons: Sequence[Reason]) -> str:
    """One screen of text: how many for each reason, three sample keys, what to do."""
    blocks = []
    for reason in reasons:
        lines = [f"{reason.count:>9,}  {reason.verdict}: {reason.reason}"]
        lines += [f"           e.g. {sample!r:.160}" for sample in reason.samples]
        if reason.message:
            lines.append(f"           said: {reason.message:.300}")
        if reason.advice:
            lines.append(f"           do: {reason.advice}")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)
