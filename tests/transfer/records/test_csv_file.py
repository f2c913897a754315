"""Rows for people, in files that fit into memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_state import MemoryState
from transfer.records.csv_file import CsvFile

texts = st.text(st.characters(exclude_characters="\r\n"), max_size=5)


@given(st.lists(st.tuples(texts, st.integers()), max_size=9))
def test_rows_are_read_back_from_several_files(rows: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.records.csv_file.MAX_ROWS", 3)
        file = CsvFile(MemoryState(), "extraneous", ("name", "number"))
        for row in rows:
            file.add(row)
        file.close()
        assert list(file.rows()) == [[name, str(number)] for name, number in rows]
