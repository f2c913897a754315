"""What a run's colour rests on: the record of a verdict of this very opening, whatever Airflow's states say.

Two tasks ask for it, since Airflow judges a run by its last tasks, and each of the two covers what the other cannot see
(docs/decisions/0033-the-colour-of-a-run-is-its-verdict.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.hand_over import SUMMARY_KEY
from operators.run_identity import RunIdentity
from operators.siblings import sibling, state_of

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from transfer.ports import StateStore


def why_not_green(
    task: Task, run: RunIdentity, state: StateStore, *, list_task: str, reconcile_task: str, verify_task: str
) -> str:
    """One sentence on what happened and what to do now; empty when this opening has a green verdict."""
    from transfer.records.listing_record import read_listing
    from transfer.records.verdict import read_verdict

    verdict = read_verdict(state, run.transfer_id)
    verified = state_of(task, verify_task)
    if verdict is not None and verdict.is_green and (verdict.is_plan or verified == "success"):
        return ""
    reconcile, verify = sibling(task, reconcile_task), sibling(task, verify_task)
    listing = read_listing(state)
    # What reconcile will read.
    has_listed = bool(task.xcom_pull(task_ids=sibling(task, list_task), key=SUMMARY_KEY))
    again = (
        f"clear {reconcile} with what is downstream of it, or start a run with only_failed={run.run_id!r}: what is not"
        " there is copied as it was listed, and all of it is verified"
    )
    if listing is not None and listing.mode == "verify":
        again = (
            f"clear {reconcile} with what is downstream of it, which compares again, or start a run with"
            f" only_failed={run.run_id!r}, which copies what is missing or differs"
        )
    if not (has_listed and listing is not None and listing.is_complete):
        again = f"clear {sibling(task, list_task)} with what is downstream of it, or start another run"
    if verdict is not None and not verdict.is_green:
        return f"{verdict.said}\nWhen that is mended, {again}"
    if verdict is not None:
        return f"{verify} found everything well, but is {verified or 'cleared'} now, by hand: {again}"
    return (
        f"nobody has verified what this run copied: {verify} is {verified or 'cleared'}, and has come to no verdict since"
        f" the run was opened (the run, or a task of it, was marked by hand, or failed): {again}"
    )
