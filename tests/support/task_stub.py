"""What a task sees of Airflow, for operators that are run without one: states of other tasks, XComs, runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

# To the type checker it fits where a task of Airflow's is expected; at run time, a class made from Any takes no arguments.
_Anything: Any = Any if TYPE_CHECKING else object


@dataclass
class TaskStub(_Anything):
    """Stands for the context's `ti`, of which it has the part that the operators use."""

    task_id: str
    dag_id: str = "s3_to_gcs"
    run_id: str = "r1"
    try_number: int = 1
    map_index: int = -1
    states: dict[str, str] = field(default_factory=dict)
    """Of the tasks of this run, by id."""
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    """By task id and key."""
    open_runs: Sequence[str] = ("r1",)
    """The ids of the runs that Airflow has not ended."""

    def get_task_states(self, *, dag_id: str, task_ids: Sequence[str], run_ids: Sequence[str]) -> dict[str, Any]:
        return {run_id: {task_id: self.states.get(task_id) for task_id in task_ids} for run_id in run_ids}

    def get_dr_count(self, dag_id: str, *, run_ids: Sequence[str], states: Sequence[str]) -> int:
        return len(set(run_ids) & set(self.open_runs))

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[self.task_id, key] = value

    def xcom_pull(self, task_ids: str | Sequence[str], key: str = "return_value") -> Any:
        if isinstance(task_ids, str):
            return self.xcoms.get((task_ids, key))
        return [self.xcoms.get((task_id, key)) for task_id in task_ids]
