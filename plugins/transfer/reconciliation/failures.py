"""The failures of a run: counted by the ledger, explained by the error topic, and kept among the run's records.

    ledger (key, reason, stage) ──▶ table on disk ◀── error topic (the same, with the error's message)
                                        │
                                        └──▶ failures/<listing>-…  stored first, then acked

The ledger is complete, so the reconciliation waits for exactly the records that the ledger names. A record that never
arrives only leaves its failure without a message. A pass that was killed finds among the run's records what it had acked.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

from transfer.errors import InvalidMessage, RunClosed
from transfer.model import TransferFailure
from transfer.ports import Delivery, RequestQueue, StateStore
from transfer.records.layout import failure_shards
from transfer.records.ledger import ledger_failures
from transfer.records.messages import RUN, decode_failure, encode_failure, failure_fields, failure_of_fields
from transfer.records.shards import read_records, write_shard

log = logging.getLogger(__name__)

PULL_WAIT_S = 1.0
PATIENCE_S = 20.0
"""How long to wait for a record that the ledger names, after the last new one arrived."""
MAX_PULL = 1_000


class FailureTable:
    """Failures by key, in a temporary file. Use from one thread; close it.

    A failure is expected when the ledger names it, and reported once its record with the message has arrived.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a temporary file that SQLite removes itself
        self._database.execute("PRAGMA cache_size = -8000")  # KiB
        self._database.execute(
            "CREATE TABLE failure (key BLOB PRIMARY KEY, record BLOB, is_reported INTEGER) WITHOUT ROWID"
        )
        self._database.execute("CREATE INDEX unreported ON failure (key) WHERE NOT is_reported")
        self._database.execute("BEGIN")
        self.invalid_messages = 0
        """How many messages were not transfer requests: they have no key."""

    def __enter__(self) -> FailureTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._database.close()

    def expect(self, failure: TransferFailure) -> None:
        """Add a failure as the ledger has it; it replaces an earlier one of the same key."""
        if failure.key:
            self._put(failure, is_reported=False)
        else:
            self.invalid_messages += 1

    def report(self, failure: TransferFailure) -> bool:
        """Add a failure with its message. Returns whether it had not been reported before.

        A failure whose reason is not the ledger's is of an earlier attempt, and is ignored.
        """
        if not failure.key:
            return False
        reason, is_reported = self._known(failure.key)
        if reason in (None, failure.error_code):
            self._put(failure, is_reported=True)
            return not is_reported
        return False

    def _known(self, key: str) -> tuple[str | None, bool]:
        sql = "SELECT record, is_reported FROM failure WHERE key = ?"
        with closing(self._database.execute(sql, (key_bytes(key),))) as rows:
            row = rows.fetchone()
        return (decode_failure(row[0]).error_code, bool(row[1])) if row else (None, False)

    def _put(self, failure: TransferFailure, *, is_reported: bool) -> None:
        record, _ = encode_failure(failure, run_id="")
        self._database.execute(
            "INSERT OR REPLACE INTO failure VALUES (?, ?, ?)", (key_bytes(failure.key), record, is_reported)
        )

    def has_unreported(self) -> bool:
        """Whether the record of a failure that the ledger names has not arrived."""
        return next(self.unreported(), None) is not None

    def unreported(self) -> Iterator[TransferFailure]:
        """The failures whose record has not arrived, in the byte order of their keys."""
        return self._select("SELECT record FROM failure WHERE NOT is_reported ORDER BY key")

    def sorted(self) -> Iterator[TransferFailure]:
        """All failures, in the byte order of their keys."""
        return self._select("SELECT record FROM failure ORDER BY key")

    def _select(self, sql: str) -> Iterator[TransferFailure]:
        with closing(self._database.execute(sql)) as rows:
            for (record,) in rows:
                yield decode_failure(record)


def key_bytes(key: str) -> bytes:
    """A key as the clouds sort it: in UTF-8, lone surrogates included."""
    return key.encode("utf-8", "surrogatepass")


def load_failures(state: StateStore, table: FailureTable, listings: Sequence[str]) -> None:
    """Read the failures on record of these listings into the table; those of a later listing replace earlier ones."""
    for listing in listings:
        for failure in ledger_failures(state, listing):
            table.expect(failure)
        for failure in read_records(state, failure_shards(listing), failure_of_fields):
            table.report(failure)


class FailureRecords:
    """Stores failures with their messages, as `failures/<listing>-<reader>-…`. Use from one thread.

    `reader` must be unique among the attempts of all passes over the listing.
    """

    def __init__(self, state: StateStore, *, listing: str, reader: str) -> None:
        self._state = state
        self._prefix = f"{failure_shards(listing)}{reader}-"
        self._shards = 0

    def store(self, failures: Sequence[TransferFailure]) -> None:
        """Store the failures as one shard; none for no failures."""
        if failures:
            write_shard(self._state, f"{self._prefix}{self._shards:06d}", map(failure_fields, failures))
            self._shards += 1


def drain_failures(queue: RequestQueue, table: FailureTable, records: FailureRecords, *, run_id: str) -> None:
    """Read this run's failures from the error topic until the table has the message of each.

    Each pull is stored before it is acked. A failure whose message does not arrive within PATIENCE_S, or before the
    subscription is gone, is stored without its message.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    try:
        while table.has_unreported() and time.monotonic() < deadline_s:
            deliveries = queue.pull(MAX_PULL, PULL_WAIT_S)
            if not deliveries:
                continue
            own = [failure for item in deliveries if (failure := _failure_in(item, run_id))]
            records.store(own)
            if sum(table.report(failure) for failure in own):  # repeated deliveries do not prolong the wait
                deadline_s = time.monotonic() + PATIENCE_S
            queue.ack([delivery.ack_id for delivery in deliveries])
    except RunClosed as error:
        log.warning("failures are reported from the ledger alone, without their messages: %s", error.message)
    silent = table.unreported()
    while some := list(islice(silent, MAX_PULL)):
        records.store(some)


def _failure_in(delivery: Delivery, run_id: str) -> TransferFailure | None:
    """The failure in a message; None when it is of another run, or not a failure record."""
    if delivery.attributes.get(RUN) != run_id:
        return None
    try:
        return decode_failure(delivery.body)
    except InvalidMessage:
        return None
