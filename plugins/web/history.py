"""All routes that a user may read, with their last runs, from Airflow's metadata database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from sqlalchemy.orm import Session

from pages.overview import LiveRun, Overview, PastRun, RouteView, RunFigures, ended, in_order
from pages.records import Tone
from transfer.plain_text import one_line
from web.access import RunKey, readable_dags
from web.history_rows import DagRow, Past, RunRow, Work, dag_rows, figures, last_runs, past, work
from web.lateness import Schedule, late
from web.run_phases import run_url

BY_HAND = frozenset({"", "None", "Never, external triggers only"})
"""How Airflow describes that a DAG has no schedule."""


def overview_of(session: Session, user: BaseUser) -> Overview:
    """The routes that the user may read, and what the database knows about them now."""
    dags = dag_rows(session)
    readable = readable_dags(user, [dag.dag_id for dag in dags], session)
    dags = [dag for dag in dags if dag.dag_id in readable]
    runs = last_runs(session, readable)
    shown = [run for dag_id in runs for run in runs[dag_id]]
    reports, works = figures(session, shown), work(session, shown)
    green_at = {dag_id: _green_at(found, reports) for dag_id, found in runs.items()}
    before = past(session, [dag_id for dag_id, at in green_at.items() if at is None])
    now = datetime.now(UTC)
    return Overview(
        routes=in_order(
            [
                route_view(
                    dag,
                    runs.get(dag.dag_id, []),
                    reports,
                    now,
                    green_at=green_at.get(dag.dag_id),
                    before=before.get(dag.dag_id),
                    works=works,
                )
                for dag in dags
            ]
        )
    )


def _green_at(runs: Sequence[RunRow], reports: Mapping[int, RunFigures | None]) -> datetime | None:
    """When the last green run was due."""
    return next((run.due_at for run in runs if run.state == "success" and _is_green(reports.get(run.id))), None)


def _is_green(found: RunFigures | None) -> bool:
    return found is not None and found.is_green


def route_view(
    dag: DagRow,
    runs: Sequence[RunRow],
    reports: Mapping[int, RunFigures | None],
    now: datetime,
    *,
    green_at: datetime | None = None,
    before: Past | None = None,
    works: Mapping[int, Work] | None = None,
) -> RouteView:
    """What the page shows of a DAG.

    :param runs: its last runs, newest first.
    :param green_at: when the last green one of these was due.
    :param before: what is known of all runs, where none of these is green.
    """
    last = next((run for run in runs if not run.is_live), None)
    known = next((found for run in runs if (found := reports.get(run.id)) and found.source), None)
    scheduled = [run for run in runs if run.is_scheduled]
    schedule = Schedule(
        next_due_at=dag.next_due_at,
        next_interval=dag.next_interval,
        last_interval=scheduled[0].interval if scheduled else (None, None),
        due_at=[run.due_at for run in scheduled] + ([before.first_due_at] if before and scheduled else []),
    )
    is_by_hand = dag.schedule in BY_HAND and dag.cron in BY_HAND
    return RouteView(
        dag_id=dag.dag_id,
        name=one_line(dag.display_name, 250),
        url=f"../dags/{quote(dag.dag_id, safe='')}",
        is_paused=dag.is_paused,
        source=known.source if known else "",
        destination=known.destination if known else "",
        description=one_line(dag.description, 300),
        schedule="" if is_by_hand else one_line(dag.schedule, 200),
        cron="" if is_by_hand else one_line(dag.cron, 100),
        next_run_at=None if dag.is_paused else dag.next_due_at,
        late=late(
            schedule,
            now,
            is_paused=dag.is_paused,
            green_at=green_at or (before.green_at if before else None),
            has_ended_run=last is not None,
            is_running=any(run.is_live for run in runs),
        ),
        verdict=ended(last.state, reports.get(last.id)) if last else None,
        verdict_at=(last.ended_at or last.due_at) if last else None,
        verdict_url=_tab(last) if last else "",
        live=tuple(_live(run, (works or {}).get(run.id, Work())) for run in runs if run.is_live),
        runs=tuple(_past_run(run, reports.get(run.id)) for run in reversed(runs)),
    )


def _past_run(run: RunRow, found: RunFigures | None) -> PastRun:
    return PastRun(at=run.due_at, tone=Tone.PLAIN if run.is_live else ended(run.state, found).tone, figures=found)


def _live(run: RunRow, so_far: Work) -> LiveRun:
    done = min(1.0, so_far.done / so_far.objects) if so_far.objects and so_far.done else None
    return LiveRun(url=_tab(run), began_at=run.began_at, done=done, failed=so_far.failed)


def _tab(run: RunRow) -> str:
    """The tab Copy of a run in Airflow's UI, relative to this page."""
    return f"{run_url(RunKey(run.dag_id, run.run_id))}/plugin/copy"
