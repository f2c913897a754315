"""The page of a run in Chromium: it fits into every window, and axe-core finds nothing that a screen reader cannot use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from browser import chromium_page
from hostile_report import hostile_report
from pages.rendering import page as render_page
from pages.run_sections import run_sections
from pages.run_view import of_report
from seeded_runs import REPORT, history

WIDTHS = (640, 1000, 1900)
"""Pixels; 640 are left to the tab in a window of 1,000 beside Airflow's own columns."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with chromium_page("about:blank") as page:
        yield page


@pytest.mark.parametrize("report", [REPORT, hostile_report()], ids=["usual", "hostile"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_and_is_accessible(chromium: Page, report: dict[str, object], theme: str) -> None:
    chromium.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    view = of_report(report, None, [history(900, 10**10)])
    chromium.set_content(render_page(run_sections(view), title="A run", nonce="n"))
    chromium.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    for width in WIDTHS:
        chromium.set_viewport_size({"width": width, "height": 900})
        assert chromium.evaluate(BEYOND) == [], f"beyond the right edge at {width} pixels"
    found = Axe().run(chromium).response["violations"]
    assert [(rule["id"], rule["help"], [node["html"] for node in rule["nodes"]]) for rule in found] == []


BEYOND = """[...document.querySelectorAll("body *")]
    .filter(element => element.getBoundingClientRect().right > window.innerWidth + 1)
    .map(element => `${element.tagName} ${element.textContent.slice(0, 60)}`)"""
