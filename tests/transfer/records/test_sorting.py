"""Sorting on disk, against sorting in memory."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.records import sorting
from transfer.records.sorting import sorted_on_disk

records = st.lists(st.tuples(st.text(st.characters(), max_size=3), st.integers(0, 3)).map(list), max_size=40)


@given(records, st.integers(1, 9), st.integers(2, 4), st.integers(1, 3))
def test_it_is_the_order_of_the_model(items, run_records: int, max_runs: int, chunk: int) -> None:
    """That of UTF-8, also where it is not UTF-16's, and of lone surrogates; however many runs and merges it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "MAX_RUNS", max_runs)
        patch.setattr(sorting, "CHUNK_RECORDS", chunk)
        found = list(sorted_on_disk(iter(items), run_records=run_records))
    assert found == sorted(items, key=lambda item: (item[0].encode("utf-8", "surrogatepass"), item[1]))


def test_no_file_is_left_behind(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    items = [[f"{random.random()}"] for _ in range(100)]
    ascending = sorted_on_disk(items, run_records=7)
    next(ascending)
    assert list(tmp_path.iterdir())
    assert isinstance(ascending, Generator)
    ascending.close()
    assert not list(tmp_path.iterdir())
