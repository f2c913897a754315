"""Reads what Airflow's metadata database has about all DAGs that copy, and their last runs.

Columns only, and the same number of statements for any number of DAGs and runs: a page that is open asks every 2 s while a run
is under way.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel as Stored
from airflow.models.xcom import XComModel
from sqlalchemy import ARRAY, JSON, ColumnElement, Text, and_, case, cast, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.orm import Session

from operators.hand_over import PLAN_KEY, SUMMARY_KEY
from operators.live_progress import PROGRESS_KEY
from operators.report_xcom import REPORT_KEY
from pages.documents import Document
from pages.overview import RUNS_SHOWN, RunFigures, figures_of, together
from web.lateness import Interval

TAG = "edgehaul"
"""The tag of every DAG that `routes.pipeline` makes. A DAG of a user's own is shown when it has it."""
MOST_RUNS = 6_000
"""How many runs are shown altogether: with more than 200 DAGs, each shows fewer than RUNS_SHOWN."""
MOST_KNOWN = 20_000
"""How many runs' figures are kept in memory, of about 1 KiB each."""
UNREAD = ("reasons", "parameters", "sizes", "evidence", "phases", "requests", "usage", "band_ends_bytes", "computed")
"""The fields of a report or a plan that no figure is made of, and that are most of it."""
LIVE = ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRow:
    """A DAG that copies."""

    dag_id: str
    display_name: str
    description: str
    is_paused: bool
    cron: str
    schedule: str
    next_due_at: datetime | None
    next_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One of its runs. Times are aware."""

    id: int
    dag_id: str
    run_id: str
    state: str
    is_scheduled: bool
    due_at: datetime
    began_at: datetime | None
    ended_at: datetime | None
    interval: Interval
    opening: int
    """How often it was cleared."""

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE


def dag_rows(session: Session) -> list[DagRow]:
    """The DAGs that have the tag, and that Airflow still finds."""
    columns = (
        DagModel.dag_id,
        DagModel._dag_display_property_value,
        DagModel.description,
        DagModel.is_paused,
        DagModel.timetable_summary,
        DagModel.timetable_description,
        DagModel.next_dagrun_create_after,
        DagModel.next_dagrun_data_interval_start,
        DagModel.next_dagrun_data_interval_end,
    )
    tagged = select(DagTag.dag_id).where(DagTag.name == TAG)
    rows = session.execute(select(*columns).where(DagModel.dag_id.in_(tagged), DagModel.is_stale.is_(False)))
    return [
        DagRow(
            dag_id=row[0],
            display_name=row[1] or row[0],
            description=row[2] or "",
            is_paused=bool(row[3]),
            cron=row[4] or "",
            schedule=row[5] or "",
            next_due_at=row[6],
            next_interval=(row[7], row[8]),
        )
        for row in rows
    ]


def last_runs(session: Session, dag_ids: Collection[str]) -> dict[str, list[RunRow]]:
    """The last runs of each DAG, newest first, by the dates on which they were due."""
    columns = (
        DagRun.id,
        DagRun.dag_id,
        DagRun.run_id,
        DagRun.state,
        DagRun.run_type,
        DagRun.run_after,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.data_interval_start,
        DagRun.data_interval_end,
        DagRun.clear_number,
    )
    newest_first = (DagRun.run_after.desc(), DagRun.id.desc())
    place = func.row_number().over(partition_by=DagRun.dag_id, order_by=newest_first).label("place")
    placed = select(DagRun.id, place).where(DagRun.dag_id.in_(dag_ids)).subquery()
    each = min(RUNS_SHOWN, max(1, MOST_RUNS // max(1, len(dag_ids))))
    shown = select(placed.c.id).where(placed.c.place <= each)
    found: dict[str, list[RunRow]] = defaultdict(list)
    for row in session.execute(select(*columns).where(DagRun.id.in_(shown)).order_by(*newest_first)):
        found[row[1]].append(
            RunRow(
                id=row[0],
                dag_id=row[1],
                run_id=row[2],
                state=str(row[3] or ""),
                is_scheduled=str(row[4]) == "scheduled",
                due_at=row[5],
                began_at=row[6],
                ended_at=row[7],
                interval=(row[8], row[9]),
                opening=row[10] or 0,
            )
        )
    return found


_known: dict[tuple[object, ...], RunFigures | None] = {}
"""The figures of runs that have ended. They do not change until the run is cleared: then it ends at another time."""


def figures(session: Session, runs: Iterable[RunRow]) -> Mapping[int, RunFigures | None]:
    """The figures of the runs that have ended, by their ids; None for a run without a report or a plan.

    Each report is read once: a thousand of them take most of the time of the first answer.
    """
    global _known
    keys = {run.id: (run.id, run.run_id, run.ended_at, run.opening) for run in runs if not run.is_live}
    found = {number: _known[key] for number, key in keys.items() if key in _known}
    if missing := [number for number in keys if number not in found]:
        read = _read(session, missing)
        found |= {number: read.get(number) for number in missing}
        if len(_known) > MOST_KNOWN:
            _known = {}  # a new one, because another thread may be reading the old one
        _known.update({keys[number]: found[number] for number in missing})
    return found


def _read(session: Session, run_numbers: Sequence[int]) -> dict[int, RunFigures | None]:
    """Of each copy of a run the newest report, which is that of the last task that judged; or its plan."""
    value = _without_unread(session.get_bind().dialect.name)
    rows = session.execute(
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.timestamp, XComModel.key, value).where(
            XComModel.dag_run_id.in_(run_numbers), XComModel.key.in_([REPORT_KEY, PLAN_KEY])
        ),
        execution_options={"yield_per": 100},  # never all at once: elsewhere, each has up to 48 KiB
    )
    copies: dict[int, dict[str, tuple[datetime, RunFigures]]] = defaultdict(dict)
    for number, task_id, at, key, value in rows:
        group = task_id.rpartition(".")[0]
        before = copies[number].get(group)
        if (before is None or before[0] < at) and (found := figures_of(_json(value), is_plan=key == PLAN_KEY)):
            copies[number][group] = (at, found)
    return {number: together([found for _, found in groups.values()]) for number, groups in copies.items()}


def _without_unread(dialect: str) -> ColumnElement[Any]:
    """The value of an XCom without UNREAD, so that these are neither sent nor parsed: with a thousand reports of 48 KiB, that is
    0.1 s in place of 0.5 s. Whole where the database is neither SQLite nor PostgreSQL.
    """
    value: ColumnElement[Any] = XComModel.value.expression
    if dialect == "sqlite":  # it refuses NaN, which Python writes
        removed = type_coerce(func.json_remove(value, *(f"$.{name}" for name in UNREAD)), JSON())
        return case((func.json_valid(value) == 1, removed))
    if dialect == "postgresql":
        names = cast(array(UNREAD), ARRAY(Text))
        return case((func.jsonb_typeof(value) == "object", value.op("-", return_type=JSONB())(names)), else_=value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known of all runs of a DAG."""

    first_due_at: datetime
    green_at: datetime | None
    """When the last run was due that succeeded with a report."""


