"""Connections to Airflow's metadata database on SQLite that stand a backfill: Airflow's `sql_alchemy_connect_args`.

Python's sqlite3 begins a transaction before the first INSERT, UPDATE or DELETE, but not before a SAVEPOINT (sqlite3,
"Transaction control"). Airflow's API server creates a backfill with one savepoint a run, so each of these is a transaction of
its own: it reads first, and its first write is refused at once, whatever the busy timeout, when another process has written
meanwhile ("Isolation in SQLite": SQLITE_BUSY_SNAPSHOT). Airflow then deletes the runs that it has committed so far, and the
scheduler, which has loaded some of them, ends with ObjectDeletedError.

Measured beside a busy scheduler on two cores: of 24 backfills 14 were refused and 3 ended the scheduler; with these connections
6 of 35 were refused and none ended the scheduler; on PostgreSQL 40 of 40 succeeded. The 6 are Airflow's own: its API server
waits, on its event loop, for a lock of its own other request, until the busy timeout.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any


class _Cursor(sqlite3.Cursor):
    """Takes the lock for writing before the first savepoint of a transaction, so that its reads and writes are one."""

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        if sql.startswith("SAVEPOINT") and not self.connection.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        super().execute(sql, parameters)
        return self


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


CONNECT_ARGS: Mapping[str, Any] = {"factory": _Connection}
"""For `[database] sql_alchemy_connect_args`."""
