"""What the page with all routes shows, from the rows in Airflow's metadata database."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from pages.overview import RouteView
from pages.overview_sections import overview_sections, trends
from pages.records import Tone
from seeded_history import NOW, Seed, daily, report, seed_dag
from seeded_runs import REPORT, SeededRun
from web.history import overview_of

DAY = timedelta(days=1)
PLAN = {
    "listed": {"objects": 7, "bytes": 70},
    "to_copy": {"objects": 4, "bytes": 40},
    "costs": {**REPORT["costs"], "least_usd": 12.0},
}


@pytest.fixture
def routes(session: Session, viewer: TestClient) -> Callable[[], dict[str, RouteView]]:
    """The routes that a viewer sees, by the ids of their DAGs, in their order."""

    def read() -> dict[str, RouteView]:
        session.commit()
        shown = overview_of(session, SimpleAuthManagerUser(username="somebody", role="viewer"))
        return {route.dag_id: route for route in shown.routes}

    return read


Routes = Callable[[], dict[str, RouteView]]


def red(number: int) -> dict[str, Any]:
    return report(1000, unfinished=30)


def test_a_green_route(session: Session, routes: Routes) -> None:
    seed_dag(session, "route_a", daily(40), dag_display_name="Photos")
    [route] = routes().values()
    assert (route.name, route.tone, route.late, route.live) == ("Photos", Tone.GOOD, None, ())
    assert route.verdict is not None
    assert route.verdict.sentence.startswith("Every object is at the destination: 139 of 139 verified")
    assert (route.source, route.destination) == ("s3://photos/2026/", "gs://archive/2026/")
    assert (route.schedule, route.cron) == ("At 02:00", "0 2 * * *")
    assert route.next_run_at == NOW + DAY / 2
    assert route.url == "../dags/route_a"
    assert route.verdict_url.startswith("../dags/route_a/runs/r-")
    assert route.verdict_url.endswith("/plugin/copy")
    assert [run.figures.objects for run in route.runs if run.figures] == list(range(110, 140))


def test_figures_of_all_runs_add_up(session: Session, routes: Routes) -> None:
    made = [
        report(100, mib=1024, seconds=60, usd=1.0),
        report(200, mib=1024, seconds=90, usd=5.0, unfinished=30),
        report(1000, mib=512, seconds=30, usd=2.0),
    ]
    seed_dag(session, "route_a", daily(3, lambda number: made[number]))
    [route] = routes().values()
    found = {trend.name: (trend.whole, trend.last, trend.is_bad) for trend in trends(route.runs)}
    assert found == {
        "Bytes copied": ("2.5 GiB", "512.0 MiB", False),
        "Objects copied": ("1,270", "1,000", False),
        "Failures": ("30", "0", False),
        "Usual duration": ("1 min 00 s", "30 s", False),
        "Usual cost": ("$2.00", "$2.00", False),
    }
    titles = str(trends(route.runs)[0].chart)
    assert 'aria-label="Bytes copied of the last 3 runs: 2.5 GiB, at most 1.0 GiB, 512.0 MiB in the last one"' in titles
    assert titles.count('<g class="bad"') == 1


def test_what_needs_attention_comes_first(session: Session, routes: Routes) -> None:
    seed_dag(session, "route_a", daily(3))
    seed_dag(session, "route_b", daily(3, red, state="failed"))
    seed_dag(session, "route_c", [*daily(3, last=NOW - 2 * DAY), *daily(2, red, state="failed")])
    seed_dag(session, "s3_to_gcs", daily(2, red, state="failed", run_type="manual"), every=None)
    seed_dag(session, "route_d", daily(3, red, state="failed"), is_paused=True)
    found = routes()
    assert list(found) == ["route_b", "route_c", "route_d", "s3_to_gcs", "route_a"]
    assert [route.late is not None for route in found.values()] == [True, True, False, False, False]
    assert found["route_b"].late is not None
    assert (found["route_b"].late.since, found["route_b"].late.missed) == (None, 3)
    assert found["route_c"].late is not None
    assert (found["route_c"].late.since, found["route_c"].late.missed) == (NOW - 2 * DAY, 2)
    assert found["route_d"].next_run_at is None
    html = overview_sections_text(found)
    assert "Never green: 3 runs of its schedule" in html
    assert f'Not green since <time datetime="{(NOW - 2 * DAY).isoformat()}" data-minute>' in html


def overview_sections_text(found: dict[str, RouteView]) -> str:
    from pages.overview import Overview

    return "".join(overview_sections(Overview(routes=tuple(found.values()))).values())


def test_a_green_run_before_those_that_are_shown_counts(session: Session, routes: Routes) -> None:
    seed_dag(session, "route_a", [*daily(2, last=NOW - 40 * DAY), *daily(35, red, state="failed")])
    [route] = routes().values()
    assert len(route.runs) == 30
    assert route.late is not None
    assert (route.late.since, route.late.missed) == (NOW - 40 * DAY, 40)


def test_a_plan_is_no_green_run(session: Session, routes: Routes) -> None:
    seed_dag(session, "route_a", [*daily(2, red, state="failed"), Seed(due_at=NOW - DAY / 24, plan=PLAN)])
    [route] = routes().values()
    assert route.verdict is not None
    assert route.verdict.sentence.startswith("A plan: 4 of 7 listed objects")
    assert route.late is not None
    assert trends(route.runs)[4].last == "$0.01"  # the plan itself has cost nothing


def test_runs_under_way(session: Session, routes: Routes, seed: Callable[..., SeededRun]) -> None:
    seed_dag(session, "route_a", daily(2), every=None)
    run = seed("live", dag_id="route_a")
    run.listed(1000, 10**9)
    run.worker(0, copied=300, size_bytes=10**8)
    run.worker(1, copied=190, size_bytes=10**8, failed=10)
    seed("waits", dag_id="route_a", state="queued")
    [route] = routes().values()
    assert {(live.done, live.failed) for live in route.live} == {(0.5, 10), (None, 0)}
    assert route.verdict is not None
    assert route.verdict.tone is Tone.GOOD


@pytest.mark.parametrize(
    ("state", "reported", "tone", "sentence"),
    [
        ("failed", None, Tone.BAD, "The run failed before there was a report."),
        ("success", None, Tone.WARN, "The run has ended, but there is no report of it."),
        ("failed", report(5), Tone.BAD, "The run failed nevertheless."),
        ("failed", red(0), Tone.BAD, "30 of 1,000 objects were not copied."),
        ("success", report(5, mode="verify"), Tone.GOOD, "Every object is equal on both sides: 5 of 5 verified."),
    ],
)
def test_verdicts(session: Session, routes: Routes, state: str, reported: Any, tone: Tone, sentence: str) -> None:
    seed_dag(session, "route_a", daily(1, lambda number: reported, state=state))
    [route] = routes().values()
    assert route.verdict is not None
    assert route.verdict.tone is tone
    assert sentence in route.verdict.sentence


def test_the_copies_of_one_run_are_added_up(session: Session, routes: Routes, seed: Callable[..., SeededRun]) -> None:
    seed_dag(session, "own", every=None, tags=["edgehaul"])
    run = seed("r", dag_id="own", state="failed")
    for group, made in (("first", report(10)), ("second", red(0))):
        for task_id, value in ((f"{group}.reconcile", red(0)), (f"{group}.verify", made)):
            run.task(task_id)
            run.xcom(task_id, "report", value)
    [route] = routes().values()
    [shown] = route.runs
    assert shown.figures is not None
    assert (shown.figures.objects, shown.figures.unfinished) == (980, 30)
    assert shown.figures.verdict.sentence == "1 of 2 copies are not green: 30 of 1,000 objects were not copied."


def test_only_dags_that_copy_and_that_there_are(session: Session, routes: Routes) -> None:
    seed_dag(session, "other", daily(2), tags=["s3"])
    seed_dag(session, "route_gone", daily(2), is_stale=True)
    assert routes() == {}


HOSTILE = "<img src=x onerror=alert(1)>\u202e"


@pytest.mark.parametrize(
    "junk",
    [7, "text", [], float("nan"), {"listed": "x", "costs": [], "source": ["s"], "seconds": "9", "mode": {}, "sample": 3},
     {**REPORT, "source": HOSTILE, "costs": {"least_usd": float("inf")}, "seconds": 10**400, "copied": -5}],
)  # fmt: skip
def test_reports_of_any_content_leave_a_page(session: Session, viewer: TestClient, junk: Any) -> None:
    seed_dag(session, "route_a", daily(2, lambda number: junk), description=HOSTILE, dag_display_name=HOSTILE)
    session.commit()
    answer = viewer.get("/overview")
    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert "\u202e" not in answer.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text


def test_a_dag_that_the_user_may_not_read_is_nowhere(
    session: Session, viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_dag(session, "route_open", daily(2))
    seed_dag(session, "route_secret", daily(2, lambda number: report(5, source="s3://secret-bucket/")))
    session.commit()
    asked = []

    def is_authorized_dag(self: object, *, details: Any = None, access_entity: Any = None, **_: object) -> bool:
        asked.append((details.id, access_entity))
        return "secret" not in details.id

    assert "secret" in viewer.get("/overview").text
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized_dag)
    for path in ("/overview", "/overview/sections"):
        text = viewer.get(path).text
        assert "route_open" in text
        assert "secret" not in text
    assert {entity.name for dag_id, entity in asked if dag_id == "route_open"} == {"RUN", "TASK_INSTANCE", "XCOM"}


def test_a_user_without_a_role_sees_no_route(session: Session, client_of: Callable[[str | None], TestClient]) -> None:
    seed_dag(session, "route_a", daily(2))
    session.commit()
    text = client_of(None).get("/overview").text
    assert "route_a" not in text
    assert "No route yet, or none that you may read." in text


def test_the_page_asks_often_while_a_run_is_under_way(session: Session, viewer: TestClient) -> None:
    seed_dag(session, "route_a", daily(2))
    session.commit()
    first = viewer.get("/overview/sections").json()
    assert (first["live"], first["every_s"]) == (True, 30)
    seen = ",".join(f"{name}.{section['digest']}" for name, section in first["sections"].items())
    assert viewer.get("/overview/sections", params={"seen": seen}).json()["sections"] == {}
    seed_dag(session, "route_b", [Seed(due_at=NOW, state="running")])
    session.commit()
    second = viewer.get("/overview/sections", params={"seen": seen}).json()
    assert (second["live"], second["every_s"]) == (True, 2)
    changed = set(second["sections"])
    assert len(changed) == 2
    assert "summary" in changed
    assert second["order"][:2] == ["summary", "filter"]


def test_every_address_holds_where_the_api_server_is_under_a_prefix(session: Session, viewer: TestClient) -> None:
    seed_dag(session, "route_a", daily(2))
    session.commit()
    addresses = re.findall(r'(?:href|data-source)="([^"]*)"', viewer.get("/overview").text)
    assert len(addresses) == 3
    assert [each for each in addresses if each.startswith("/") or "://" in each] == []
