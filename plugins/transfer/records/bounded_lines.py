"""Reads the lines of an untrusted file with a limit on their length: a compressed megabyte can hold a line of a gigabyte."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import AnyStr, Generic, Protocol, TypeVar

MAX_LINE = 1024**2
"""The most characters or bytes of a line, or of a CSV row of several lines: about a thousand times the longest key."""

Piece = TypeVar("Piece", str, bytes, covariant=True)


class Readable(Protocol[Piece]):
    """A file of text or bytes that can be read line by line."""

    def readline(self, size: int, /) -> Piece:
        """Up to `size` characters or bytes of the rest of the line; empty at the end of the file."""


class Lines(Generic[AnyStr]):
    """The lines of a file, with their line ends. Raises ValueError for a line, or a row of lines, that is too long.

    Call `row` before each row: a row of CSV may have several lines. `check` is called for each line, and may raise.
    `most` is the limit in characters or bytes.
    """

    def __init__(
        self, file: Readable[AnyStr], *, check: Callable[[], None] = lambda: None, most: int = MAX_LINE
    ) -> None:
        self._file: Readable[AnyStr] = file
        self._check = check
        self._most = most
        self._left = most
        self.number = 0
        """The number of the last line that was read, from 1."""

    def row(self) -> None:
        """Note that the next line begins another row, for which the limit counts from zero."""
        self._left = self._most

    def __iter__(self) -> Iterator[AnyStr]:
        while line := self._file.readline(self._left + 1):
            self._check()
            self.number += 1
            if len(line) > self._left:
                raise ValueError(
                    f"line {self.number:,} is longer than {self._most:,} characters, or belongs to a row that is: no key"
                    " is that long, so this is not a list of keys"
                )
            self._left -= len(line)
            yield line


def rows_of(lines: Lines[str], *, strict: bool = False) -> Iterator[list[str]]:
    """The rows of a CSV file. Raises csv.Error for invalid CSV and for a field of more than 128 KiB."""
    for row in csv.reader(lines, strict=strict):
        lines.row()
        yield row
