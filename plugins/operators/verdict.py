"""Decides whether a run may succeed: only with a recorded green verdict of this opening, whatever its tasks' states.

Two tasks check it, because Airflow judges a run by its last tasks, and each of the two covers what the other cannot see
(docs/decisions/0033-the-colour-of-a-run-is-its-verdict.md).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from operators.hand_over import SUMMARY_KEY
from operators.run_identity import RunIdentity
from operators.siblings import sibling, state_of

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from transfer.ports import StateStore

log = logging.getLogger(__name__)


def why_not_green(
    task: Task, run: RunIdentity, state: StateStore, *, list_task: str, reconcile_task: str, verify_task: str
) -> str:
    """A sentence that names the problem and the remedy; empty when this opening has a green verdict."""
    from transfer.records.listing_record import read_listing
    from transfer.records.verdict import read_verdict

    verdict = read_verdict(state, run.transfer_id)
    verified = state_of(task, verify_task)
    if verdict is not None and verdict.is_green and (verdict.is_plan or verified == "success"):
        log.info("%s", verdict.said)
        return ""
    reconcile, verify = sibling(task, reconcile_task), sibling(task, verify_task)
    listing = read_listing(state)
    # The reconciliation needs both the XCom and the record of the listing.
    has_listed = bool(task.xcom_pull(task_ids=sibling(task, list_task), key=SUMMARY_KEY))
    again = (
        f"clear {reconcile} with what is downstream of it, or start a run with only_failed={run.run_id!r}: objects"
        " that are missing are copied as originally listed, and all objects are verified"
    )
    if listing is not None and listing.mode == "verify":
        again = (
            f"clear {reconcile} with what is downstream of it, which compares again, or start a run with"
            f" only_failed={run.run_id!r}, which copies objects that are missing or differ"
        )
    if not (has_listed and listing is not None and listing.is_complete):
        again = f"clear {sibling(task, list_task)} with what is downstream of it, or start another run"
    if verdict is not None and not verdict.is_green:
        return f"{verdict.said}\n{verify} says what to do about each reason. When that is corrected, {again}"
    if verdict is not None:
        return (
            f"{verify} had verified everything, but was marked or cleared manually ({verified or 'cleared'}): {again}"
        )
    return (
        f"this run was not verified: {verify} is {verified or 'cleared'}, without a verdict since the run was opened (the run"
        f" or one of its tasks failed, or was marked manually): {again}"
    )
