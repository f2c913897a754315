"""What a task says of its progress: in its log, in the task state store, and at its end."""

from __future__ import annotations

import json
import logging

import pytest

from paced import Clock
from transfer.accounting.listing_progress import ListingProgress, ListingStats
from transfer.accounting.progress import MAX_REASONS, Progress, TransferStats, human_seconds
from transfer.accounting.progress_reporter import MAX_LOG_INTERVAL_S, ProgressReporter
from transfer.accounting.traffic import TrafficMeter, WorkerTraffic
from transfer.errors import Stage
from transfer.model import Copied, Failed, Proof, TransferFailure

MIB = 1024**2


@pytest.fixture
def clock() -> Clock:
    return Clock()


def copied(size_bytes: int) -> Copied:
    return Copied(key="k", size_bytes=size_bytes, proof=Proof.CRC32C, crc32c="", generation=1, attempts=1, seconds=0.0)


def failed(code: str, key: str, message: str = "why") -> Failed:
    return Failed(
        failure=TransferFailure(
            key=key, stage=Stage.UPLOAD, error_code=code, http_status=None, attempts=1, message=message
        )
    )


def test_the_only_worker_says_how_much_of_everything_is_done_and_how_long_the_rest_takes(clock: Clock) -> None:
    progress = Progress(objects_total=40, bytes_total=80 * MIB, is_alone=True, clock=clock)
    for _ in range(10):
        progress.settled(copied(2 * MIB))
    clock.now_s += 100
    assert progress.stats().line(TransferStats()) == (
        "10 copied, 0 skipped, 0 failed, 20.0 MiB (of 40 objects, 80.0 MiB: 25 %) in 1 min 40 s; now 0 objects/s, 204.8 KiB/s;"
        " about 5 min left"
    )
    assert progress.stats().last_line().endswith("in 1 min 40 s, 0 objects/s, 204.8 KiB/s on average")


@pytest.mark.parametrize("done", [0, 40])
def test_no_time_is_left_to_estimate_at_the_beginning_and_at_the_end(clock: Clock, done: int) -> None:
    progress = Progress(objects_total=40, bytes_total=40, is_alone=True, clock=clock)
    for _ in range(done):
        progress.settled(copied(1))
    clock.now_s += 10
    assert "left" not in progress.stats().line(TransferStats())


def test_one_of_several_workers_claims_no_share_of_the_whole(clock: Clock) -> None:
    line = Progress(objects_total=40, bytes_total=80 * MIB, clock=clock).stats().line(TransferStats())
    assert "by this attempt (all workers share 40 objects, 80.0 MiB)" in line
    assert "%" not in line and "left" not in line


def test_nothing_to_do_is_all_done(clock: Clock) -> None:
    assert ": 100 %" in Progress(is_alone=True, clock=clock).stats().last_line()


def test_a_workers_counts_are_a_workers() -> None:
    assert "listed" not in Progress().stats().to_dict()
    assert "failures" not in Progress().stats().counts()


def test_failures_are_shown_by_reason_with_three_keys_and_stay_small() -> None:
    progress = Progress()
    for reason in range(2 * MAX_REASONS):
        for number in range(5 + (reason == 3)):
            progress.settled(failed(f"Reason{reason}", f"{number}" + "\u00e9" * 2000, "m" * 5000))
    document = progress.stats().to_dict()
    assert document["failed"] == 2 * MAX_REASONS * 5 + 1
    failures = progress.stats().failures
    assert [(each.reason, each.count) for each in failures[:2]] == [("Reason3", 6), ("Reason0", 5)]
    assert (len(failures), len(failures[0].samples)) == (MAX_REASONS, 3)
    assert len(json.dumps(document, ensure_ascii=False).encode()) < 48 * 1024


def test_a_listing_that_found_nothing_speaks_of_a_listing(clock: Clock) -> None:
    progress = ListingProgress(clock=clock)
    clock.now_s += 2
    assert progress.stats().last_line() == "0 listed, 0 to copy (0 B), in 2 s, 0 objects/s on average"
    assert progress.stats().to_dict() == {
        "listed": 0, "listed_bytes": 0, "skipped": 0, "objects_total": 0, "bytes_total": 0, "seconds": 2.0,
    }  # fmt: skip


def test_a_listing_says_what_it_found_and_how_fast(clock: Clock) -> None:
    progress = ListingProgress(clock=clock)
    progress.counted(ListingStats(listed=5000, listed_bytes=9 * MIB, skipped=2000, objects_total=3000, bytes_total=MIB))
    clock.now_s += 10
    line = progress.stats().line(ListingStats(listed=1000, seconds=6))
    assert line == "5,000 listed, 3,000 to copy (1.0 MiB), in 10 s; now 1,000 objects/s"


def logged_in(
    caplog: pytest.LogCaptureFixture, clock: Clock, seconds: int, every_s: float = 1.0, step_s: int = 1
) -> list[str]:
    """The lines of a worker that copies an object each `every_s`, over some time."""
    progress = Progress(objects_total=10**6, clock=clock)
    reporter = ProgressReporter(progress, lambda stats: None, clock=clock)
    done = 0
    with caplog.at_level(logging.INFO, "transfer.accounting.progress_reporter"):
        for second in range(0, seconds, step_s):
            clock.now_s += step_s
            if second >= (done + 1) * every_s:
                done += 1
                progress.settled(copied(1))
            reporter.report()
        reporter.report(is_last=True)
    return caplog.messages


def test_the_log_of_three_days_has_some_hundred_lines(caplog, clock: Clock) -> None:
    lines = logged_in(caplog, clock, 3 * 86_400, step_s=5)
    assert 100 < len(lines) < 600
    assert [line.split(" in ")[1].split(";")[0] for line in lines[:3]] == ["10 s", "20 s", "30 s"]


def test_no_line_is_repeated_while_nothing_is_done(caplog, clock: Clock) -> None:
    lines = logged_in(caplog, clock, 2 * int(MAX_LOG_INTERVAL_S) + 100, every_s=10**9)
    assert len(lines) == 3, "a sign of life at the longest interval, and the end"


def test_the_callback_gets_the_counts_once_a_second_and_may_fail(caplog, clock: Clock) -> None:
    seen = []

    def show(stats: TransferStats) -> None:
        seen.append(stats.copied)
        raise RuntimeError("away")

    progress = Progress(clock=clock)
    reporter = ProgressReporter(progress, show, clock=clock)
    for _ in range(8):
        clock.now_s += 0.25
        progress.settled(copied(1))
        reporter.report()
    assert seen == [4, 8]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (7200, "2 h"), (187_200, "2 d 4 h")],
)
def test_seconds_as_people_say_them(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_traffic_is_taken_once() -> None:
    meter = TrafficMeter()
    edge, also, gcs = meter.edge(), meter.edge(), meter.gcs()
    edge.requests, also.requests, also.received_bytes, gcs.requests = 1, 2, 30, 4
    first = meter.untaken()
    assert first == WorkerTraffic(edge_requests=3, edge_bytes=30, gcs_requests=4)
    edge.requests += 1  # while the record is being stored
    meter.take(first)
    assert meter.untaken() == WorkerTraffic(edge_requests=1)
    assert meter.so_far().edge_requests == 4