def past(session: Session, dag_ids: Collection[str]) -> dict[str, Past]:
    """What is known of all runs: for the DAGs whose last runs do not have a green one."""
    if not dag_ids:
        return {}
    reported = select(XComModel.dag_run_id).where(XComModel.dag_id.in_(dag_ids), XComModel.key == REPORT_KEY)
    is_green = and_(DagRun.state == "success", DagRun.id.in_(reported))
    ends = select(DagRun.dag_id, func.min(DagRun.run_after)).where(DagRun.dag_id.in_(dag_ids)).group_by(DagRun.dag_id)
    greens = select(DagRun.dag_id, func.max(DagRun.run_after)).where(DagRun.dag_id.in_(dag_ids), is_green)
    green_at = {row[0]: row[1] for row in session.execute(greens.group_by(DagRun.dag_id))}
    return {row[0]: Past(first_due_at=row[1], green_at=green_at.get(row[0])) for row in session.execute(ends)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How far a run is that is under way."""

    objects: int = 0
    """How many there are to copy; 0 until the listing has ended."""
    done: int = 0
    failed: int = 0


def work(session: Session, runs: Iterable[RunRow]) -> dict[int, Work]:
    """How far the runs are that are under way, by their ids: the counts of all their workers."""
    numbers = [run.id for run in runs if run.is_live]
    if not numbers:
        return {}
    totals: dict[int, int] = defaultdict(int)
    wanted = and_(XComModel.dag_run_id.in_(numbers), XComModel.key == SUMMARY_KEY)
    is_list = or_(XComModel.task_id == "list", XComModel.task_id.like("%.list"))
    for number, value in session.execute(select(XComModel.dag_run_id, XComModel.value).where(wanted, is_list)):
        totals[number] += Document(_json(value)).whole("objects")
    done: dict[int, int] = defaultdict(int)
    failed: dict[int, int] = defaultdict(int)
    stored = select(Stored.dag_run_id, Stored.value).where(
        Stored.dag_run_id.in_(numbers), Stored.key == PROGRESS_KEY, Stored.map_index >= 0
    )
    for number, value in session.execute(stored):
        counts = Document(_json(value))
        failed[number] += counts.whole("failed")
        done[number] += counts.whole("copied") + counts.whole("skipped") + counts.whole("failed")
    return {number: Work(objects=totals[number], done=done[number], failed=failed[number]) for number in numbers}


def _json(value: Any) -> Any:
    """A value that is stored as JSON text, or as JSON itself; a text that is no JSON stays one."""
    with suppress(ValueError, RecursionError):
        return json.loads(value) if isinstance(value, str) else value
    return value
