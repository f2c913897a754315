"""Sorting more records than fit into memory: sorted runs in temporary files, merged.

Records are lists that begin with a text and hold what JSON holds. Python compares texts by code points, which is the byte
order of UTF-8: the order in which S3 and Cloud Storage list.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

Record = list[Any]
RUN_RECORDS = 50_000
"""Sorted in memory at a time: some 30 MB of keys of usual length, and 80 MB of the longest."""
CHUNK_RECORDS = 256
"""On one line of a run; of each run, one line is in memory while they are merged."""
MAX_RUNS = 64
"""Merged at a time: bounds open files and memory."""


def sorted_on_disk(records: Iterable[Record], *, run_records: int = RUN_RECORDS) -> Iterator[Record]:
    """The records in ascending order. Close the iterator to be rid of its files (in TMPDIR) before its end."""
    records = iter(records)
    first = sorted(islice(records, run_records))
    if len(first) < run_records:
        yield from first
        return
    with tempfile.TemporaryDirectory(prefix="edgehaul-sort-") as folder:
        runs = [_write(Path(folder) / "0", first)]
        del first
        number = 1
        while run := sorted(islice(records, run_records)):
            runs.append(_write(Path(folder) / str(number), run))
            number += 1
            if len(runs) == MAX_RUNS:
                del run
                merged = _write(Path(folder) / str(number), heapq.merge(*map(_read, runs)))
                number += 1
                for path in runs:
                    path.unlink()
                runs = [merged]
        yield from heapq.merge(*map(_read, runs))


def _write(path: Path, records: Iterable[Record]) -> Path:
    records = iter(records)
    with path.open("w", encoding="ascii") as file:  # JSON escapes all else, lone surrogates included
        while chunk := list(islice(records, CHUNK_RECORDS)):
            file.write(json.dumps(chunk, separators=(",", ":")) + "\n")
    return path


def _read(path: Path) -> Iterator[Record]:
    with path.open(encoding="ascii") as file:
        for line in file:
            yield from json.loads(line)
