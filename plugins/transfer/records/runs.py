"""The index of the runs under a state prefix: finds the last run, and the runs whose records may be deleted.

<state prefix>/runs/<DAG>/<opened at>-<run>     one small entry per opening, so that one listing request returns them in order
<state prefix>/<run>/…                          the run's records
<state prefix>/uploads/<run>/…                  the run's unfinished uploads
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from transfer.ports import StateStore
from transfer.records.layout import RUNS, runs_folder, uploads_closed

ABANDONED_S = 31 * 24 * 3600
"""A run that was opened this long ago and never closed cannot continue: Pub/Sub has dropped its messages by then."""
CLOSED, RUN_ID, OPENING = "closed", "run-id", "opening"
"""The names of an entry's metadata."""
MAX_OPENINGS = 200
_ENTRY = re.compile(rf"{RUNS}[^/]+/(?P<opened_at_s>\d{{12}})-(?P<run>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One entry of the index: one opening of a run."""

    name: str
    run: str
    """The name of the run's folder of records."""
    opened_at_s: int
    """Unix time by the clock of the machine that opened the run. It only orders runs: preflight refuses a clock that is 5
    minutes off."""
    written_at_s: float
    """Unix time by Cloud Storage's clock; 0 where the server does not report it."""
    is_closed: bool
    run_id: str = ""
    """Airflow's id of the DAG run."""
    opening: int = 1
    """The number of this opening of the run, from 1."""

    def is_abandoned(self, now_s: float) -> bool:
        """Whether a run that is not closed is too old to continue. It compares Cloud Storage's times only, so that no machine's
        wrong clock makes a live run look abandoned."""
        return bool(self.written_at_s) and now_s - self.written_at_s > ABANDONED_S


class RunIndex:
    """The runs of one DAG. `state` is the store of the whole state prefix. Use from one thread."""

    def __init__(self, state: StateStore, dag: str) -> None:
        self._state = state
        self._prefix = runs_folder(dag)

    def open(self, run: str, opened_at_s: float, *, run_id: str = "", opening: int = 1) -> None:
        """Record that a run was opened."""
        self._write(run, int(opened_at_s), {CLOSED: "no", RUN_ID: quote(run_id), OPENING: str(opening)})

    def close(self, run: str, opened_at_s: float) -> None:
        """Record that the tasks of this opening of a run have ended."""
        self._write(run, int(opened_at_s), {CLOSED: "yes"})

    def entries(self) -> Iterator[RunEntry]:
        """The entries of the DAG's runs, oldest first."""
        return _entries(self._state, self._prefix)

    def last_but(self, run: str) -> str | None:
        """The folder of the last opened run other than `run`; None when there is no other."""
        last = None
        for entry in self.entries():
            last = entry.run if entry.run != run else last
        return last

    def old(self, keep: int) -> list[str]:
        """The folders of all but the newest `keep` runs, oldest first.

        A run that has not been closed is not among them, unless its entry is older by ABANDONED_S than the newest of all.
        """
        newest: dict[str, RunEntry] = {}
        for entry in self.entries():  # a run that was opened again has several entries
            newest.pop(entry.run, None)
            newest[entry.run] = entry
        now_s = _now_s(newest.values())
        return [
            entry.run
            for entry in list(newest.values())[: max(0, len(newest) - keep)]
            if entry.is_closed or entry.is_abandoned(now_s)
        ]

    def remove(self, run: str) -> None:
        """Delete the records of a run and then its entries, so that an interrupted removal is repeated."""
        for folder in (f"{run}/", uploads_closed(run)):
            for record in list(self._state.entries(folder)):
                self._state.delete(record.name)
        for entry in list(self.entries()):
            if entry.run == run:
                self._state.delete(entry.name)

    def _write(self, run: str, opened_at_s: int, metadata: Mapping[str, str]) -> None:
        name = f"{self._prefix}{opened_at_s:012d}-{run}"
        self._state.write(name, b"", content_type="text/plain", metadata=metadata)


def open_runs(state: StateStore) -> set[str]:
    """The folders of the runs of all DAGs that may still continue: opened, and neither closed nor abandoned."""
    last: dict[str, RunEntry] = {}
    for entry in _entries(state, RUNS):
        last[entry.run] = max(last.get(entry.run, entry), entry, key=lambda known: known.opened_at_s)
    now_s = _now_s(last.values())
    return {entry.run for entry in last.values() if not (entry.is_closed or entry.is_abandoned(now_s))}


def _now_s(entries: Iterable[RunEntry]) -> float:
    """When the newest entry was written, by Cloud Storage's clock: a lower bound of the present time."""
    return max((entry.written_at_s for entry in entries), default=0.0)


def _entries(state: StateStore, prefix: str) -> Iterator[RunEntry]:
    for entry in state.entries(prefix):
        if match := _ENTRY.fullmatch(entry.name):
            yield RunEntry(
                name=entry.name,
                run=match["run"],
                opened_at_s=int(match["opened_at_s"]),
                written_at_s=entry.created_at_s,
                is_closed=entry.metadata.get(CLOSED) == "yes",
                run_id=unquote(entry.metadata.get(RUN_ID, "")),
                opening=_count(entry.metadata.get(OPENING, "")),
            )


def _count(text: str) -> int:
    """The number in a metadata value, which is not trusted: 1 for any other text, and at most MAX_OPENINGS."""
    return min(int(text), MAX_OPENINGS) if re.fullmatch(r"[0-9]{1,4}", text) else 1
