"""Records what was deleted: deleted.csv, written as the answers arrive, and the counts in report.json, which agree with it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

from transfer.deletion.extraneous import Extraneous
from transfer.ports import StateStore
from transfer.reconciliation.report import read_report, write_report
from transfer.records.csv_file import CsvFile
from transfer.records.layout import DELETED_CSV, of_attempt

COLUMNS = ("name", "bytes", "generation", "answer", "said")
"""Of deleted.csv."""


class Answer(StrEnum):
    """How the deletion of one object ended."""

    DELETED = "deleted"
    GONE = "gone-already"
    """The object no longer existed; perhaps a request of this run had deleted it, and the answer was lost."""
    CHANGED = "changed"
    """The object was written again since it was found, and stays."""
    STILL_IN_SOURCE = "still-in-source"
    """S3 has the key when it is asked for it, so the object stays."""
    SOURCE_UNSURE = "source-unsure"
    """S3 did not say whether it has the key, so the object stays."""
    HELD = "held"
    """A hold or a retention period protects the object, which stays."""
    REFUSED = "refused"
    """Cloud Storage refused to delete the object, which stays."""
    ASKED = "asked"
    """No answer arrived before the attempt ended: the object may or may not be deleted."""


class DeletionRecord:
    """The record of one attempt of the task (`attempt`, from 1), in separate files. Use from one thread."""

    def __init__(self, state: StateStore, *, attempt: int) -> None:
        base = of_attempt(DELETED_CSV, attempt)
        self.uri = f"{state.uri}{base}.csv"
        self.counts: Counter[Answer] = Counter()
        """The number of objects by answer, in this attempt."""
        self._state = state
        self._file = CsvFile(state, base, COLUMNS)
        self._earlier = recorded(state, other_than=base)

    def add(self, each: Extraneous, answer: Answer, message: str = "") -> None:
        """Add the answer for one object; the next `store` stores it."""
        self._file.add((each.name, each.size_bytes, each.generation, answer, message))
        self.counts[answer] += 1

    def store(self, *, asked: Collection[Extraneous] = ()) -> None:
        """Store all answers, and then the counts. Objects in `asked` are stored as ASKED until their answers are added."""
        self._file.save([(each.name, each.size_bytes, each.generation, Answer.ASKED, "") for each in asked])
        write_counts(self._state, self._earlier + self.counts + Counter({Answer.ASKED: len(asked)}))


def write_counts(state: StateStore, counts: Counter[Answer], *, why_not: str = "") -> None:
    """Put into report.json how many objects ended with each answer, over all attempts, and why none were deleted."""
    report = read_report(state)
    deletion = {str(answer): counts[answer] for answer in Answer if counts[answer]}
    write_report(state, replace(report, deleted=counts[Answer.DELETED], deletion=deletion, why_not_deleted=why_not))


def recorded(state: StateStore, *, other_than: str = "") -> Counter[Answer]:
    """The number of objects by answer over all attempts on record, except for the attempt with this file name."""
    counts: Counter[Answer] = Counter()
    own = re.compile(rf"{re.escape(other_than)}(-\d+)?\.csv")
    for entry in list(state.entries(DELETED_CSV)):
        if not own.fullmatch(entry.name):
            text = state.read(entry.name).decode("utf-8", "replace")
            rows = csv.DictReader(io.StringIO(text, newline=""))
            counts.update(Answer(row["answer"]) for row in rows if row.get("answer") in set(Answer))
    return counts
