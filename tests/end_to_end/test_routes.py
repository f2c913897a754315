"""Routes under a real scheduler: two at once, their dates, backfills from the command line and over REST, their events, and
those that a queue or a person in a browser starts.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from browser import TriggerForm, chromium_page
from demo.airflow_api import AirflowError, Run
from localcloud.supervisor import LocalCloud
from pipeline import Pipeline
from routes_rig import PUBLIC_BUCKET, Queue, routes_pipeline

SPRING_DAYS = ["2025/03/29", "2025/03/30", "2025/03/31"]  # the clock goes forward on the 30th
LEAP_DAYS = ["2024/02/28", "2024/02/29", "2024/03/01"]


@dataclass
class Started:
    """The runs that the tests look at, all started at once."""

    nightly: Run
    backfilled: list[Run]
    leap: list[Run]
    signed: Run
    form: Run


@pytest.fixture(scope="module")
def queue() -> Iterator[Queue]:
    with Queue.serve() as queue:
        yield queue


@pytest.fixture(scope="module")
def pipeline(cloud: LocalCloud, queue: Queue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with routes_pipeline(cloud, queue, tmp_path_factory.mktemp("routes"), [*SPRING_DAYS, *LEAP_DAYS]) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def started(pipeline: Pipeline) -> Started:
    airflow = pipeline.airflow
    airflow.wait_for_dag("route_public")
    nightly = airflow.wait_for_runs("route_public", timeout_s=60)[0]
    assert pipeline.wait(nightly) == "success", pipeline.logs(nightly)[-4000:]
    airflow.command(
        *("backfill", "create", "--dag-id", "route_signed"),
        *("--from-date", "2025-03-29T00:00:00+01:00", "--to-date", "2025-03-31T00:00:00+02:00"),
    )
    airflow.create_backfill("route_public", "2024-02-28T00:00:00Z", "2024-03-01T00:00:00Z", max_active_runs=2)
    signed = airflow.trigger("route_signed")
    form = pipeline.trigger("days/%Y/%m/", destination_prefix="by-hand/%%/{dag_run_id}/")
    return Started(
        nightly=nightly,
        backfilled=airflow.runs("route_signed", "backfill"),
        leap=airflow.runs("route_public", "backfill"),
        signed=signed,
        form=form,
    )


def names(pipeline: Pipeline, bucket: str, prefix: str) -> dict[str, bytes]:
    return {blob.name: blob.download_as_bytes() for blob in pipeline.gcs.list_blobs(bucket, prefix=prefix)}


def open_times(pipeline: Pipeline, dag_id: str) -> list[tuple[datetime, datetime]]:
    """From when to when each finished run of a DAG was open."""
    times = []
    for run in pipeline.airflow.runs(dag_id):
        opened = pipeline.airflow.task_instance(run, "open_run").ended_at
        closed = pipeline.airflow.task_instance(run, "close_run").ended_at
        times += [(opened, closed)] if opened and closed else []
    return times


def most_at_once(pipeline: Pipeline, dag_id: str) -> int:
    """How many runs of a DAG were open at the same time, at most."""
    times = open_times(pipeline, dag_id)
    return max(sum(opened <= moment < closed for opened, closed in times) for moment, _ in times)


def test_two_routes_at_once_one_signed_and_one_public(pipeline: Pipeline, started: Started) -> None:
    for run in [started.signed, *started.backfilled, *started.leap]:
        assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
    signed, public = open_times(pipeline, "route_signed"), open_times(pipeline, "route_public")
    at_once = [(one, other) for one in signed for other in public if one[0] < other[1] and other[0] < one[1]]
    assert at_once, "the two routes were never at work at the same time"


def test_a_manual_run_without_a_logical_date_says_which_date_it_took(pipeline: Pipeline, started: Started) -> None:
    assert pipeline.wait(started.signed) == "success", pipeline.logs(started.signed)[-4000:]
    log = pipeline.airflow.task_log(started.signed, "open_run")
    (day,) = set(re.findall(r"its date is (\d{4}-\d{2}-\d{2})T.*\(Europe/Berlin\), when it was triggered", log))
    expected = {f"archive/dt={day}/{name}": f"{day.replace('-', '/')} {name}".encode() for name in "ab"}
    assert names(pipeline, pipeline.cloud.destination_bucket, f"archive/dt={day}/") == expected


def test_a_backfill_from_the_command_line_copies_each_day_once_over_a_change_of_clocks(
    pipeline: Pipeline, started: Started
) -> None:
    assert len(started.backfilled) == len(SPRING_DAYS)
    for run in started.backfilled:
        assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
    expected = {
        f"archive/dt={day.replace('/', '-')}/{name}": f"{day} {name}".encode() for day in SPRING_DAYS for name in "ab"
    }
    assert names(pipeline, pipeline.cloud.destination_bucket, "archive/dt=2025-") == expected
    copied = [pipeline.airflow.xcom(run, "verify")["copied"] for run in started.backfilled]
    assert copied == [2, 2, 2]


def test_a_backfill_over_rest_copies_each_day_once_over_the_end_of_a_month(
    pipeline: Pipeline, started: Started
) -> None:
    assert len(started.leap) == len(LEAP_DAYS)
    for run in started.leap:
        assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
    places = {"2024/02/28": "2024-02/28", "2024/02/29": "2024-02/29", "2024/03/01": "2024-03/1"}
    expected = {f"public/{place}/{name}": f"{day} {name}".encode() for day, place in places.items() for name in "ab"}
    assert names(pipeline, PUBLIC_BUCKET, "public/2024-") == expected


def test_a_scheduled_run_copies_the_day_that_ended(pipeline: Pipeline, started: Started) -> None:
    assert pipeline.airflow.runs("route_signed", "scheduled") == []  # its first day has not ended
    run = started.nightly
    day = datetime.fromisoformat(run.run_id.removeprefix("scheduled__")) - timedelta(1)
    assert f"its date is {day:%Y-%m-%d}T00:00:00" in pipeline.airflow.task_log(run, "open_run")
    assert len(names(pipeline, PUBLIC_BUCKET, f"public/{day:%Y-%m}/{day.day}/")) == 2


def test_no_more_runs_are_open_than_the_route_allows_whatever_started_them(
    pipeline: Pipeline, started: Started
) -> None:
    """Scheduled, manual and backfilled runs together; one backfill was allowed ten runs at a time, the other two."""
    for dag_id in ("route_signed", "route_public"):
        for run in pipeline.airflow.runs(dag_id):
            assert pipeline.wait(run) == "success"
    assert most_at_once(pipeline, "route_public") == 1
    assert most_at_once(pipeline, "route_signed") == 2


def test_a_finished_day_that_is_backfilled_again_copies_nothing(pipeline: Pipeline, started: Started) -> None:
    run = started.leap[0]
    assert pipeline.wait(run) == "success"
    before = {
        blob.name: blob.generation for blob in pipeline.gcs.list_blobs(PUBLIC_BUCKET, prefix="public/2024-02/28/")
    }
    day = "2024-02-28T00:00:00Z"
    for other in started.leap:
        pipeline.wait(other)
    pipeline.airflow.end_backfills("route_public")
    pipeline.airflow.create_backfill("route_public", day, day, max_active_runs=1, reprocess="completed")
    assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
    assert pipeline.airflow.task_instance(run, "verify").try_number == 2
    summary = pipeline.airflow.xcom(run, "verify")
    assert (summary["listed"], summary["copied"], summary["skipped"]) == (2, 0, 2)
    after = {blob.name: blob.generation for blob in pipeline.gcs.list_blobs(PUBLIC_BUCKET, prefix="public/2024-02/28/")}
    assert after == before


def test_a_verified_run_is_an_event_that_starts_other_dags(pipeline: Pipeline, started: Started) -> None:
    events = pipeline.airflow.asset_events(f"gs://{PUBLIC_BUCKET}/")
    (event,) = [event for event in events if event["source_run_id"] == started.nightly.run_id]
    summary = pipeline.airflow.xcom(started.nightly, "verify")
    assert {name: event["extra"][name] for name in summary} == summary
    assert (event["extra"]["copied"], event["extra"]["dag_id"]) == (2, "route_public")
    assert event["extra"]["destination"].startswith(f"gs://{PUBLIC_BUCKET}/public/")
    assert pipeline.gcs.bucket(PUBLIC_BUCKET).blob(event["extra"]["report_uri"].split("/", 3)[3]).exists()
    seen = []
    for run in pipeline.airflow.runs("downstream"):
        assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
        seen += pipeline.airflow.xcom(run, "see")
    assert event["extra"]["destination"] in seen


def test_a_run_of_the_form_takes_dates_and_is_an_event_of_its_bucket(pipeline: Pipeline, started: Started) -> None:
    assert pipeline.wait(started.form) == "success", pipeline.logs(started.form)[-4000:]
    prefix = f"by-hand/%/{started.form.run_id}/"
    assert names(pipeline, pipeline.cloud.destination_bucket, prefix)
    events = pipeline.airflow.asset_events(f"gs://{pipeline.cloud.destination_bucket}/")
    (event,) = [event for event in events if event["source_run_id"] == started.form.run_id]
    assert event["extra"]["destination"] == f"gs://{pipeline.cloud.destination_bucket}/{prefix}"
    assert event["extra"]["report_uri"] == pipeline.airflow.xcom(started.form, "verify")["report_uri"]


def test_a_broken_route_is_an_import_error_and_breaks_no_other(pipeline: Pipeline) -> None:
    (file, text) = next(iter(pipeline.airflow.import_errors().items()))
    assert file == "configured_routes_errors.py"
    assert len(pipeline.airflow.import_errors()) == 1
    assert re.search(
        r"routes\.yaml, line 11, route broken, source\.prefix: '.*' has '%Q', which is not a date code", text
    )
    with pytest.raises(AirflowError, match="404"):
        pipeline.airflow.runs("route_broken")


def test_a_start_of_a_route_may_choose_its_speed_but_not_its_places(pipeline: Pipeline, started: Started) -> None:
    with pytest.raises(AirflowError, match=r"400 .*destination_bucket"):
        pipeline.airflow.trigger("route_public", {"destination_bucket": "somewhere-else"})
    with pytest.raises(AirflowError, match=r"400 .*threads"):
        pipeline.airflow.trigger("route_public", {"threads": 0})
    with pytest.raises(AirflowError, match=r"400 .*source_prefix: 'a prefix whose date codes are among %Y"):
        pipeline.trigger("days/%Y/%Q/")


def until(done: Callable[[], bool], timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_messages_of_s3_in_a_queue_start_a_route_one_run_at_a_time_and_none_is_lost(
    pipeline: Pipeline, queue: Queue
) -> None:
    source, destination = pipeline.cloud.source_bucket, pipeline.cloud.destination_bucket
    pipeline.put("incoming/0", b"0")
    queue.notify(source, "incoming/0")
    with pipeline.airflow.with_triggerer():
        first = pipeline.airflow.wait_for_runs("route_notified", timeout_s=90)[0]
        for name in "123":  # while that run is at work
            pipeline.put(f"incoming/{name}", name.encode())
            queue.notify(source, f"somewhere/else/{name}")  # only that there is a message counts
        until(lambda: not queue.messages() and len(pipeline.airflow.runs("route_notified")) > 1)
        assert pipeline.wait(first) == "success", pipeline.logs(first)[-4000:]
        expected = {f"arrived/{name}": name.encode() for name in "0123"}
        until(lambda: names(pipeline, destination, "arrived/") == expected)
    for run in pipeline.airflow.runs("route_notified"):
        assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
    assert most_at_once(pipeline, "route_notified") == 1


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go: `make pictures` names docs/images."""
    return Path(os.environ.get("EDGEHAUL_PICTURES") or tmp_path)


