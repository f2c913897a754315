"""The failures of a run: what the ledger counts, in the words of the error topic, kept in the state prefix.

    ledger (key, reason, stage) ──▶ table on disk ◀── error topic (the same, with the error's message)
                                        │
                                        └──▶ failures/<listing>-…  stored first, then acked

The ledger is complete, so this waits for exactly the records that it names, and a record that never comes only leaves
its failure without a message. A pass of the reconciliation that is killed finds in the state what it had acked.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from transfer.errors import InvalidMessage, RunClosed
from transfer.model import TransferFailure
from transfer.ports import Delivery, RequestQueue, StateStore
from transfer.records.layout import failure_shards
from transfer.records.ledger import ledger_failures
from transfer.records.messages import RUN, decode_failure, encode_failure, failure_of_fields
from transfer.records.shards import read_records, write_shard

log = logging.getLogger(__name__)

PULL_WAIT_S = 1.0
PATIENCE_S = 20.0
"""How long to wait for a record that the ledger names, after the last one that came."""
MAX_PULL = 1_000
_FIELDS = ("key", "stage", "error_code", "http_status", "attempts", "message")


class FailureTable:
    """Failures by key, in a temporary file. Use from one thread; close it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a temporary file that SQLite removes itself
        self._database.execute("PRAGMA cache_size = -8000")  # KiB
        self._database.execute(
            "CREATE TABLE failure (key BLOB PRIMARY KEY, record BLOB, is_told INTEGER) WITHOUT ROWID"
        )
        self._database.execute("CREATE INDEX unreported ON failure (key) WHERE NOT is_told")
        self._database.execute("BEGIN")
        self.invalid_messages = 0
        """Messages that were no transfer requests: they have no key."""

    def __enter__(self) -> FailureTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._database.close()

    def expect(self, failure: TransferFailure) -> None:
        """A failure as the ledger has it; it takes the place of an earlier one of the same key."""
        if failure.key:
            self._put(failure, is_told=False)
        else:
            self.invalid_messages += 1

    def tell(self, failure: TransferFailure) -> bool:
        """A failure with its message; whether it was not told before.

        One that the ledger gives another reason is of an earlier try, and passed over.
        """
        if not failure.key:
            return False
        reason, is_told = self._known(failure.key)
        if reason in (None, failure.error_code):
            self._put(failure, is_told=True)
            return not is_told
        return False

    def _known(self, key: str) -> tuple[str | None, bool]:
        sql = "SELECT record, is_told FROM failure WHERE key = ?"
        with closing(self._database.execute(sql, (key_bytes(key),))) as rows:
            row = rows.fetchone()
        return (decode_failure(row[0]).error_code, bool(row[1])) if row else (None, False)

    def _put(self, failure: TransferFailure, *, is_told: bool) -> None:
        record, _ = encode_failure(failure, run_id="")
        self._database.execute(
            "INSERT OR REPLACE INTO failure VALUES (?, ?, ?)", (key_bytes(failure.key), record, is_told)
        )

    def has_unreported(self) -> bool:
        """Whether a record that the ledger names has not come."""
        with closing(self._database.execute("SELECT 1 FROM failure WHERE NOT is_told LIMIT 1")) as rows:
            return rows.fetchone() is not None

    def unreported(self) -> Iterator[TransferFailure]:
        """The failures whose record has not come, by key."""
        with closing(self._database.execute("SELECT record FROM failure WHERE NOT is_told ORDER BY key")) as rows:
            for (record,) in rows:
                yield decode_failure(record)

    def sorted(self) -> Iterator[TransferFailure]:
        """All of them, in the byte order of their keys."""
        with closing(self._database.execute("SELECT record FROM failure ORDER BY key")) as rows:
            for (record,) in rows:
                yield decode_failure(record)


def key_bytes(key: str) -> bytes:
    """A key as it sorts."""
    return key.encode("utf-8", "surrogatepass")


def load_failures(state: StateStore, table: FailureTable, listings: Sequence[str]) -> None:
    """Read what is on record of these listings, each superseding those before it."""
    for listing in listings:
        for failure in ledger_failures(state, listing):
            table.expect(failure)
        for failure in read_records(state, failure_shards(listing), failure_of_fields):
            table.tell(failure)


def drain_failures(
    queue: RequestQueue,
    state: StateStore,
    table: FailureTable,
    *,
    run_id: str,
    listing: str,
    reader: str,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Read this run's failures from the error topic until the table has the message of each.

    Each pull is stored under `failures/<listing>-<reader>-…` before it is acked, so `reader` must be unique among the
    tries of all passes. What does not come in PATIENCE_S is stored without its message, and so is everything that has not
    come when the subscription is found gone.
    """
    shards = 0

    def store(failures: Sequence[TransferFailure]) -> None:
        nonlocal shards
        if failures:
            name = f"{failure_shards(listing)}{reader}-{shards:06d}"
            write_shard(state, name, ({name: getattr(item, name) for name in _FIELDS} for item in failures))
            shards += 1

    deadline = clock() + PATIENCE_S
    try:
        while table.has_unreported() and clock() < deadline:
            deliveries = queue.pull(MAX_PULL, PULL_WAIT_S)
            if not deliveries:
                continue
            mine = [failure for item in deliveries if (failure := _failure_in(item, run_id))]
            store(mine)
            news = sum(table.tell(failure) for failure in mine)
            if news:  # what comes again and again does not prolong the wait
                deadline = clock() + PATIENCE_S
            queue.ack([delivery.ack_id for delivery in deliveries])
    except RunClosed as error:
        log.warning("failures stand as the ledger has them, without their messages: %s", error.message)
    silent: list[TransferFailure] = []
    for failure in table.unreported():
        silent.append(failure)
        if len(silent) >= MAX_PULL:
            store(silent)
            silent = []
    store(silent)


def _failure_in(delivery: Delivery, run_id: str) -> TransferFailure | None:
    """The failure in a message; None for another run's, or for what is no failure record at all."""
    if delivery.attributes.get(RUN) != run_id:
        return None
    try:
        return decode_failure(delivery.body)
    except InvalidMessage:
        return None
