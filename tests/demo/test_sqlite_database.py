"""Savepoints on SQLite beside another writer, as Airflow's API server uses them beside the scheduler."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo.sqlite_database import CONNECT_ARGS


def run_of_a_backfill(path: Path, arguments: Mapping[str, Any]) -> int:
    """Read and write in a savepoint, while another process writes in between; returns the rows before the commit."""

    def write() -> None:
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("INSERT INTO runs VALUES ('scheduled')")

    with closing(sqlite3.connect(path, **arguments)) as connection:
        cursor = connection.cursor()
        cursor.execute("SAVEPOINT sa_savepoint_1")
        cursor.execute("SELECT * FROM runs").fetchall()
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(0.3)  # it has either written, or waits
        cursor.execute("INSERT INTO runs VALUES ('backfill')")
        cursor.execute("RELEASE sa_savepoint_1")
        with closing(sqlite3.connect(path)) as reader:
            seen = len(reader.execute("SELECT * FROM runs").fetchall())
        connection.commit()
        writer.join()
    return seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE runs (name TEXT)")
    return tmp_path / "airflow.db"


def test_plain_connections_are_refused_at_once(path: Path) -> None:
    """What Airflow has by itself; when this passes without the refusal, the special connections are not needed any more."""
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        run_of_a_backfill(path, {})


def test_savepoints_are_one_transaction_which_waits_for_others_and_shows_nothing_unfinished(path: Path) -> None:
    assert run_of_a_backfill(path, CONNECT_ARGS) == 0
    with closing(sqlite3.connect(path)) as reader:
        assert len(reader.execute("SELECT * FROM runs").fetchall()) == 2
