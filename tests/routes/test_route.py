"""A valid entry of the routes file becomes a route."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from route_entries import FULL, QUEUE, SOUND

ROOT = Path(__file__).resolve().parents[2]


def test_a_whole_entry(read) -> None:
    found = read(FULL)
    assert found.problems == []
    (route,) = found.routes
    assert (route.dag_id, route.description, route.owner) == ("route_photos", "Yesterday's photos", "media")
    assert route.tags == ("media", "daily")
    assert (route.cron, route.timezone, route.start) == ("@daily", "Europe/Berlin", date(2026, 1, 1))
    assert (route.catchup, route.max_active_runs) == (True, 2)
    assert route.destination == ("my-archive", "photos/")
    assert route.values == {
        "source_bucket": "my-photos",
        "source_prefix": "uploads/%Y/%m/%d/",
        "aws_conn_id": "aws_media",
        "cloudfront_conn_id": "cloudfront_media",
        "destination_bucket": "my-archive",
        "destination_prefix": "photos/dt=%Y-%m-%d/",
        "gcp_conn_id": "google_media",
        "gcp_project": "my-project",
        "workers": 8,
        "bandwidth_limit_mib_s": 12.5,
        "overwrite": "never",
        "topic": "media-requests",
    }
    assert route.run_on == {"queue": "transfer", "pool": "edgehaul", "pool_slots": 2, "executor": "LocalExecutor"}


def test_the_least_entry_is_started_by_hand_one_run_at_a_time(read) -> None:
    (route,) = read(SOUND).routes
    assert (route.cron, route.timezone, route.catchup, route.max_active_runs) == (None, "UTC", False, 1)
    assert route.destination == ("my-destination", "")
    assert route.run_on == {}


def test_a_queue_is_read_with_the_sources_connection_unless_another_is_named(read) -> None:
    entry = SOUND.replace("my-source}", "my-source, connection: aws_media}") + f"    schedule: {{sqs: {QUEUE!r}"
    (route,) = read(f"{entry}}}\n").routes
    assert (route.queue, route.queue_conn_id, route.cron) == (QUEUE, "aws_media", None)
    (route,) = read(f"{entry}, connection: aws_queue, cron: '@daily'}}\n").routes
    assert (route.queue, route.queue_conn_id, route.cron) == (QUEUE, "aws_queue", "@daily")
    (route,) = read(SOUND + f"    schedule: {{sqs: {QUEUE!r}}}\n").routes
    assert route.queue_conn_id == "aws_default"


def test_a_route_with_a_queue_alone_has_a_time_zone_for_the_dates_of_its_destination(read) -> None:
    entry = SOUND + f"    schedule: {{sqs: {QUEUE!r}, timezone: "
    assert read(f"{entry}Europe/Berlin}}\n").routes[0].timezone == "Europe/Berlin"
    (problem,) = read(f"{entry}CEST}}\n").problems
    assert "schedule.timezone: 'CEST' is not a time zone" in problem


def test_a_queue_that_cannot_be_read_here_is_a_sentence(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routes.notifications.find_spec", lambda name: None)
    (problem,) = read(SOUND + f"    schedule: {{sqs: {QUEUE!r}}}\n").problems
    assert problem.endswith("read with aiobotocore, which is not installed: pip install aiobotocore")
