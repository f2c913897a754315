"""report.html: one file that loads nothing, in which keys are text."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from hostile_report import HOSTILE, hostile_report
from pages import report_html
from pages.run_view import of_report
from seeded_runs import REPORT, history


class Elements(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, set[str]] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_text_of_a_report_is_inert() -> None:
    html = report_html(of_report(hostile_report(), None, [history(10, 10)], dag_id=HOSTILE[0]))
    found = Elements(html)
    assert not {"script", "img", "iframe", "link", "object"} & set(found.tags)
    assert found.tags.count("style") == 1
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "\u202e" not in html
    assert html.encode()
    for key in (*HOSTILE[:3], *HOSTILE[5:]):
        assert key in found.text
    assert r"\u202egnp.exe\u2066" in found.text


def test_the_file_loads_nothing_and_runs_nothing() -> None:
    html = report_html(of_report(REPORT))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;"
    assert policy.replace("&#39;", "'") in html
    assert "url(" not in style[1]
    assert "@import" not in style[1]


@pytest.mark.parametrize(
    "text",
    [
        "30 of 1,000 objects were not copied.",
        "SourceForbidden",
        "s3:GetObject",
        "at the destination",
        "2 min 10 s",
        "1,100",
        "CloudFront Free",
        "cheapest",
        "the MD5 of the stored object equals the source's ETag",
        "s3://photos/2026/",
        "MiB/s",
    ],
)
def test_the_file_has_the_whole_report(text: str) -> None:
    assert text in Elements(report_html(of_report(REPORT, None, [history(900, 10**10)]))).text


def test_a_plan_is_a_page_as_well() -> None:
    plan = {
        "run_id": "p",
        "listed": {"objects": 5, "bytes": 50},
        "to_copy": {"objects": 4, "bytes": 40},
        "unchanged": {"objects": 1, "bytes": 10},
        "extra": {"objects": 2, "bytes": 2},
        "extra_percent": 40.0,
        "sizes": [{"objects": 4, "bytes": 40}],
        "usage": {
            "edge_requests": 4,
            "edge_bytes": 40,
            "class_a": {"STANDARD": 6},
            "class_b": {},
            "s3_list_requests": 1,
        },
        "costs": REPORT["costs"],
    }
    text = Elements(report_html(of_report(None, plan))).text
    assert "A plan: 4 of 5 listed objects (40 B) would be copied, at the least for $0.01 with CloudFront Free." in text
    assert "40.0 % of the objects at the destination, not in the source" in text


def test_a_verification_is_shown_as_what_differs() -> None:
    report = {**REPORT, "mode": "verify", "failed": 0, "missing": 20, "differing": 10}
    text = Elements(report_html(of_report(report))).text
    assert "30 of 1,000 objects are missing or differ." in text
    assert "What is missing or differs" in text
    assert "equal on both sides" in text


def test_a_report_of_an_older_version_is_still_a_page() -> None:
    older = {name: REPORT[name] for name in ("run_id", "listed", "copied", "matched", "skipped", "failed", "reasons")}
    assert "30 of 1,000 objects were not copied." in Elements(report_html(of_report(older))).text
