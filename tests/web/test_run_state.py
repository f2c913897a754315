"""What the page shows of a run, from the rows that Airflow and the tasks leave in the metadata database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pages.records import PhaseState, Tone
from pages.run_view import RunView
from seeded_runs import REPORT, SeededRun, history
from web.access import RunKey
from web.run_state import run_view

Seed = Callable[..., SeededRun]
GREEN: Mapping[str, Any] = {**REPORT, "matched": 980, "failed": 0, "reasons": REPORT["reasons"][1:]}


def seen(run: SeededRun, group: str | None = None) -> RunView:
    found = run_view(run.session, RunKey(run.dag_id, run.run_id), group)
    assert found is not None
    return found[0]


def phases(view: RunView) -> dict[str, PhaseState]:
    return {phase.name: phase.state for phase in view.phases}


def test_there_is_no_view_of_a_run_that_is_not_there(session: Session) -> None:
    assert run_view(session, RunKey("s3_to_gcs", "gone")) is None


def test_a_run_without_a_copy_says_so(seed: Seed) -> None:
    run = seed(dag_id="other")
    run.task("export")
    assert seen(run).verdict.sentence == "This run copies nothing: its DAG has no task of Edgehaul."


def test_a_run_that_waits(seed: Seed) -> None:
    run = seed(state="queued")
    for task_id in ("preflight", "open_run", "list"):
        run.task(task_id, None)
    view = seen(run)
    assert view.is_live
    assert set(phases(view).values()) == {PhaseState.PENDING}
    assert "waits for its turn" in view.verdict.sentence


def test_a_listing_counts_what_it_has_found(seed: Seed) -> None:
    run = seed()
    run.task("preflight")
    run.task("list", "running")
    run.store("list", "progress", {"listed": 5000, "objects_total": 5000, "bytes_total": 10**9, "seconds": 10.0})
    view = seen(run)
    assert view.verdict.sentence == "Listing: 5,000 objects so far."
    assert view.progress is not None
    assert (view.progress.total, view.progress.objects_per_s) == (None, 500.0)


def test_a_copy_adds_up_all_workers(seed: Seed) -> None:
    run = seed()
    run.listed(4000, 4 * 10**9, workers=2, listed=4100, skipped=100)
    run.worker(0, copied=900, size_bytes=10**9)
    run.worker(1, copied=1090, size_bytes=10**9, failed=10)
    view = seen(run)
    assert view.progress is not None
    assert (view.progress.done.objects, view.progress.done.size_bytes) == (2000, 2 * 10**9)
    assert (view.progress.skipped, view.progress.failed) == (100, 10)
    assert view.progress.share == pytest.approx(0.5)
    # Half of it took 480 s at a rate that varies between 1/2 and 3/2 of the average.
    assert view.progress.eta_s is not None
    assert 480 / 2 < view.progress.eta_s < 480 * 3
    assert view.rates is not None
    assert sum(view.rates.bytes) == pytest.approx(2 * 10**9, rel=0.01)  # the last interval is not over
    assert 25 < sum(view.rates.slowed) < 35
    assert [row.label for row in view.workers] == ["worker 1 of 64", "worker 2 of 64"]
    assert (view.workers[0].lanes, view.workers[0].threads, view.workers[0].host) == (8, 16, "worker.internal")
    assert view.source == "s3://photos/2026/"
    assert view.destination == "gs://archive/2026/"
    assert view.verdict.sentence.startswith("Copying: 50.0% done, about ")
    assert "10 objects failed so far" in view.verdict.sentence


def test_failures_of_all_workers_are_shown_by_reason_while_they_copy(seed: Seed) -> None:
    run = seed()
    run.listed(100, 10**6, skips=[{"reason": "archived", "count": 7, "samples": ["a"]}])
    found = [{"reason": "SourceForbidden", "count": 2, "samples": ["x", "y"], "message": "403"}]
    run.worker(0, copied=10, size_bytes=10, failed=2, failures=found)
    run.worker(1, copied=10, size_bytes=10, failed=3, failures=[{**found[0], "count": 3, "samples": ["z", "w"]}])
    view = seen(run)
    [failure] = view.failures
    assert (failure.reason, failure.count, failure.samples) == ("SourceForbidden", 5, ("x", "y", "z"))
    assert "s3:GetObject" in failure.advice
    assert [(row.reason, row.count) for row in view.skipped] == [("archived", 7)]


def test_the_counts_of_an_earlier_attempt_of_a_worker_are_not_lost(seed: Seed) -> None:
    run = seed()
    run.listed(1000, 10**6)
    run.task("transfer", "running", 0, try_number=2)
    run.store("transfer", "progress", {"copied": 5, "bytes_copied": 50}, 0)
    run.store("transfer", "history", history(600, 600_000), 0)
    view = seen(run)
    assert view.progress is not None
    assert 580 <= view.progress.done.objects <= 600
    assert view.workers[0].attempt == 2


def test_the_second_pass_does_not_count_an_object_twice(seed: Seed) -> None:
    run = seed()
    run.listed(100, 1000)
    run.worker(0, copied=90, size_bytes=900, failed=10, state="success")
    run.task("reconcile")
    run.xcom("reconcile", "summary", {"republished": 10})
    run.task("retry", "running", 0)
    run.store("retry", "progress", {"copied": 6, "failed": 0, "bytes_copied": 60, "seconds": 3.0}, 0)
    view = seen(run)
    assert view.progress is not None
    assert (view.progress.done.objects, view.progress.failed) == (100, 4)
    assert phases(view)["Second pass"] is PhaseState.RUNNING


def test_a_red_run_shows_its_report(seed: Seed) -> None:
    run = seed(state="failed")
    run.listed(1000, 10**10)
    run.task("verify", "failed")
    run.xcom("verify", "report", REPORT)
    view = seen(run)
    assert view.verdict.tone is Tone.BAD
    assert view.verdict.sentence == "30 of 1,000 objects were not copied."
    assert [row.reason for row in view.failures] == ["SourceForbidden"]
    assert view.result is not None
    assert sum(row.amount.objects for row in view.result.counts if not row.is_total) == 1000
    assert {link.url.rpartition("=")[2] for link in view.downloads} == {
        "failures.csv",
        "archived.csv",
        "report.html",
        "report.json",
    }


def test_a_run_of_an_older_version_has_the_counts_alone(seed: Seed) -> None:
    run = seed(state="success")
    run.listed(61, 5000)
    run.task("verify")
    counts = {"listed": 61, "copied": 61, "matched": 61, "bytes_copied": 5000, "seconds": 33.4}
    run.xcom("verify", "return_value", counts)
    view = seen(run)
    assert view.verdict.tone is Tone.GOOD
    assert view.verdict.sentence.startswith("Every object is at the destination: 61 of 61 verified")


def test_a_report_of_an_earlier_opening_does_not_count_while_the_run_is_judged_again(seed: Seed) -> None:
    run = seed()
    run.listed(1000, 10**10)
    run.task("reconcile", "running")
    run.task("verify", None)
    run.xcom("verify", "report", REPORT)
    view = seen(run)
    assert view.result is None
    assert view.verdict.sentence == "Judging."


def test_a_green_report_of_a_run_that_failed_nevertheless_is_red(seed: Seed) -> None:
    run = seed(state="failed")
    run.listed(1000, 10**10)
    run.task("verify")
    run.xcom("verify", "report", GREEN)
    run.task("delete_extraneous", "failed")
    run.xcom("delete_extraneous", "problem", "too many objects would be deleted\nraise max_delete_percent")
    view = seen(run)
    assert view.verdict.tone is Tone.BAD
    assert view.verdict.sentence.endswith("The run failed nevertheless in delete_extraneous.")
    assert view.verdict.details == ("too many objects would be deleted", "raise max_delete_percent")


def test_a_run_that_failed_before_it_copied_names_the_task(seed: Seed) -> None:
    run = seed(state="failed")
    run.task("preflight", "failed")
    run.task("list", "upstream_failed")
    view = seen(run)
    assert view.verdict.sentence == "The run failed in preflight, before anything was copied."
    assert view.links[-1].url == "../dags/s3_to_gcs/runs/r/tasks/preflight"


def test_a_plan_is_shown_as_its_table(seed: Seed) -> None:
    run = seed(state="success")
    amounts = {name: {"objects": 0, "bytes": 0} for name in ("unchanged", "extra")}
    plan = {
        **amounts,
        "listed": {"objects": 7, "bytes": 70},
        "to_copy": {"objects": 7, "bytes": 70},
        "sizes": [{"objects": 7, "bytes": 70}, *[{"objects": 0, "bytes": 0}] * 7],
        "costs": REPORT["costs"],
    }
    run.listed(0, 0, mode="plan")
    run.xcom("list", "plan", plan)
    view = seen(run)
    assert view.mode == "plan"
    assert view.progress is None
    assert "7 of 7 listed objects (70 B) would be copied" in view.verdict.sentence
    assert view.result is not None
    assert view.result.costs is not None
    assert [row.way for row in view.result.costs.ways if row.is_cheapest] == ["CloudFront Free"]
    assert view.result.sizes[0].amount.objects == 7


def test_each_copy_of_a_dag_with_several_is_shown(seed: Seed) -> None:
    run = seed(state="success", dag_id="own")
    for group in ("first", "second"):
        run.task(f"{group}.open_run")
        run.task(f"{group}.list")
        run.xcom(f"{group}.list", "summary", {"mode": "transfer", "objects": 1, "bytes": 1})
        run.task(f"{group}.verify")
    run.xcom("second.verify", "return_value", {"listed": 1, "matched": 1, "copied": 1})
    assert "no report" in seen(run).verdict.sentence
    view = seen(run, "second")
    assert view.verdict.tone is Tone.GOOD
    assert [(link.label, is_this) for link, is_this in view.copies] == [("first", False), ("second", True)]


def test_tasks_of_other_names_are_known_by_their_operators(seed: Seed) -> None:
    run = seed(state="success", dag_id="own")
    run.task("find", operator="S3ListToPubSubOperator")
    run.xcom("find", "summary", {"mode": "transfer", "objects": 1, "bytes": 1})
    run.task("judge", operator="ReconcileTransferOperator")
    run.task("verify")
    run.xcom("verify", "return_value", {"listed": 1, "matched": 1, "copied": 1})
    assert list(phases(seen(run))) == ["Listing", "Judging", "Verifying"]
    assert seen(run).verdict.tone is Tone.GOOD


@pytest.mark.parametrize(
    "junk",
    [
        None,
        7,
        "text",
        [],
        [1, {"a": None}],
        {"listed": "x", "reasons": 5, "costs": [], "sizes": "no", "phases": {"a": "b"}, "mode": ["x"]},
        {"listed": 10**400, "copied": float("1e308"), "matched": -5, "reasons": [{"samples": [None, 3]}, 8]},
        {
            "reasons": [{"reason": "\ud800", "samples": ["\u202e\x00"], "count": 1}],
            "evidence": {"a": 7, "b": {"c": "d"}},
        },
    ],
)
def test_records_of_any_content_leave_a_page(seed: Seed, junk: Any) -> None:
    from pages.run_sections import run_sections

    run = seed(state="failed")
    run.listed(10, 100)
    run.task("transfer", "running", 0)
    run.store("transfer", "progress", junk, 0)
    run.store("transfer", "history", junk, 0)
    run.task("verify", "failed")
    for task_id, key in (("verify", "report"), ("verify", "return_value"), ("list", "plan"), ("verify", "problem")):
        run.xcom(task_id, key, junk)
    assert "".join(run_sections(seen(run)).values()).encode()


def test_times_of_phases(seed: Seed) -> None:
    now = datetime.now(UTC)
    run = seed(began_at=now - timedelta(seconds=100))
    run.task("preflight", end_date=now - timedelta(seconds=90))
    run.task("list", "running", start_date=now - timedelta(seconds=40))
    found = {phase.name: phase.seconds for phase in seen(run).phases}
    assert found["Checking"] == pytest.approx(10, abs=1)
    assert found["Listing"] == pytest.approx(40, abs=5)
