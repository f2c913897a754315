"""Writes records for people as CSV, in files that fit into memory.

A spreadsheet runs a cell that begins with `=` as a formula, and keys are untrusted. Such a cell gets an apostrophe in
front, and so does one that begins with apostrophes followed by such a character, so that reading restores the exact text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from transfer.ports import StateStore

MAX_ROWS = 50_000
"""The most rows of one file, which is built in memory."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""The beginning of a cell that a spreadsheet may run (OWASP, "CSV Injection"), or of one that is already escaped."""


def escape_cell(value: object) -> object:
    """The value of a cell, escaped with an apostrophe if a spreadsheet could run it as a formula."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unescape_cell(cell: str) -> str:
    """The original text of a cell that `escape_cell` returned."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class CsvFile:
    """Writes <base>.csv. After MAX_ROWS rows it continues in <base>-2.csv, and so on. Use from one thread; close it."""

    def __init__(self, state: StateStore, base: str, columns: Sequence[str]) -> None:
        self._state = state
        self._base = base
        self._columns = columns
        self._files = 0
        self._begin()

    def add(self, row: Sequence[object]) -> None:
        """Add one row, which has one value per column."""
        if self._rows >= MAX_ROWS:
            self._store()
        self._put(row)
        self._rows += 1

    def _put(self, row: Sequence[object]) -> None:
        self._csv.writerow([escape_cell(value) for value in row])

    def close(self) -> None:
        """Store the last rows. Files of an earlier attempt under the same names are replaced or deleted."""
        self._store()
        names = {_name(self._base, number) for number in range(1, self._files + 1)}
        for entry in list(self._state.entries(f"{self._base}-")):
            if entry.name not in names:
                self._state.delete(entry.name)

    def save(self, provisional: Iterable[Sequence[object]] = ()) -> None:
        """Store all rows so far, with the `provisional` rows behind them. Later rows replace the provisional ones."""
        self._text.flush()
        end = self._bytes.tell()
        for row in provisional:
            self._put(row)
        self._text.flush()
        self._write(self._files + 1)
        self._bytes.seek(end)
        self._bytes.truncate()

    def rows(self) -> Iterator[list[str]]:
        """The rows that were written, once the file is closed. One stored file at a time is in memory."""
        for number in range(1, self._files + 1):
            text = self._state.read(_name(self._base, number)).decode("utf-8", "surrogatepass")
            lines = csv.reader(io.StringIO(text, newline=""))
            next(lines)
            yield from ([unescape_cell(cell) for cell in row] for row in lines)

    def _begin(self) -> None:
        self._bytes = io.BytesIO()
        self._text = io.TextIOWrapper(self._bytes, "utf-8", "surrogatepass", newline="")
        self._csv = csv.writer(self._text)
        self._csv.writerow(self._columns)
        self._rows = 0

    def _store(self) -> None:
        self._files += 1
        self._text.flush()
        self._write(self._files)
        self._begin()

    def _write(self, number: int) -> None:
        name = _name(self._base, number)
        self._state.write(name, self._bytes.getvalue(), content_type="text/csv; charset=utf-8")


def _name(base: str, number: int) -> str:
    return f"{base}.csv" if number == 1 else f"{base}-{number}.csv"
