"""Lines of a file that somebody else wrote, each of which must fit into memory: packed, a megabyte can be a gigabyte."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import AnyStr, Generic, Protocol, TypeVar

MAX_LINE = 1024**2
"""Characters or bytes of a line, or of a row of many lines: a thousand times a key's."""

Piece = TypeVar("Piece", str, bytes, covariant=True)


class Readable(Protocol[Piece]):
    """A file, as far as it is read here."""

    def readline(self, size: int, /) -> Piece:
        """The rest of the line, or so much of it; nothing at the end."""


class Lines(Generic[AnyStr]):
    """The lines of a file, with their ends. Raises ValueError for one that does not fit.

    Call `row` where what comes next is another row: a row of CSV may have many lines. `check` is called for each line: it
    may raise.
    """

    def __init__(
        self, file: Readable[AnyStr], *, check: Callable[[], None] = lambda: None, most: int = MAX_LINE
    ) -> None:
        self._file: Readable[AnyStr] = file
        self._check = check
        self._most = most
        self._left = most
        self.number = 0
        """Of the last line, from 1."""

    def row(self) -> None:
        """Another row begins."""
        self._left = self._most

    def __iter__(self) -> Iterator[AnyStr]:
        while line := self._file.readline(self._left + 1):
            self._check()
            self.number += 1
            if len(line) > self._left:
                raise ValueError(
                    f"line {self.number:,} is longer than {self._most:,} characters, or belongs to a row that is: no key"
                    " is, so this is something else than a list"
                )
            self._left -= len(line)
            yield line


def rows_of(lines: Lines[str], *, strict: bool = False) -> Iterator[list[str]]:
    """The rows of CSV in them. Raises csv.Error, which it also does for a field of more than 128 KiB."""
    for row in csv.reader(lines, strict=strict):
        lines.row()
        yield row
