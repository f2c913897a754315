"""The page with all routes in a real browser, in a frame as Airflow's UI makes it: the application alone, without its stack."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import FrameLocator, Page, expect
from sqlalchemy import update
from sqlalchemy.orm import Session

from browser import chromium_page
from demo.ports import free_port
from nine_routes import places, seed_nine_routes, waves
from seeded_history import daily, seed_dag
from web.app import create_app

PICTURES = os.environ.get("EDGEHAUL_PICTURES", "")
"""Where pictures go: `make pictures` names docs/images."""
AROUND = """<!doctype html><html class="light"><head><base href="/"><style>html, body {margin: 0; height: 100%}
iframe {border: 0; width: 100%; height: 100%; display: block}</style></head><body>
<iframe title="Edgehaul" sandbox="allow-scripts allow-same-origin allow-forms allow-downloads" src="edgehaul/overview"></iframe>
</body></html>"""


@pytest.fixture
def server(database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The address of the application, under a page as that of Airflow's UI, and the token of a viewer."""
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 64)
    token = create_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role="viewer"))
    app, port = FastAPI(), free_port()
    app.mount("/edgehaul", create_app())
    app.add_api_route("/plugin/edgehaul", lambda: HTMLResponse(AROUND))
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}", token
    running.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def page(server: tuple[str, str]) -> Iterator[Page]:
    """Fails the test when the page logs an error, such as one of its script or of its Content-Security-Policy."""
    url, token = server
    problems: list[str] = []
    with chromium_page(url) as opened:
        opened.context.add_cookies([{"name": COOKIE_NAME_JWT_TOKEN, "value": token, "url": url}])
        opened.set_viewport_size({"width": 1500, "height": 1000})
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on(
            "console", lambda said: problems.append(f"{said.text} {said.location}") if said.type == "error" else None
        )
        yield opened
    assert [problem for problem in problems if "/favicon.ico" not in problem] == []


def names(frame: FrameLocator) -> list[str]:
    """The routes that a person sees, in their order."""
    return [heading.inner_text() for heading in frame.locator("article h2:visible").all()]


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / name)


def test_routes_are_read_filtered_and_seen_in_the_dark(session: Session, page: Page) -> None:
    seed_nine_routes(session)
    page.goto("/plugin/edgehaul")
    frame = page.frame_locator("iframe[title=Edgehaul]")
    expect(frame.locator("article")).to_have_count(9)
    assert names(frame)[:2] == ["route_edge-logs", "route_images"]
    expect(frame.locator("article").first).to_contain_text("runs of its schedule")
    expect(frame.get_by_text("late", exact=True)).to_have_count(2)
    expect(frame.locator("#summary")).to_contain_text("Routes9")
    tip = frame.locator("article svg.bars title").first.text_content() or ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d: [\d.]+ GiB", tip)  # in the UI's time zone
    picture(page, "overview-light.png")
    assert frame.locator("html").evaluate("root => root.scrollWidth <= root.clientWidth")

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    field = frame.get_by_role("searchbox", name="Filter")
    field.focus()
    page.keyboard.type("ARCHIVE")
    assert names(frame) == ["route_edge-logs", "route_media"]
    expect(frame.get_by_role("status").last).to_have_text("2 of 9 routes")
    assert page.url.endswith("#ARCHIVE")
    page.keyboard.type("x")
    expect(frame.get_by_role("status").last).to_have_text("No route has that in its name, source or destination.")
    assert [url for url in asked if "/sections" not in url] == []

    page.keyboard.press("Backspace")
    seed_dag(session, "route_archive-2", daily(2))  # a new route, while the page is open and filtered
    seed_dag(session, "route_unlike", daily(2, waves(50, 9, **places("notes/", "notes/"))))
    session.commit()
    expect(frame.locator("article")).to_have_count(11)
    assert names(frame) == ["route_edge-logs", "route_archive-2", "route_media"]
    assert field.evaluate("field => field.value === 'ARCHIVE' && document.activeElement === field")
    page.reload()
    expect(frame.locator("article")).to_have_count(11)
    assert names(frame) == ["route_edge-logs", "route_archive-2", "route_media"]

    frame.get_by_role("searchbox", name="Filter").fill("")
    field.blur()
    page.evaluate("() => { document.documentElement.className = 'dark' }")
    expect(frame.locator("html")).to_have_class("dark")
    picture(page, "overview-dark.png")

    session.execute(update(DagModel).where(DagModel.dag_id == "route_unlike").values(is_stale=True))
    session.commit()
    expect(frame.locator("article")).to_have_count(10)

    page.goto("/edgehaul/overview")
    for width in (640, 1000, 1900):
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["help"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
