"""The tab "Copy" in a real browser under a real scheduler: a plan that is executed, a red run that is read and made green."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser import chromium_page
from copy_tab import CopyTab

MARKUP = "tab/<img src=x onerror=alert(1)>"
GONE = ["tab/=cmd()", MARKUP, "tab/\u202egnp.exe"]
LONGEST = "tab/é/x" + "é" * 508
"""A key of 1,024 bytes, the most that S3 allows."""
HOSTILE = [*GONE, LONGEST]
S3_REFUSES = {
    "headers": {"Server": "AmazonS3", "x-amz-request-id": "R"},
    "body": "<Error><Code>AccessDenied</Code><RequestId>R</RequestId></Error>",
}
PICTURES = os.environ.get("EDGEHAUL_PICTURES", "")
"""Where pictures go: `make pictures` names docs/images. A run for them is longer, so that its chart has something to show."""
OBJECTS = 600 if PICTURES else 60
ALL = OBJECTS + len(HOSTILE)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(PICTURES or tmp_path)


def switch(page: Page, theme: str) -> None:
    """Choose the theme as Airflow's own switch does."""
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    page.evaluate("theme => window.dispatchEvent(new StorageEvent('storage', {key: 'theme', newValue: theme}))", theme)


def test_a_plan_is_executed_watched_and_its_failures_copied(pipeline, edge_faults, pictures: Path) -> None:
    for key in HOSTILE:
        pipeline.put(key, b"gone")
    for index in range(OBJECTS):
        pipeline.put(f"tab/{index:03d}", os.urandom(200_000))
    plan = pipeline.trigger("tab/", mode="plan", threads=4, bandwidth_limit_mib_s=1)
    assert pipeline.wait(plan) == "success", pipeline.logs(plan)[-4000:]
    gone = {"action": "status", "status": 404, "body": "<Error><Code>NoSuchKey</Code></Error>"}
    failing = [{"match": f"tab/{start}", **gone} for start in ("%3D", "%3C", "%E2")]
    failing.append({"match": "tab/%C3%A9", "action": "status", "status": 403, **S3_REFUSES})
    slow = {"match": "GET /tab/3", "action": "status", "status": 503, "headers": {"Retry-After": "1"}, "times": 30}
    edge_faults([*failing, slow])

    with chromium_page(pipeline.airflow.url) as page:
        page.set_viewport_size({"width": 1500, "height": 1250})
        page.on("dialog", lambda dialog: pytest.fail(f"a key ran as a script: {dialog.message}"))
        tab = CopyTab(page, plan)
        assert tab.sentence.inner_text().startswith(f"A plan: {ALL} of {ALL} listed objects")
        expect(tab.section("costs").locator(".cheapest")).to_have_count(1)
        expect(tab.section("sizes")).to_contain_text("to 1 MiB")
        tab.picture(pictures / "page-plan.png")

        run = tab.start("Copy what was planned")
        watch(tab, pictures, lambda: pipeline.airflow.take_api_server_away(1.0))
        tab.wait_for(f"4 of {ALL} objects were not copied")
        assert tab.is_as_opened()
        assert pipeline.wait(run) == "failed"

        expect(tab.section("failures")).to_contain_text("SourceNotFound")
        for shown in ("tab/=cmd()", MARKUP, r"tab/\u202egnp.exe", LONGEST):
            expect(tab.section("failures")).to_contain_text(shown)
        expect(tab.frame.locator("img")).to_have_count(0)
        rows = list(csv.DictReader(io.StringIO(tab.download("failures.csv"), newline="")))
        assert sorted(row["key"] for row in rows) == sorted(HOSTILE)
        assert tab.download("report.html").startswith("<!doctype html>")
        tab.picture(pictures / "page-red.png")
        switch(page, "dark")
        expect(tab.frame.locator("html")).to_have_class("dark")
        tab.picture(pictures / "page-red-dark.png")
        switch(page, "light")

        edge_faults([])
        last = tab.start("Copy what failed")
        tab.wait_for("Every object is at the destination: 4 of 4 verified")
        assert pipeline.wait(last) == "success"
        expect(tab.section("actions")).to_contain_text("Verify now")
        tab.picture(pictures / "page-green.png")

        page.goto("/plugin/edgehaul")
        routes = page.frame_locator("iframe[title=Edgehaul]")
        form = routes.get_by_role("article", name="Copy S3 → Cloud Storage")
        expect(form).to_contain_text("Every object is at the destination: 4 of 4 verified")
        expect(form.locator("svg.bars").first.locator(".bar").nth(2)).to_be_attached()
        form.get_by_role("link", name="open the run").click()
        page.wait_for_url("**/plugin/copy")
    assert len(pipeline.stored("tab/")) == ALL


def watch(tab: CopyTab, pictures: Path, disturb: Callable[[], None]) -> None:
    """Watch a run that copies: the page changes by itself. Then the API server goes away, and the page goes on after it."""
    intervals = tab.section("chart").locator("svg").first.locator(".tips rect")
    expect(tab.section("chart")).to_contain_text("MiB/s", timeout=90_000)
    expect(tab.section("workers")).to_contain_text("worker 1 of")
    for _ in range(2):
        done, drawn = tab.figure("Objects done").inner_text(), intervals.count()
        expect(tab.figure("Objects done")).not_to_have_text(done)
        expect(intervals).not_to_have_count(drawn)
    if PICTURES:
        expect(intervals.nth(16)).to_be_attached(timeout=90_000)
    tab.picture(pictures / "page-live.png")
    disturb()
    expect(tab.frame.locator("#connection")).to_be_hidden(timeout=120_000)
