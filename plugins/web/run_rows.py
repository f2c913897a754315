"""Reads what Airflow's metadata database has about one run: its tasks, their results, and their live counts.

Columns only, five statements: a page that is open asks every 2 s, and a run may have 64 workers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
from airflow.models.task_state_store import TaskStateStoreModel as Stored
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from operators.hand_over import PLAN_KEY, SUMMARY_KEY
from operators.live_progress import HISTORY_KEY, PROGRESS_KEY
from operators.report_xcom import REPORT_KEY
from operators.siblings import ENDED
from transfer.accounting.rate_history import RateHistory
from web.access import RunKey

PROBLEM_KEY = "problem"
LINK_KEYS = ("_link_DestinationLink", "_link_ReportLink", "_link_LogsLink")

PREFLIGHT, OPEN, LIST, TRANSFER, RECONCILE, RETRY, VERIFY, DELETE, CLOSE = ROLES = (
    "preflight",
    "open_run",
    "list",
    "transfer",
    "reconcile",
    "retry",
    "verify",
    "delete_extraneous",
    "close_run",
)
"""The parts of a copy, by the usual ids of their tasks."""
WORKERS = (TRANSFER, RETRY)
ROLES_OF = {
    "PreflightOperator": (PREFLIGHT,),
    "OpenTransferRunOperator": (OPEN,),
    "S3ListToPubSubOperator": (LIST,),
    "CloudfrontToGcsWorker": (TRANSFER, RETRY),
    "ReconcileTransferOperator": (RECONCILE, VERIFY),
    "DeleteExtraneousOperator": (DELETE,),
    "CloseTransferRunOperator": (CLOSE,),
}
"""The parts that tasks of an operator's class take, in their order."""
NOW_WORKING = frozenset(
    {"running", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "deferred", "restarting"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task instance. Times are aware; `map_index` is -1 for a task that is not mapped."""

    task_id: str
    map_index: int
    state: str | None
    operator: str
    began_at: datetime | None
    ended_at: datetime | None
    attempt: int
    attempts: int
    host: str
    label: str

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, and was not cleared since."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The DAG run itself."""

    id: int
    state: str
    began_at: datetime | None
    ended_at: datetime | None
    moment: datetime
    """The date that the run is for, by the rules of `operators.run_date`."""
    conf: Mapping[str, Any]

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRows:
    """One copy of a run."""

    key: RunKey
    run: RunFacts
    groups: tuple[str, ...]
    """The task groups with a copy; empty for a copy outside of a group. None for a run that copies nothing."""
    group: str
    """The group of this copy."""
    tasks: Mapping[str, Sequence[TaskRow]]
    """By part."""
    results: Mapping[tuple[str, int, str], Any] = field(default_factory=dict)
    """XComs by part, map index and key."""
    stored: Mapping[tuple[str, int, str], Any] = field(default_factory=dict)
    """The task state store by part, map index and key; a history as a RateHistory, which nobody may change."""
    rendered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The rendered arguments of the tasks that are not mapped, by part."""

    def result(self, part: str, key: str) -> Any:
        """What a task of this copy has handed over; None if it has not, or was cleared since."""
        tasks = self.tasks.get(part, ())
        return self.results.get((part, -1, key)) if tasks and tasks[0].state is not None else None

    def argument(self, name: str) -> str:
        """A rendered argument of the operators, from the first part that has it; empty for none."""
        for part in (LIST, OPEN, PREFLIGHT):
            value = self.rendered.get(part, {}).get(name)
            if isinstance(value, str):
                return value
        return ""


def run_facts(session: Session, key: RunKey) -> RunFacts | None:
    """The DAG run; None where there is none."""
    columns = (
        DagRun.id,
        DagRun.state,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.data_interval_start,
        DagRun.logical_date,
        DagRun.run_after,
        DagRun.conf,
    )
    found = session.execute(
        select(*columns).where(DagRun.dag_id == key.dag_id, DagRun.run_id == key.run_id)
    ).one_or_none()
    if found is None:
        return None
    number, state, began_at, ended_at, interval_start, logical_date, run_after, conf = found
    return RunFacts(
        id=number,
        state=str(state or ""),
        began_at=began_at,
        ended_at=ended_at,
        moment=interval_start or logical_date or run_after,
        conf=conf if isinstance(conf, dict) else {},
    )


def run_rows(session: Session, key: RunKey, run: RunFacts, group: str | None = None) -> RunRows:
    """One copy of a run: that of `group`, or the first one."""
    tasks = _tasks(session, key)
    groups = tuple(sorted({task.task_id.rpartition(".")[0] for task in tasks}))
    chosen = group if group is not None and group in groups else next(iter(groups), "")
    parts = _parts([task for task in tasks if task.task_id.rpartition(".")[0] == chosen])
    part_of = {rows[0].task_id: part for part, rows in parts.items()}
    return RunRows(
        key=key,
        run=run,
        groups=groups,
        group=chosen,
        tasks=parts,
        results=_results(session, run, part_of),
        stored=_stored(session, run, part_of),
        rendered=_rendered(session, key, part_of),
    )


def _tasks(session: Session, key: RunKey) -> list[TaskRow]:
    task = TaskInstance
    columns = (
        task.task_id,
        task.map_index,
        task.state,
        task.operator,
        task.start_date,
        task.end_date,
        task.try_number,
        task.max_tries,
        task.hostname,
        task._rendered_map_index,
    )
    rows = session.execute(
        select(*columns)
        .where(task.dag_id == key.dag_id, task.run_id == key.run_id, task.operator.in_(ROLES_OF))
        .order_by(task.task_id, task.map_index)
    )
    return [
        TaskRow(
            task_id=row[0],
            map_index=row[1],
            state=row[2],
            operator=row[3] or "",
            began_at=row[4],
            ended_at=row[5],
            attempt=row[6] or 0,
            attempts=(row[7] or 0) + 1,
            host=row[8] or "",
            label=row[9] or "",
        )
        for row in rows
    ]


def _parts(tasks: Sequence[TaskRow]) -> dict[str, list[TaskRow]]:
    """The tasks by the part they take: that of their name, or else the first of their class that is free."""
    ids = {task.task_id: task.operator for task in tasks}
    part_of: dict[str, str] = {}
    for is_by_name in (True, False):
        for task_id, operator in ids.items():
            free = [part for part in ROLES_OF[operator] if part not in part_of.values()]
            name = task_id.rpartition(".")[2]
            if task_id not in part_of and free and (name in free or not is_by_name):
                part_of[task_id] = name if name in free else free[0]
    parts: dict[str, list[TaskRow]] = {}
    for task in tasks:
        if task.task_id in part_of:
            parts.setdefault(part_of[task.task_id], []).append(task)
    return parts


def _results(session: Session, run: RunFacts, part_of: Mapping[str, str]) -> dict[tuple[str, int, str], Any]:
    """The XComs that a page shows: not the worker slots, which `list` and `reconcile` return."""
    returning = [task_id for task_id, part in part_of.items() if part not in (LIST, RECONCILE)]
    rows = session.execute(
        select(XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value).where(
            XComModel.dag_run_id == run.id,
            or_(
                and_(
                    XComModel.task_id.in_(list(part_of)),
                    XComModel.key.in_([SUMMARY_KEY, PLAN_KEY, REPORT_KEY, PROBLEM_KEY, *LINK_KEYS]),
                ),
                and_(XComModel.task_id.in_(returning), XComModel.key == "return_value"),
            ),
        )
    )
    return {(part_of[task_id], map_index, key): _json(value) for task_id, map_index, key, value in rows}


def _stored(session: Session, run: RunFacts, part_of: Mapping[str, str]) -> dict[tuple[str, int, str], Any]:
    rows = session.execute(
        select(Stored.task_id, Stored.map_index, Stored.key, Stored.value).where(
            Stored.dag_run_id == run.id,
            Stored.task_id.in_(list(part_of)),
            Stored.key.in_([PROGRESS_KEY, HISTORY_KEY]),
        )
    )
    return {
        (part_of[task_id], map_index, key): _history(value) if key == HISTORY_KEY else _json(value)
        for task_id, map_index, key, value in rows
    }


@lru_cache(maxsize=512)
def _history(text: str) -> RateHistory:
    """The history that a worker has written. Most are the same as 2 s before: with 64 workers, each writes every 8 s."""
    return RateHistory.of(_json(text))


def _rendered(session: Session, key: RunKey, part_of: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    wanted = [task_id for task_id, part in part_of.items() if part in (PREFLIGHT, OPEN, LIST)]
    rows = session.execute(
        select(Rendered.task_id, Rendered.rendered_fields).where(
            Rendered.dag_id == key.dag_id,
            Rendered.run_id == key.run_id,
            Rendered.task_id.in_(wanted),
            Rendered.map_index == -1,
        )
    )
    return {part_of[task_id]: fields for task_id, fields in rows if isinstance(fields, dict)}


def _json(value: Any) -> Any:
    """A value that is stored as JSON text, or as JSON itself; a text that is no JSON stays one."""
    with suppress(ValueError, RecursionError):
        return json.loads(value) if isinstance(value, str) else value
    return value
