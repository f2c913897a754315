"""Where the tasks that list, copy and compare run: Airflow's queue, pool and executor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk import get_parsing_context

from routes.schema import RUN_ON, schema_problems

VARIABLES = {
    "queue": "EDGEHAUL_QUEUE",
    "pool": "EDGEHAUL_POOL",
    "pool_slots": "EDGEHAUL_POOL_SLOTS",
    "executor": "EDGEHAUL_EXECUTOR",
}
"""The environment variable of each field: for the form's DAG, and for routes that leave the field out."""


class InvalidRunOn(Exception):
    """An environment variable has a value that cannot be used. The message is for people."""


def run_on(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for the operators: these fields, and the environment's for those that are left out. Raises InvalidRunOn.

    A task that runs has been sent where it belongs, and a worker's environment need not be that of the DAG processor.
    """
    if get_parsing_context().dag_id is not None:
        return {}
    arguments = {**_of_environment(), **fields}
    if "pool" in arguments:
        # Where a pool is full, runs that have begun come before others: by default, first tasks come before last ones.
        arguments["weight_rule"] = "upstream"
    return arguments


def executor_problems(fields: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The problem with an executor that Airflow does not have, which would otherwise cost the whole file its DAGs."""
    if "executor" not in fields or get_parsing_context().dag_id is not None:
        return
    from airflow.exceptions import UnknownExecutorException
    from airflow.executors.executor_loader import ExecutorLoader

    try:
        ExecutorLoader.lookup_executor_name_by_str(fields["executor"], validate_teams=False)
    except UnknownExecutorException:
        known = [name.alias or name.module_path for name in ExecutorLoader.get_executor_names(validate_teams=False)]
        yield (
            ("executor",),
            f"{fields['executor']!r} is not an executor of this Airflow: choose {' or '.join(known)},"
            " or add it to [core] executor",
        )


def _of_environment() -> dict[str, Any]:
    """The fields that the environment sets; an empty variable sets none."""
    fields: dict[str, Any] = {field: os.environ[name] for field, name in VARIABLES.items() if os.environ.get(name)}
    if fields.get("pool_slots", "").isdecimal():
        fields["pool_slots"] = int(fields["pool_slots"])
    problems = list(schema_problems(fields, RUN_ON)) or list(executor_problems(fields))
    if problems:
        raise InvalidRunOn(
            "; ".join(f"{VARIABLES[str(path[0])]} in the environment: {problem}" for path, problem in problems)
        )
    return fields
