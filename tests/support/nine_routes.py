"""Nine routes as a company may have them, with their last runs: two of them late, one paused, one running, one new."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from seeded_history import Seed, daily, report, seed_dag
from seeded_runs import SeededRun

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FORM: dict[str, Any] = {"every": None, "dag_display_name": "Copy S3 → Cloud Storage"}


def waves(objects: int, mib: float, **more: Any) -> Callable[[int], dict[str, Any]]:
    """Reports whose numbers rise and fall."""

    def made(number: int) -> dict[str, Any]:
        wave = 1 + 0.35 * math.sin(number / 3) + 0.2 * math.sin(number * 1.7)
        seconds, usd = 40 + mib * wave / 90, 0.002 + mib * wave / 3e5
        return report(int(objects * wave), mib=mib * wave, seconds=seconds, usd=usd, **more)

    return made


def red(**more: Any) -> Callable[[int], dict[str, Any]]:
    """Reports with more failures each time."""
    return lambda number: report(18_400, unfinished=230 + 40 * number, mib=9_000, seconds=240, usd=0.04, **more)


def places(source: str, destination: str) -> dict[str, str]:
    """The ends of a copy, for its report."""
    return {"source": f"s3://{source}", "destination": f"gs://{destination}"}


def seed_nine_routes(session: Session) -> None:
    """194 runs, up to now: the hourly route would be late an hour after that."""
    now = datetime.now(UTC)
    full_hour = now.replace(minute=0, second=0, microsecond=0)
    due = full_hour.replace(hour=2) - (DAY if now.hour < 2 else timedelta(0))
    by_day: dict[str, Any] = {"next_due_at": due + DAY, "every": DAY}
    media, backups = places("media-originals/", "media-archive/"), places("db-backups/", "vault/backups/")
    seed_dag(session, "route_media", daily(30, waves(12_000, 48_000, **media), last=due), **by_day)
    seed_dag(session, "route_backups", daily(30, waves(900, 310_000, **backups), last=due), is_paused=True, **by_day)

    logs, images = places("edge-logs/2026/11/29/", "log-archive/2026/11/29/"), places("images/", "cdn-origin/")
    green = daily(26, waves(18_000, 9_000, **logs), last=due - 3 * DAY)
    seed_dag(session, "route_edge-logs", [*green, *daily(3, red(**logs), state="failed", last=due)], **by_day)
    seed_dag(session, "route_images", daily(4, red(**images), state="failed", last=due), **by_day)

    made = waves(320, 60, **places("billing-exports/", "finance/billing/"))
    hours = [Seed(due_at=full_hour - (29 - number) * HOUR, report=made(number)) for number in range(30)]
    words = {"timetable_summary": "0 * * * *", "timetable_description": "Every hour"}
    seed_dag(session, "route_billing", hours, every=HOUR, next_due_at=full_hour + HOUR, **words)

    clicks = waves(52_000, 2_200, **places("click-streams/", "lake/raw/clicks/"))
    seed_dag(session, "route_analytics", daily(29, clicks, last=due - DAY), **by_day)
    live = SeededRun(session, "live", dag_id="route_analytics", began_at=now - HOUR / 3)
    live.listed(50_000, 10**9)
    live.worker(0, copied=31_000, size_bytes=7 * 10**8)

    assets = places("www-assets/", "web-assets/")
    seed_dag(session, "route_web-assets", daily(12, waves(4_200, 700, **assets), last=due), **by_day)
    old = waves(800, 4_000, **places("old-bucket/2019/", "cold/2019/"))
    seed_dag(session, "s3_to_gcs", daily(9, old, run_type="manual"), **FORM)
    seed_dag(session, "route_new", description="s3://partners/ to gs://partners-eu/", **by_day)
    session.commit()
