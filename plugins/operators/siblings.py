"""The other tasks of the same copy: their ids, and whether its teardown has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def sibling(task: Task, name: str) -> str:
    """The id of a task of the same copy: in a task group it has the group's prefix. One with a dot is an id already."""
    group, dot, _ = str(task.task_id).rpartition(".")
    return name if "." in name else f"{group}{dot}{name}"


def state_of(task: Task, name: str) -> str | None:
    """The state of another task of this run; None when it has none yet, or there is no such task."""
    task_id = sibling(task, name)
    states = task.get_task_states(dag_id=task.dag_id, task_ids=[task_id], run_ids=[task.run_id])
    state = states.get(task.run_id, {}).get(task_id)
    return None if state is None else str(state)


def has_ended(task: Task, name: str) -> bool:
    """Whether a task of this run has come to its end, whatever that was, and was not cleared since."""
    return state_of(task, name) in ENDED


def refuse_when_closed(task: Task, close_task: str) -> None:
    """Raises AirflowSkipException when the run was closed and this task was cleared alone.

    Its subscriptions are gone, and nobody would hear of what it found, verify it or close after it.
    """
    if has_ended(task, close_task):
        raise AirflowSkipException(
            f"{sibling(task, close_task)} has closed this run, so this task alone changes nothing: clear"
            f" {task.task_id} with what is downstream of it, which opens the run anew"
        )
