"""The runs that the page offers to start, as Airflow's REST API would get them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from re import findall
from typing import Any

from fastapi.testclient import TestClient

from seeded_runs import REPORT, SeededRun

Seed = Callable[..., SeededRun]
ClientOf = Callable[[str | None], TestClient]


def requests_of(client: TestClient, run: SeededRun) -> dict[str, Any]:
    """The request of each button, by its label."""
    run.session.commit()
    html = client.get("/run", params={"dag_id": run.dag_id, "run_id": run.run_id}).text
    labels = findall(r'<h2 id="title-[a-z]+">(.+?)\?</h2>', html)
    bodies = findall(r'data-request="([^"]+)"', html)
    return {label: json.loads(unescape(body)) for label, body in zip(labels, bodies, strict=True)}


def red(run: SeededRun) -> SeededRun:
    run.listed(1000, 10**10)
    run.task("verify", "failed")
    run.xcom("verify", "report", REPORT)
    return run


def test_what_failed_is_copied_by_the_same_parameters(seed: Seed, client_of: ClientOf, form_dag: str) -> None:
    conf = {"source_bucket": "photos", "workers": 4, "plan_run": "earlier", "of_no_parameter": 1}
    run = red(seed("red", state="failed", dag_id=form_dag, conf=conf))
    offered = requests_of(client_of("user"), run)
    assert offered["Copy what failed"] == {
        "conf": {"source_bucket": "photos", "workers": 4, "mode": "transfer", "only_failed": "red"}
    }
    assert offered["Verify now"]["conf"] == {
        "source_bucket": "photos",
        "workers": 4,
        "mode": "verify",
        "delete_extraneous": "off",
    }


def test_prefixes_with_dates_come_out_as_in_the_run(seed: Seed, client_of: ClientOf, form_dag: str) -> None:
    began_at = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
    conf = {"source_prefix": "logs/%Y/%m/%d/"}
    run = red(seed("red", state="failed", dag_id=form_dag, conf=conf, began_at=began_at))
    request = requests_of(client_of("user"), run)["Copy what failed"]
    assert datetime.fromisoformat(request["run_after"]) == began_at


def test_a_prefix_of_the_run_itself_has_no_successor(seed: Seed, client_of: ClientOf, form_dag: str) -> None:
    conf = {"destination_prefix": "{dag_run_id}/"}
    run = red(seed("red", state="failed", dag_id=form_dag, conf=conf))
    assert list(requests_of(client_of("user"), run)) == ["Verify now"]


def test_a_plan_can_be_copied(seed: Seed, client_of: ClientOf, form_dag: str) -> None:
    run = seed("planned", state="success", dag_id=form_dag, conf={"mode": "plan", "source_bucket": "photos"})
    run.listed(0, 0, mode="plan")
    run.xcom("list", "plan", {"to_copy": {"objects": 7, "bytes": 70}, "listed": {"objects": 7, "bytes": 70}})
    assert requests_of(client_of("user"), run) == {
        "Copy what was planned": {
            "conf": {"mode": "transfer", "source_bucket": "photos", "plan_run": "planned"},
        }
    }


def test_nothing_is_offered_while_the_run_lives(seed: Seed, client_of: ClientOf, form_dag: str) -> None:
    assert requests_of(client_of("user"), red(seed("live", dag_id=form_dag))) == {}


def test_nothing_is_offered_for_a_dag_without_these_parameters(seed: Seed, client_of: ClientOf) -> None:
    assert requests_of(client_of("user"), red(seed("red", state="failed", dag_id="own"))) == {}


def test_every_address_holds_where_the_api_server_is_under_a_prefix(
    seed: Seed, client_of: ClientOf, form_dag: str
) -> None:
    run = red(seed("red", state="failed", dag_id=form_dag))
    run.session.commit()
    html = client_of("user").get("/run", params={"dag_id": form_dag, "run_id": "red"}).text
    addresses = findall(r'(?:href|data-start|data-page|data-source)="([^"]*)"', html)
    assert len(addresses) > 10
    assert [each for each in addresses if each.startswith("/") or "://" in each] == []
