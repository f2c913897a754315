"""What a person may do to a run whose workers are copying, and how the run has to end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo.airflow_api import Run
from pipeline import Pipeline


@dataclass(frozen=True)
class Case:
    """One action of a person, and the outcome of the run."""

    name: str
    act: Callable[[Pipeline, Run], None]
    ends: str = "failed"
    advice: str = "reconcile"
    """The task that close_run or delete_extraneous advise to clear; empty when neither gives advice."""
    then: str = ""
    """The task to clear where no advice is given."""


def marked(task_id: str, state: str, **outcome: str) -> Case:
    return Case(f"{task_id} {state}", lambda pipeline, run: pipeline.airflow.mark_task(run, task_id, state), **outcome)


def run_marked(state: str, **outcome: str) -> Case:
    return Case(f"run {state}", lambda pipeline, run: pipeline.airflow.mark_run(run, state), **outcome)


def cleared(task_id: str, *, is_alone: bool, **outcome: str) -> Case:
    how = "alone" if is_alone else "downstream"
    return Case(
        f"{task_id} cleared {how}",
        lambda pipeline, run: pipeline.airflow.clear_task(run, task_id, is_alone=is_alone),
        **outcome,
    )


def mark_both(pipeline: Pipeline, run: Run) -> None:
    """Mark the verification, and the teardown that asks for its verdict."""
    pipeline.airflow.mark_task(run, "verify", "success")
    pipeline.airflow.mark_task(run, "close_run", "success")


GREEN = {"ends": "success", "advice": ""}
WAVES: list[list[Case]] = [
    [
        run_marked("failed"),
        marked("verify", "success"),
        marked("transfer", "failed", **GREEN),
        marked("open_run", "failed", advice="", then="open_run"),
        Case("verify and close_run success", mark_both, advice="reconcile"),
    ],
    [
        run_marked("success"),
        marked("close_run", "success"),
        marked("transfer", "success", **GREEN),
        marked("transfer", "skipped", **GREEN),
        marked("reconcile", "success", **GREEN),
        marked("reconcile", "failed", **GREEN),
        marked("reconcile", "skipped", **GREEN),
        marked("verify", "failed"),
        marked("verify", "skipped"),
    ],
    [
        marked("retry", "success", **GREEN),
        marked("retry", "failed", **GREEN),
        marked("delete_extraneous", "success", **GREEN),
        marked("delete_extraneous", "failed", advice="", then="delete_extraneous"),
        marked("delete_extraneous", "skipped", **GREEN),
        marked("close_run", "failed"),
        marked("close_run", "skipped"),
    ],
    [
        marked("open_run", "skipped"),
        marked("preflight", "failed", **GREEN),
        marked("list", "failed", advice="", then="list"),
        marked("list", "skipped", advice="", then="list"),
        cleared("transfer", is_alone=True, **GREEN),
        cleared("list", is_alone=True, **GREEN),
        cleared("open_run", is_alone=True, **GREEN),
    ],
    [
        cleared("preflight", is_alone=True, **GREEN),
        cleared("preflight", is_alone=False, **GREEN),
        cleared("open_run", is_alone=False, **GREEN),
        cleared("list", is_alone=False, **GREEN),
        cleared("transfer", is_alone=False, **GREEN),
        cleared("reconcile", is_alone=False, **GREEN),
        cleared("verify", is_alone=False, **GREEN),
    ],
]
