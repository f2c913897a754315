"""Finds the ids and states of the other tasks of the same copy in a DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def sibling(task: Task, name: str) -> str:
    """The id of the task `name` of the same copy, with the prefix of its task group. A name with a dot already is an id."""
    group, dot, _ = str(task.task_id).rpartition(".")
    return name if "." in name else f"{group}{dot}{name}"


def state_of(task: Task, name: str) -> str | None:
    """The state of another task of this run; None when it has none yet, or there is no such task."""
    task_id = sibling(task, name)
    states = task.get_task_states(dag_id=task.dag_id, task_ids=[task_id], run_ids=[task.run_id])
    state = states.get(task.run_id, {}).get(task_id)
    return None if state is None else str(state)


def has_ended(task: Task, name: str) -> bool:
    """Whether a task of this run has ended in any state, and was not cleared since."""
    return state_of(task, name) in ENDED


def refuse_when_closed(task: Task, close_task: str) -> None:
    """Raises AirflowSkipException when the run was closed and this task was cleared alone.

    The subscriptions are gone, and no other task would use its results, verify them, or close the run.
    """
    if has_ended(task, close_task):
        raise AirflowSkipException(
            f"{sibling(task, close_task)} has closed this run, so clearing this task alone has no effect: clear"
            f" {task.task_id} with what is downstream of it, which reopens the run"
        )
