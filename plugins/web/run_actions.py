"""The runs that a person may want to start after this one. Airflow's own REST API starts them, with the user's own session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.models.dag import DagModel
from airflow.models.serialized_dag import SerializedDagModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from operators.parameters import PREFIXES, WHAT_TO_COPY
from operators.prefixes import DATE_CODES, RUN, DatedPrefix, InvalidPrefix
from pages.records import Action
from pages.run_view import RunView
from web.access import may
from web.run_rows import RunRows

NEEDED = frozenset({"mode", "only_failed", "plan_run"})
"""The parameters that the actions set."""


def with_actions(view: RunView, rows: RunRows, user: BaseUser, session: Session) -> RunView:
    """The view with the actions that make sense after the run, where the user may start runs of its DAG."""
    if view.is_live or not rows.tasks or not may(user, "POST", view.dag_id, DagAccessEntity.RUN):
        return view
    params = _params(session, view.dag_id)
    if not params.keys() >= NEEDED:  # a DAG of the user's own, without the form's parameters
        return view
    actions = tuple(_actions(view, rows, params))
    paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == view.dag_id))
    note = "The DAG is paused: the run waits until somebody unpauses it." if paused else ""
    return replace(view, actions=actions, actions_note=note)


def _actions(view: RunView, rows: RunRows, params: Mapping[str, Any]) -> Iterator[Action]:
    given = {name: value for name, value in rows.run.conf.items() if name in params and name not in WHAT_TO_COPY}
    raw = {**params, **rows.run.conf}
    prefixes = [raw.get(name) for name in PREFIXES]
    request = _dated(rows, prefixes)

    def action(name: str, label: str, explanation: str, *, is_main: bool = False, **conf: str) -> Action:
        body = {**request, "conf": {**given, **{name: conf[name] for name in conf if name in params}}}
        return Action(name=name, label=label, explanation=explanation, request=body, is_main=is_main)

    is_of_its_own_run = any(RUN in prefix for prefix in prefixes if isinstance(prefix, str))
    unfinished = sum(row.count for row in view.failures) if view.result and view.mode != "plan" else 0
    if unfinished and not is_of_its_own_run:
        yield action(
            "failed",
            "Copy what failed",
            f"Starts another run of {view.dag_id} that copies the {unfinished:,} objects that this run left unfinished, as it"
            " listed them, and then verifies them. Correct what the reasons name first.",
            is_main=True,
            mode="transfer",
            only_failed=view.run_id,
        )
    if view.mode == "plan" and view.result and not is_of_its_own_run:
        planned = view.result.counts[0].amount.objects
        yield action(
            "planned",
            "Copy what was planned",
            f"Starts another run of {view.dag_id} that copies the {planned:,} objects of this plan. Objects that were written"
            " to the destination since then are not overwritten.",
            is_main=True,
            mode="transfer",
            plan_run=view.run_id,
        )
    if view.mode != "plan" and view.result:
        yield action(
            "verify",
            "Verify now",
            f"Starts another run of {view.dag_id} that lists both sides again and compares them. It copies and deletes nothing.",
            mode="verify",
            delete_extraneous="off",
        )


def _dated(rows: RunRows, prefixes: list[Any]) -> dict[str, object]:
    """The date of the request: that of this run where its prefixes depend on a date, so that they come out the same."""
    return {"run_after": rows.run.moment.isoformat()} if any(map(_is_dated, prefixes)) else {}


def _is_dated(prefix: object) -> bool:
    try:
        pieces = DatedPrefix.parse(prefix).pieces if isinstance(prefix, str) else ()
    except InvalidPrefix:
        return False
    return any(is_code and text in DATE_CODES for text, is_code in pieces)


def _params(session: Session, dag_id: str) -> dict[str, Any]:
    """The parameters of the DAG with their defaults; none where it cannot be read."""
    stored = SerializedDagModel.get(dag_id, session=session)
    data = stored.data if stored else None
    params = data.get("dag", {}).get("params", []) if isinstance(data, dict) else []
    pairs = params.items() if isinstance(params, dict) else params
    return {str(name): _default(param) for name, param in pairs}


def _default(param: object) -> Any:
    while isinstance(param, dict) and ("__var" in param or "default" in param):
        param = param.get("__var", param.get("default"))
    return param
