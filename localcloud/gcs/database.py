"""The index: one SQLite connection behind one lock."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Names are BLOBs of UTF-8, so that SQLite compares them as Cloud Storage orders them: byte by byte.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets(name TEXT PRIMARY KEY, created_us INTEGER, attributes TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects(
    bucket TEXT, name BLOB, generation INTEGER, metageneration INTEGER, created_us INTEGER, updated_us INTEGER,
    size INTEGER, crc32c INTEGER, md5 BLOB, components INTEGER, segments TEXT, attributes TEXT,
    PRIMARY KEY(bucket, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions(
    bucket TEXT, name BLOB, generation INTEGER, metageneration INTEGER, created_us INTEGER, updated_us INTEGER,
    size INTEGER, crc32c INTEGER, md5 BLOB, components INTEGER, segments TEXT, attributes TEXT,
    deleted_us INTEGER, expires_us INTEGER, PRIMARY KEY(bucket, name, generation)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions(
    id TEXT PRIMARY KEY, bucket TEXT, name TEXT, attributes TEXT, conditions TEXT, expected TEXT,
    blob INTEGER, persisted INTEGER, crc32c INTEGER, answer TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads(
    id TEXT PRIMARY KEY, bucket TEXT, name BLOB, attributes TEXT, created_us INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts(
    upload TEXT, number INTEGER, blob INTEGER, size INTEGER, crc32c INTEGER, created_us INTEGER,
    PRIMARY KEY(upload, number)) WITHOUT ROWID;
"""

Value = str | bytes | int | None
Row = tuple[Any, ...]


class Database:
    """Runs statements, each its own transaction unless inside `transaction`. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _SCHEMA)

    def execute(self, statement: str, *values: Value) -> list[Row]:
        """Every row of the answer."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def first(self, statement: str, *values: Value) -> Row | None:
        """The first row of the answer."""
        with self._lock:
            row: Row | None = self._connection.execute(statement, values).fetchone()
            return row

    def iterate(self, statement: str, **values: Value) -> Iterator[Row]:
        """Rows as they are asked for. Only good inside `transaction`."""
        return self._connection.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the index alone; an exception undoes what was changed. May be nested: the outermost decides."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection; later statements raise sqlite3.ProgrammingError."""
        with self._lock:
            self._connection.close()
