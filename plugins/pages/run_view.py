"""What the page of a run shows, and how it is made from the run's records alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pages.documents import Document
from pages.rates import rates_of
from pages.records import (
    Action,
    Link,
    Phase,
    Progress,
    Rates,
    ReasonRow,
    Result,
    Verdict,
    WorkerRow,
)
from pages.results import plan_result, result_of
from pages.verdicts import verdict_of
from transfer.accounting.rate_history import RateHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run of a copy. Parts that are empty or None are not shown."""

    dag_id: str
    run_id: str
    mode: str = "transfer"
    """`transfer`, `plan` or `verify`."""
    verdict: Verdict
    is_live: bool = False
    """Whether anything on the page may still change."""
    source: str = ""
    destination: str = ""
    day: str = ""
    """The date that the run is for, with its origin."""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    phases: tuple[Phase, ...] = ()
    progress: Progress | None = None
    rates: Rates | None = None
    workers: tuple[WorkerRow, ...] = ()
    failures: tuple[ReasonRow, ...] = ()
    """So far, or of the whole run; so are `skipped`."""
    skipped: tuple[ReasonRow, ...] = ()
    result: Result | None = None
    links: tuple[Link, ...] = ()
    downloads: tuple[Link, ...] = ()
    actions: tuple[Action, ...] = ()
    actions_note: str = ""
    """What a person should know before starting another run, such as that the DAG is paused."""
    copies: tuple[tuple[Link, bool], ...] = ()
    """The copies of a DAG that makes several in one run, and which of them this is."""


def of_report(report: object, plan: object = None, histories: Iterable[object] = (), *, dag_id: str = "") -> RunView:
    """The finished run that a report.json or a plan.json (as JSON objects) describes.

    `histories` are those of the workers (`RateHistory.to_dict`). Never raises: what is missing or unreadable is not shown.
    """
    reported, planned = Document(report), Document(plan)
    known = reported or planned
    mode = "plan" if planned and not reported else known.text("mode", 20) or "transfer"
    result = plan_result(planned) if mode == "plan" else result_of(reported, was_copied=mode != "verify")
    return RunView(
        dag_id=dag_id or known.text("dag_id", 250),
        run_id=known.text("run_id", 250),
        mode=mode,
        verdict=verdict_of(known, mode),
        source=known.text("source"),
        destination=known.text("destination"),
        day=known.text("day", 250),
        began_at=known.moment("opened_at"),
        ended_at=known.moment("ended_at"),
        parameters=parameters_of(known),
        rates=rates_of([RateHistory.of(history) for history in histories]),
        failures=result.failures,
        skipped=result.skipped,
        result=result,
    )


def parameters_of(document: Document) -> tuple[tuple[str, str], ...]:
    """The parameters that a person set, as texts."""
    given = document.within("parameters")
    return tuple((name, given.shown(name)) for name, _ in given.members())
