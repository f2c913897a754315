"""The plan of a run with `mode=plan`: its prices, and its record, which is also the verdict of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from operators.hand_over import PLAN_KEY
from operators.run_page import write_page
from operators.xcom_record import plain_json

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from operators.run_identity import RunIdentity
    from transfer.planning.plan import Plan
    from transfer.planning.prices import Prices
    from transfer.ports import StateStore

PRICES_VARIABLE = "EDGEHAUL_PRICES"
"""The environment variable with the path of a file of your own prices, on the task's machine, which replaces the list prices."""


def prices_of_task() -> Prices:
    """The prices that a plan calculates with. Raises PricesInvalid."""
    from transfer.planning.prices import LIST_PRICES, load_prices

    return load_prices(Path(os.environ.get(PRICES_VARIABLE) or LIST_PRICES))


def record_plan(plan: Plan, run: RunIdentity, state: StateStore) -> str:
    """Store the plan among the run's records, and return it as a table for the log."""
    from transfer.planning.plan import write_plan
    from transfer.planning.table import plan_line, plan_table
    from transfer.records.layout import PLAN_JSON
    from transfer.records.verdict import RunVerdict

    write_plan(state, plan)
    verdict = RunVerdict(transfer_id=run.transfer_id, is_plan=True, is_green=True, said=plan_line(plan))
    verdict.write(state)
    return f"the plan, also at {state.uri}{PLAN_JSON}:\n{plan_table(plan)}"


def show_plan(plan: Mapping[str, object], state: StateStore, task: Task) -> None:
    """Push the plan, as plan.json has it, as the XCom `plan`, and write its page."""
    task.xcom_push(key=PLAN_KEY, value=plain_json(plan))
    write_page(state, task, plan=plan)
