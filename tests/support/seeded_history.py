"""DAGs with the runs of weeks, written straight into Airflow's metadata database, many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.orm import Session

from seeded_runs import OPERATORS, REPORT

BUNDLE = "seeded"
NOW = datetime.now(UTC).replace(microsecond=0)


def report(
    listed: int, *, unfinished: int = 0, mib: float = 100.0, seconds: float = 60.0, **more: Any
) -> dict[str, Any]:
    """A report.json of a run that copied all it listed but the `unfinished` objects."""
    costs = {**REPORT["costs"], "least_usd": more.pop("usd", 0.01)}
    counts = {"listed": listed, "copied": listed - unfinished, "matched": listed - unfinished, "failed": unfinished}
    reasons = REPORT["reasons"][:1] if unfinished else []
    sums = {"bytes_copied": int(mib * 1024**2), "seconds": seconds, "costs": costs, "skipped": 0, "reasons": reasons}
    return {**REPORT, **counts, **sums, **more}


@dataclass(frozen=True, kw_only=True)
class Seed:
    """One run. `report` is the XCom of `verify`, and `plan` that of `list`; None for a run that has none."""

    due_at: datetime
    state: str = "success"
    report: Any = None
    plan: Any = None
    run_type: str = "scheduled"
    interval: timedelta | None = None
    took: timedelta = timedelta(minutes=1)
    run_id: str = field(default_factory=lambda: f"r-{uuid4().hex[:8]}")


def forget_dags(session: Session) -> None:
    """Remove the DAGs of an earlier test."""
    session.execute(delete(DagTag))
    session.execute(delete(DagModel).where(DagModel.bundle_name == BUNDLE))


def seed_dag(
    session: Session,
    dag_id: str,
    runs: Sequence[Seed] = (),
    *,
    every: timedelta | None = timedelta(days=1),
    next_due_at: datetime | None = None,
    tags: Sequence[str] = ("edgehaul", "route"),
    **values: Any,
) -> None:
    """A DAG as the DAG processor writes it, whose schedule has the interval `every`, and its runs."""
    if session.get(DagBundleModel, BUNDLE) is None:
        session.add(DagBundleModel(name=BUNDLE))
        session.flush()
    due_at = next_due_at or (NOW + every / 2 if every else None)
    times: dict[str, Any] = {"next_dagrun_create_after": due_at}
    if due_at and every:
        times |= {"next_dagrun_data_interval_start": due_at - every, "next_dagrun_data_interval_end": due_at}
    words = {"timetable_summary": "0 2 * * *", "timetable_description": "At 02:00"} if every else {}
    limits = {"max_active_tasks": 128, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
    given = {"is_paused": False, "is_stale": False, "dag_id": dag_id, "bundle_name": BUNDLE, **limits, **times, **words}
    _insert(session, DagModel, [{**given, **values}])
    _insert(session, DagTag, [{"dag_id": dag_id, "name": tag} for tag in tags])
    _seed_runs(session, dag_id, [(run, run.interval or every) for run in runs])


def _seed_runs(session: Session, dag_id: str, runs: Sequence[tuple[Seed, timedelta | None]]) -> None:
    first = (session.scalar(select(func.max(DagRun.id))) or 0) + 1
    days: list[dict[str, Any]] = []
    tasks: list[dict[str, Any]] = []
    xcoms: list[dict[str, Any]] = []
    for number, (run, every) in enumerate(runs, first):
        named = {"dag_id": dag_id, "run_id": run.run_id}
        is_live = run.state in ("running", "queued")
        days.append(
            {
                **named,
                "id": number,
                "state": run.state,
                "run_type": run.run_type,
                "run_after": run.due_at,
                "start_date": None if run.state == "queued" else run.due_at,
                "end_date": None if is_live else run.due_at + run.took,
                "data_interval_start": run.due_at - every if every is not None else None,
                "data_interval_end": run.due_at if every is not None else None,
                "conf": {},
            }
        )
        for task_id, key, value in (("verify", "report", run.report), ("list", "plan", run.plan)):
            if value is None:
                continue
            tasks.append(_task(named, task_id))
            xcoms.append(
                {**named, "dag_run_id": number, "task_id": task_id, "map_index": -1, "key": key, "value": value}
                | {"timestamp": run.due_at}
            )
    for model, rows in ((DagRun, days), (TaskInstance, tasks), (XComModel, xcoms)):
        _insert(session, model, rows)


def _task(named: Mapping[str, str], task_id: str) -> dict[str, Any]:
    values = {"id": uuid4(), "task_id": task_id, "map_index": -1, "state": "success", "operator": OPERATORS[task_id]}
    places = {"try_number": 1, "max_tries": 6, "pool": "default_pool", "pool_slots": 1, "hostname": "w"}
    return {**named, **values, **places, "span_status": "not_started"}


def _insert(session: Session, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    table: Table = model.__table__
    if rows:
        session.execute(insert(table), list(rows))
        session.flush()


def daily(count: int, made: Any = None, *, last: datetime = NOW - timedelta(hours=3), **values: Any) -> list[Seed]:
    """Green runs on consecutive days. `made` makes the report of a run from its number; 0 is the oldest."""
    of = made or (lambda number: report(100 + number))
    days = [last - timedelta(days=count - 1 - number) for number in range(count)]
    return [Seed(due_at=day, report=of(number), **values) for number, day in enumerate(days)]


def bulky(count: int = 50) -> dict[str, Any]:
    """A report with this many reasons, each with three long keys: with 50, nearly the 48 KiB that an XCom may have."""
    reason = {"verdict": "failed", "count": 3, "samples": ["k" * 250] * 3, "advice": "a" * 20, "message": "m" * 20}
    made = report(1000, unfinished=3 * count)
    return {**made, "reasons": [{**reason, "reason": f"Reason{number}"} for number in range(count)]}
