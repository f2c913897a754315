"""The checks before a run that ask the edge, and compare clocks."""

from __future__ import annotations

import re

import pytest

from localcloud.edge import ErrorPage, Settings
from preflight_rig import SOURCE, PreflightRig, marks, only, refuse
from transfer.preflight.checks import Mark


def test_an_edge_that_caches_is_a_warning_and_a_stale_copy_is_named(rig: PreflightRig, start_edge) -> None:
    rig.edge = start_edge(caching="optimized")
    rig.cloudfront()
    finding = only(rig.check(), Mark.WARNED)
    assert "so a copy may be stale" in finding.detail
    assert "CachingDisabled" in finding.detail
    rig.client.put_object(Bucket=SOURCE, Key="a/b c", Body=b"replaced")
    assert "its copy of 'a/b c' is stale" in only(rig.check(), Mark.WARNED).detail


@pytest.mark.parametrize(
    ("settings", "tried", "said"),
    [
        (Settings(blocked=r"\.log$"), "unusual names", "not names with '.log'"),
        (Settings(blocked="<script|union select"), "unusual names", "count signed requests instead of blocking"),
        (Settings(error_pages={404: ErrorPage(status=200, body=b"sorry")}), "unusual names", "custom error responses"),
        (Settings(removed_headers=frozenset({"etag"})), "read through the edge", "came without its ETag"),
    ],
)
def test_what_an_owner_set_on_the_distribution_is_a_warning(
    rig: PreflightRig, start_edge, settings: Settings, tried: str, said: str
) -> None:
    rig.edge = start_edge(settings=settings)
    rig.cloudfront()
    found = only(rig.check(), Mark.WARNED)
    assert tried in found.check
    assert said in found.detail


def test_a_listed_object_that_a_firewall_blocks_for_its_name_fails_no_run(rig: PreflightRig, start_edge) -> None:
    rig.client.put_object(Bucket=SOURCE, Key="a/a.log", Body=b"the first of all")
    rig.edge = start_edge(settings=Settings(blocked=r"\.log$"))
    rig.cloudfront()
    assert "not names with '.log'" in only(rig.check(), Mark.WARNED).detail


def test_a_locked_folder_that_fills_the_first_page_fails_no_run(rig: PreflightRig) -> None:
    for number in range(13):  # so that no object but these is among the three that are read of a page
        rig.client.put_object(Bucket=SOURCE, Key=f"a/0/locked/{number:02d}", Body=b"x")
    denied = "<Error><Code>AccessDenied</Code><HostId>h</HostId></Error>"
    refuse(rig.edge, "GET /a/0/locked/", 403, denied)
    assert not any(finding.mark is Mark.FAILED for finding in rig.check())
    refuse(rig.edge, "GET /a/", 403, denied)
    assert "s3:GetObject" in only(rig.check(), Mark.FAILED).detail


def test_a_firewall_that_blocks_everything_is_a_failure(rig: PreflightRig, start_edge) -> None:
    rig.edge = start_edge(settings=Settings(blocked="a"))
    rig.cloudfront()
    found = only(rig.check(), Mark.FAILED)
    assert "web ACL" in found.detail


@pytest.mark.parametrize(
    ("ahead_s", "lifetime_s", "mark", "said"),
    [
        (20, 3600, None, ""),
        (40, 3600, Mark.WARNED, "40 s ahead of"),
        (-40, 3600, Mark.WARNED, "40 s behind"),
        (-40, 60, Mark.FAILED, "40 s behind"),
        (400, 3600, Mark.FAILED, "400 s ahead of"),
    ],
)
def test_the_clock(rig: PreflightRig, ahead_s: float, lifetime_s: int, mark: Mark | None, said: str) -> None:
    rig.clock_ahead_s = ahead_s + 0.5
    rig.cloudfront(extra={"url_lifetime_s": lifetime_s})
    findings = rig.check()
    assert marks(findings) == "✓" * 10 + (mark or "✓")
    assert re.sub(r"\b(39|41)\b", "40", findings[-1].detail).replace("401", "400").find(said) >= 0
    assert not said or findings[-1].detail.endswith(": set it by NTP")
