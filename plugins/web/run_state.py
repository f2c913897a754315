"""The state of a run in Airflow's metadata database, as a `RunView`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from operators.hand_over import PLAN_KEY, SUMMARY_KEY
from operators.report_xcom import REPORT_KEY
from pages.documents import Document
from pages.numbers import duration
from pages.records import Link, Phase, PhaseState, Result, Tone, Verdict
from pages.results import plan_result, result_of
from pages.run_view import RunView, parameters_of
from pages.verdicts import verdict_of
from routes.form import PARAMS
from web.access import RunKey
from web.downloads import downloads_of
from web.run_phases import phases_of, task_url
from web.run_rows import (
    DELETE,
    LINK_KEYS,
    LIST,
    OPEN,
    PROBLEM_KEY,
    RECONCILE,
    ROLES,
    VERIFY,
    RunFacts,
    RunRows,
    TaskRow,
    run_facts,
    run_rows,
)
from web.run_work import Work, work_of

LINKS = dict(zip(LINK_KEYS, ("Destination", "Report in Cloud Storage", "Cloud Logging"), strict=True))


def run_view(session: Session, key: RunKey, group: str | None = None) -> tuple[RunView, RunRows] | None:
    """What the database knows about a run, and the rows it comes from. None where there is no such run.

    `group` is the task group of the copy to show, of a DAG that makes several.
    """
    run = run_facts(session, key)
    if run is None:
        return None
    rows = run_rows(session, key, run, group)
    return view_of(rows, datetime.now(UTC)), rows


def view_of(rows: RunRows, now: datetime) -> RunView:
    """What the page shows of a copy at the time `now`."""
    key, run = rows.key, rows.run
    report, plan, mode = report_of(rows), Document(rows.result(LIST, PLAN_KEY)), mode_of(rows)
    phases, work = phases_of(rows, now), work_of(rows, now)
    result = plan_result(plan) if plan else result_of(report, was_copied=mode != "verify") if report else None
    return RunView(
        dag_id=key.dag_id,
        run_id=key.run_id,
        mode=mode,
        verdict=_verdict(rows, report or plan, mode, phases, work),
        is_live=run.is_live,
        source=report.text("source") or _place(rows, "s3", "source"),
        destination=report.text("destination") or _place(rows, "gs", "destination"),
        day=report.text("day", 250) or _day(rows),
        began_at=run.began_at,
        ended_at=run.ended_at,
        parameters=parameters_of(report) or parameters_of(Document({"parameters": _known(run.conf)})),
        phases=phases,
        progress=work.progress if mode == "transfer" else None,
        rates=work.rates,
        workers=work.workers,
        failures=result.failures if report and result else work.failures,
        skipped=result.skipped if report and result else work.skipped,
        result=result,
        links=tuple(_links(rows)),
        downloads=downloads_of(rows, result or Result(), has_report=bool(report), has_plan=bool(plan)),
        copies=_copies(rows),
    )


def report_of(rows: RunRows) -> Document:
    """The newest report of the tasks that judge, once one of them has ended; older versions hand over the counts alone."""
    for part in (DELETE, VERIFY, RECONCILE):
        tasks = rows.tasks.get(part, ())
        if not tasks or not tasks[0].has_ended:
            continue
        counts = "return_value" if part == VERIFY else SUMMARY_KEY
        report = Document(rows.result(part, REPORT_KEY))
        if report or (part != DELETE and (report := Document(rows.result(part, counts)))):
            return report
    return Document()


def mode_of(rows: RunRows) -> str:
    """`transfer`, `plan` or `verify`."""
    return Document(rows.result(LIST, SUMMARY_KEY)).text("mode", 20) or rows.argument("mode") or "transfer"


def _verdict(rows: RunRows, record: Document, mode: str, phases: tuple[Phase, ...], work: Work) -> Verdict:
    """How the run is, or how it ended.

    the run            its record      verdict
    has no copy        –               says so
    lives              –               its phase, and how far it is
    ended              none            the task that failed, and its message
    ended as success   any             that of the record
    failed             green           that of the record, and the task that failed nevertheless
    failed             not green       that of the record
    """
    if not rows.tasks:
        return Verdict(tone=Tone.PLAIN, sentence="This run copies nothing: its DAG has no task of Edgehaul.")
    if rows.run.is_live:
        return _live(rows.run, phases, work)
    failed = _failed(rows)
    if record:
        verdict = verdict_of(record, mode)
        if rows.run.state != "failed" or verdict.tone is Tone.BAD:
            return verdict
        sentence = f"{verdict.sentence} The run failed nevertheless{_where(failed)}."
        return Verdict(tone=Tone.BAD, sentence=sentence, details=_problem(rows, failed))
    if rows.run.state == "failed":
        before = "" if rows.result(LIST, SUMMARY_KEY) else ", before anything was copied"
        return Verdict(
            tone=Tone.BAD, sentence=f"The run failed{_where(failed)}{before}.", details=_problem(rows, failed)
        )
    return Verdict(tone=Tone.WARN, sentence="The run has ended, but there is no report of it.")


def _live(run: RunFacts, phases: tuple[Phase, ...], work: Work) -> Verdict:
    phase = next((phase for phase in phases if phase.state is PhaseState.RUNNING), None)
    if phase is None:
        waiting = (
            "The run waits for its turn in Airflow." if run.state == "queued" else "The next phase is about to begin."
        )
        return Verdict(tone=Tone.PLAIN, sentence=waiting)
    sentence = phase.name
    if phase.name == "Copying" and work.progress and work.progress.share is not None:
        sentence += f": {work.progress.share:.1%} done"
        if work.progress.eta_s:
            sentence += f", about {duration(work.progress.eta_s)} left"
    elif phase.name == "Listing" and work.progress:
        sentence += f": {work.progress.listed:,} objects so far"
    failed = f"; {work.progress.failed:,} objects failed so far" if work.progress and work.progress.failed else ""
    note = f" ({phase.note})" if phase.note else ""
    return Verdict(tone=Tone.WARN if failed else Tone.PLAIN, sentence=f"{sentence}{failed}{note}.")


def _failed(rows: RunRows) -> tuple[str, TaskRow] | None:
    """The part that failed first, and its task."""
    failed = [(part, task) for part in ROLES for task in rows.tasks.get(part, ()) if task.state == "failed"]
    return failed[0] if failed else None


def _where(failed: tuple[str, TaskRow] | None) -> str:
    return f" in {failed[1].task_id}" if failed else ""


def _problem(rows: RunRows, failed: tuple[str, TaskRow] | None) -> tuple[str, ...]:
    """The message of the task that failed, or where to read it."""
    if failed is None:
        return ("It was marked as failed, or a task outside of the copy failed: see its task instances.",)
    part, task = failed
    lines = Document({"problem": rows.results.get((part, task.map_index, PROBLEM_KEY))}).lines("problem")
    return lines or (f"Its log says why: open {task.task_id} in the time line.",)


def _place(rows: RunRows, scheme: str, end: str) -> str:
    bucket, prefix = rows.argument(f"{end}_bucket"), rows.argument(f"{end}_prefix")
    if end == "destination":
        prefix = prefix or rows.argument("source_prefix")
    given: Mapping[str, Any] = {"place": f"{scheme}://{bucket}/{prefix}"}
    return Document(given).text("place") if bucket else ""


def _known(conf: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the form: others, of a DAG of a user's own, may be secret."""
    return {name: value for name, value in conf.items() if name in PARAMS}


def _day(rows: RunRows) -> str:
    return Document(rows.rendered.get(OPEN)).text("date", 250)


def _links(rows: RunRows) -> list[Link]:
    """The links that the tasks show, and the log of the task that failed."""
    found: dict[str, str] = {}
    for (_, _, name), url in rows.results.items():
        if name in LINKS and isinstance(url, str) and url.startswith(("https://", "http://")):
            found.setdefault(LINKS[name], url)
    links = [Link(label=label, url=found[label]) for label in LINKS.values() if label in found]
    if failed := _failed(rows):
        links.append(Link(label=f"Log of {failed[1].task_id}", url=task_url(rows.key, failed[1]), is_airflow=True))
    return links


def _copies(rows: RunRows) -> tuple[tuple[Link, bool], ...]:
    if len(rows.groups) < 2:
        return ()
    key = rows.key
    return tuple(
        (
            Link(
                label=group or "outside of a group",
                url=f"run?{urlencode({'dag_id': key.dag_id, 'run_id': key.run_id, 'group': group})}",
            ),
            group == rows.group,
        )
        for group in rows.groups
    )
