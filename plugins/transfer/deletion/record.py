"""What was in fact deleted: deleted.csv, written as answers come, and the counts in report.json, which agree with it."""

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
from transfer.records.layout import DELETED_CSV

COLUMNS = ("name", "bytes", "generation", "answer", "said")


class Answer(StrEnum):
    """What became of an object that was to be deleted."""

    DELETED = "deleted"
    GONE = "gone-already"
    """When its turn came; perhaps by a request of this run whose answer was lost."""
    CHANGED = "changed"
    """Written again since it was found: it stays."""
    STILL_IN_SOURCE = "still-in-source"
    """S3 has the key, when it is asked for it: it stays."""
    SOURCE_UNSURE = "source-unsure"
    """S3 did not say whether it has the key: it stays."""
    HELD = "held"
    """By a hold or a retention period: it stays."""
    REFUSED = "refused"
    """By Cloud Storage: it stays."""
    ASKED = "asked"
    """No answer came before the try ended: it is deleted, or not."""


class DeletionRecord:
    """The record of one try of the task (`attempt`, from 1). Each try has files of its own. Use from one thread."""

    def __init__(self, state: StateStore, *, attempt: int) -> None:
        base = of_attempt(DELETED_CSV, attempt)
        self.uri = f"{state.uri}{base}.csv"
        self.counts: Counter[Answer] = Counter()
        """Of this try."""
        self._state = state
        self._file = CsvFile(state, base, COLUMNS)
        self._earlier = recorded(state, but=base)

    def add(self, each: Extraneous, answer: Answer, said: str = "") -> None:
        """One answer. It is stored by the next `store`."""
        self._file.add((each.name, each.size_bytes, each.generation, answer, said))
        self.counts[answer] += 1

    def store(self, *, asked: Collection[Extraneous] = ()) -> None:
        """Store all that was added, with those that are `asked` to go as long as nobody knows better; then the counts."""
        self._file.save([(each.name, each.size_bytes, each.generation, Answer.ASKED, "") for each in asked])
        write_counts(self._state, self._earlier + self.counts + Counter({Answer.ASKED: len(asked)}))


def write_counts(state: StateStore, counts: Counter[Answer], *, why_not: str = "") -> None:
    """Put into report.json what became of the objects that were to be deleted, over all tries, and why if none were."""
    report = read_report(state)
    told = {str(answer): counts[answer] for answer in Answer if counts[answer]}
    write_report(state, replace(report, deleted=counts[Answer.DELETED], deletion=told, why_not_deleted=why_not))


def recorded(state: StateStore, *, but: str = "") -> Counter[Answer]:
    """The counts of every try on record, but for those files."""
    counts: Counter[Answer] = Counter()
    own = re.compile(rf"{re.escape(but)}(-\d+)?\.csv")
    for entry in list(state.entries(DELETED_CSV)):
        if not own.fullmatch(entry.name):
            text = state.read(entry.name).decode("utf-8", "replace")
            rows = csv.DictReader(io.StringIO(text, newline=""))
            counts.update(Answer(row["answer"]) for row in rows if row.get("answer") in set(Answer))
    return counts


def of_attempt(base: str, attempt: int) -> str:
    """What a try calls its file, so that each try stays on record."""
    return base if attempt == 1 else f"{base}.try{attempt}"