def test_a_person_triggers_a_run_in_the_browser_and_reads_its_result(pipeline: Pipeline, pictures: Path) -> None:
    for index in range(30):
        pipeline.put(f"albums/{datetime.now(UTC):%Y}/{index:03d}.jpg", b"x" * index * 1000)
    with chromium_page(pipeline.airflow.url) as page:
        form = TriggerForm(page, "s3_to_gcs")
        assert form.required() == ["source_bucket", "destination_bucket"]
        assert form.visible() >= {"source_bucket", "source_prefix", "destination_bucket", "destination_prefix"}
        assert form.red_fields() == []

        form.fill(source_prefix="albums/%Y/", destination_prefix="photos/{dag_run_id}/", source_bucket="my-photos")
        form.picture(pictures / "form.png")
        form.fill(source_bucket="s3://My_Photos/2026")
        assert "'the name of an S3 bucket alone: 3 to 63 lower-case letters, digits" in form.refusal("source_bucket")
        form.fill(source_bucket=f" {pipeline.cloud.source_bucket} ")
        assert "'destination_bucket is required: the name of a Cloud" in form.refusal("destination_bucket")
        form.fill(destination_bucket=pipeline.cloud.destination_bucket)
        form.fill("How fast", workers="99", threads="8")
        assert form.value("workers") == "64"
        form.fill("How fast", workers="2")
        form.fill("Queue, records and logs", log_name="edgehaul-browser")

        run = form.trigger()
        run.wait_until("Success")
        run.open_task("preflight")
        assert run.links()["Distribution"] == f"{pipeline.cloud.edge_url}/"
        run.open_task("verify")
        links = run.links()
        assert quote(f"{pipeline.cloud.destination_bucket}/photos/{run.run_id}") in links["Destination"]
        assert links["Report"].endswith("/report.json;tab=live_object")
        assert "logs%2Fedgehaul-browser" in links["Cloud Logging"]
        assert re.search(r"copied +30 objects, .*\n.*time +\d+ s: listing", run.log(), re.DOTALL)
        result = run.result()
    for count in ("listed", "copied", "matched"):
        assert f'"{count}": 30' in result
    assert len(names(pipeline, pipeline.cloud.destination_bucket, f"photos/{run.run_id}/")) == 30
