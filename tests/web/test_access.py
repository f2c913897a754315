"""Every endpoint refuses whom Airflow does not let in: a new endpoint is covered by being there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute

from seeded_runs import REPORT
from web.app import create_app

QUERY = {"dag_id": "s3_to_gcs", "run_id": "r", "name": "failures.csv"}


def endpoints(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Each method and path of the application, those of included routers as well."""
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if isinstance(route, APIRoute):
            yield from ((method, route.path) for method in sorted(route.methods))
        elif inner:
            yield from endpoints(inner)
        else:
            pytest.fail(f"{route!r} is no endpoint that asks for a user")


ENDPOINTS = sorted(endpoints(create_app().routes))


def test_the_endpoints_are_known() -> None:
    assert ("GET", "/run") in ENDPOINTS
    assert ("GET", "/run/sections") in ENDPOINTS
    assert ("GET", "/run/download") in ENDPOINTS
    assert ("GET", "/overview") in ENDPOINTS
    assert ("GET", "/overview/sections") in ENDPOINTS


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_an_anonymous_request_is_refused(database: None, method: str, path: str) -> None:
    answer = TestClient(create_app()).request(method, path, params=QUERY)
    assert answer.status_code == 401


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_wrong_token_is_refused(client_of: Callable[[str | None], TestClient], method: str, path: str) -> None:
    client = client_of("admin")
    answer = client.request(method, path, params=QUERY, headers={"Authorization": "Bearer e30.e30.e30"})
    assert answer.status_code in (401, 403)


@pytest.mark.parametrize(("method", "path"), [end for end in ENDPOINTS if end[1].startswith("/run")])
def test_a_user_who_may_not_read_the_dag_is_refused(
    client_of: Callable[[str | None], TestClient], method: str, path: str
) -> None:
    assert client_of(None).request(method, path, params=QUERY).status_code == 403


@pytest.mark.parametrize("dag_id", ["~", "s3_to_gcs' OR 1=1", "%", "*"])
def test_no_name_stands_for_every_dag(client_of: Callable[[str | None], TestClient], dag_id: str) -> None:
    assert client_of(None).get("/run", params={**QUERY, "dag_id": dag_id}).status_code == 403
    assert client_of("viewer").get("/run", params={**QUERY, "dag_id": dag_id}).status_code == 404


def test_only_whom_airflow_lets_start_runs_sees_buttons(client_of, seed, form_dag) -> None:
    run = seed("done", state="failed", dag_id=form_dag)
    run.listed(1000, 10**10)
    run.task("verify", "failed")
    run.xcom("verify", "report", REPORT)
    run.session.commit()
    query = {"dag_id": form_dag, "run_id": "done"}
    assert "Copy what failed" not in client_of("viewer").get("/run", params=query).text
    assert "Copy what failed" in client_of("user").get("/run", params=query).text


def test_a_person_gets_a_sentence_and_the_script_json(database: None) -> None:
    client = TestClient(create_app())
    page = client.get("/run", params=QUERY, headers={"Accept": "text/html,*/*"})
    assert page.status_code == 401
    assert "You are not signed in to Airflow" in page.text
    assert "script-src 'nonce-" in page.headers["content-security-policy"]
    assert client.get("/run/sections", params=QUERY).json()["detail"].startswith("You are not signed in")
