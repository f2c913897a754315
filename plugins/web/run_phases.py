"""The phases of a run, from the states of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from pages.records import Phase, PhaseState
from web.access import RunKey
from web.run_rows import (
    CLOSE,
    DELETE,
    LIST,
    NOW_WORKING,
    OPEN,
    PREFLIGHT,
    RECONCILE,
    RETRY,
    TRANSFER,
    VERIFY,
    RunRows,
    TaskRow,
)

PHASES = (
    ("Checking", (PREFLIGHT, OPEN)),
    ("Listing", (LIST,)),
    ("Copying", (TRANSFER,)),
    ("Judging", (RECONCILE,)),
    ("Second pass", (RETRY,)),
    ("Verifying", (VERIFY,)),
    ("Deleting", (DELETE,)),
    ("Done", (CLOSE,)),
)
NOTES = {
    "up_for_retry": "waits for its next attempt",
    "up_for_reschedule": "waits for its next look",
    "queued": "waits for a free slot of Airflow",
    "scheduled": "waits for a free slot of Airflow",
}
STATES = {
    "running": PhaseState.RUNNING,
    "restarting": PhaseState.RUNNING,
    "deferred": PhaseState.RUNNING,
    "success": PhaseState.DONE,
    "failed": PhaseState.FAILED,
    "skipped": PhaseState.SKIPPED,
    "removed": PhaseState.SKIPPED,
    "upstream_failed": PhaseState.SKIPPED,
    **dict.fromkeys(NOTES, PhaseState.RUNNING),
}


def state_of(task: TaskRow) -> PhaseState:
    """How far a task is."""
    return STATES.get(task.state or "", PhaseState.PENDING)


def phases_of(rows: RunRows, now: datetime) -> tuple[Phase, ...]:
    """The phases that the copy has, in their order."""
    found = []
    for name, parts in PHASES:
        tasks = [task for part in parts for task in rows.tasks.get(part, ())]
        if tasks:
            found.append(_phase(name, tasks, rows.key, now))
    return tuple(found)


def _phase(name: str, tasks: Sequence[TaskRow], key: RunKey, now: datetime) -> Phase:
    state = _state([state_of(task) for task in tasks])
    began_at = min((task.began_at for task in tasks if task.began_at), default=None)
    ends = [task.ended_at for task in tasks if task.ended_at]
    ended_at = max(ends) if ends and state is not PhaseState.RUNNING else None
    is_timed = began_at is not None and state is not PhaseState.SKIPPED
    waiting = [task for task in tasks if task.state in NOTES]
    note = NOTES[waiting[0].state or ""] if waiting and not any(task.state == "running" for task in tasks) else ""
    shown = next((task for task in tasks if task.state == "failed" or task.state in NOW_WORKING), tasks[-1])
    return Phase(
        name=name,
        state=state,
        began_at=began_at,
        ended_at=ended_at,
        seconds=((ended_at or now) - began_at).total_seconds() if is_timed and began_at else None,
        note=note,
        url=task_url(key, shown),
    )


def _state(states: Sequence[PhaseState]) -> PhaseState:
    """The state of a phase of several tasks: the first of these that applies."""
    for state in (PhaseState.RUNNING, PhaseState.FAILED):
        if state in states:
            return state
    if PhaseState.PENDING in states:
        return PhaseState.RUNNING if PhaseState.DONE in states else PhaseState.PENDING
    return PhaseState.DONE if PhaseState.DONE in states else PhaseState.SKIPPED


def task_url(key: RunKey, task: TaskRow) -> str:
    """The page of a task in Airflow's UI, with its log, relative to the page of the run."""
    url = f"{run_url(key)}/tasks/{quote(task.task_id, safe='')}"
    return url if task.map_index < 0 else f"{url}/mapped/{task.map_index}"


def run_url(key: RunKey) -> str:
    """The page of a run in Airflow's UI, relative to the page of the run."""
    return f"../dags/{quote(key.dag_id, safe='')}/runs/{quote(key.run_id, safe='')}"
