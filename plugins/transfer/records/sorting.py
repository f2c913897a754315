"""Sorts more records than fit into memory, by merging sorted runs in temporary files.

Records are lists of JSON values that begin with a text. Python compares texts by code points, which is the byte
order of UTF-8: the order in which S3 and Cloud Storage list.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

Record = list[Any]
RUN_RECORDS = 50_000
"""The most records that are sorted in memory at a time: about 30 MB for keys of usual length, 80 MB for the longest."""
RUN_CHARACTERS = 64 * 1024**2
CHUNK_RECORDS = 256
"""The most records on one line of a run's file; while runs are merged, one line of each is in memory."""
CHUNK_CHARACTERS = 512 * 1024
MAX_RUNS = 64
"""The most runs that are merged at a time, which bounds open files and memory."""


def sorted_on_disk(records: Iterable[Record], *, run_records: int = RUN_RECORDS) -> Iterator[Record]:
    """The records in ascending order. Its temporary files (in TMPDIR) are deleted at its end, or when it is closed."""
    records = iter(records)
    first = sorted(_taken(records, run_records, RUN_CHARACTERS))
    head = next(records, None)
    if head is None:
        yield from first
        return
    records = chain([head], records)
    with tempfile.TemporaryDirectory(prefix="edgehaul-sort-") as name:
        runs = _Runs(Path(name))
        runs.add(first)
        del first
        while run := sorted(_taken(records, run_records, RUN_CHARACTERS)):
            runs.add(run)
        del run
        yield from runs.merged()


def _taken(records: Iterator[Record], most: int, characters: int) -> Iterator[Record]:
    """The next records: at most `most`, and fewer once their texts have reached `characters` in total."""
    while most > 0 and characters > 0 and (record := next(records, None)) is not None:
        most -= 1
        characters -= len(record[0])
        yield record


class _Runs:
    """Sorted files by level: MAX_RUNS of one level are merged into one of the next, so each record is written once per level."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._levels: list[list[Path]] = []
        self._files = 0

    def add(self, records: Iterable[Record], level: int = 0) -> None:
        """Write one run of sorted records."""
        if level == len(self._levels):
            self._levels.append([])
        path = self._folder / str(self._files)
        self._files += 1
        _write(path, records)
        paths = self._levels[level]
        paths.append(path)
        if len(paths) == MAX_RUNS:
            self._levels[level] = []
            self.add(heapq.merge(*map(_read, paths)), level + 1)
            for merged in paths:
                merged.unlink()

    def merged(self) -> Iterator[Record]:
        """All records in ascending order."""
        return heapq.merge(*(_read(path) for paths in self._levels for path in paths))


def _write(path: Path, records: Iterable[Record]) -> None:
    records = iter(records)
    with path.open("w", encoding="ascii") as file:  # JSON escapes all other characters, lone surrogates included
        while chunk := list(_taken(records, CHUNK_RECORDS, CHUNK_CHARACTERS)):
            file.write(json.dumps(chunk, separators=(",", ":")) + "\n")


def _read(path: Path) -> Iterator[Record]:
    with path.open(encoding="ascii") as file:
        for line in file:
            yield from json.loads(line)
