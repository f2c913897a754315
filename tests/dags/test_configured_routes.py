"""The DAGs of the routes file, as Airflow's DAG processor makes them of the files in dags/."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

DAGS = Path(__file__).resolve().parents[2] / "dags"
ROUTES = """
routes:
  - name: nightly
    owner: media
    tags: [media]
    source: {bucket: my-source, prefix: "in/{{x}}/%Y/"}
    edge: {connection: cloudfront_media}
    destination: {bucket: my-destination, prefix: "out/%Y/"}
    schedule: {cron: "@daily", timezone: Europe/Berlin, start: 2026-03-01, catchup: true}
    max_active_runs: 3
    parameters: {workers: 2, error_topic: media-failures}
  - name: broken
    source: {bucket: my-source}
  - name: manual
    source: {bucket: my-source}
    edge: {connection: cloudfront_public}
    destination: {bucket: my-destination}
"""


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], DagBag]:
    def parse(text: str) -> DagBag:
        (tmp_path / "routes.yaml").write_text(text)
        monkeypatch.setenv("EDGEHAUL_ROUTES", str(tmp_path / "routes.yaml"))
        return DagBag(str(DAGS), bundle_path=DAGS, bundle_name="dags")

    return parse


def test_each_route_is_a_dag_and_a_broken_one_an_import_error_beside_them(bag) -> None:
    found = bag(ROUTES)
    assert set(found.dags) == {"s3_to_gcs", "route_nightly", "route_manual"}
    assert list(found.import_errors) == ["configured_routes_errors.py"]
    told = found.import_errors["configured_routes_errors.py"]
    for field, line in (("edge", 12), ("destination", 12)):
        assert f"routes.yaml, line {line}, route broken, {field}: it is missing: add it" in told


def test_a_task_gets_its_own_dag_only(bag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "route_manual")
    found = bag(ROUTES)
    assert "route_manual" in found.dags
    assert "route_nightly" not in found.dags


def test_a_route_is_tagged_owned_documented_and_scheduled_as_it_says(bag) -> None:
    dag = bag(ROUTES).dags["route_nightly"]
    assert {"edgehaul", "route", "media"} <= dag.tags
    assert dag.owner == "media"
    for part in (
        "my-source",
        "cloudfront_media",
        "my-destination",
        "@daily",
        "3 runs at a time",
        "gs://my-destination/out",
        "a run is named after the moment when its interval ended",
        "set `parameters: {allow_empty: true}` if there are days without objects, also for a backfill",
    ):
        assert part in dag.doc_md
    assert (dag.catchup, dag.max_active_runs) == (True, 3)

    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert again.timetable.summary == "0 0 * * *"
    assert again.start_date == datetime(2026, 2, 28, 23, tzinfo=UTC)
    infos = again.iter_dagrun_infos_between(again.start_date, datetime(2026, 4, 1, tzinfo=UTC))
    intervals = [info.data_interval for info in infos if info.data_interval]
    assert len(intervals) == 32
    assert {(interval.end - interval.start).total_seconds() / 3600 for interval in intervals} == {23, 24}


QUEUED = """
routes:
  - &events
    name: events
    source: {bucket: my-source}
    edge: {connection: cloudfront_public}
    destination: {bucket: my-destination}
    schedule: {sqs: "https://sqs.eu-west-1.amazonaws.com/111122223333/photos", connection: aws_queue}
  - <<: *events
    name: both
    schedule: {sqs: "https://sqs.eu-west-1.amazonaws.com/111122223333/photos", cron: "@daily"}
"""


def test_a_route_with_a_queue_waits_for_its_messages_and_may_have_a_schedule_besides(bag) -> None:
    found = bag(QUEUED)
    assert found.import_errors == {}
    for name, summary, conn_id in (
        ("route_events", "Asset", "aws_queue"),
        ("route_both", "Asset or 0 0 * * *", "aws_default"),
    ):
        dag = found.dags[name]
        assert "111122223333/photos" in dag.doc_md
        again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert again.timetable.summary == summary
        ((_, asset),) = again.timetable.asset_condition.iter_assets()
        (watcher,) = asset.watchers
        assert watcher.trigger["classpath"] == "airflow.providers.amazon.aws.triggers.sqs.SqsSensorTrigger"
        assert watcher.trigger["kwargs"]["aws_conn_id"] == conn_id
        assert watcher.trigger["kwargs"]["region_name"] == "eu-west-1"


def test_a_route_without_a_schedule_is_started_manually(bag) -> None:
    dag = bag(ROUTES).dags["route_manual"]
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable.can_be_scheduled is False
    assert dag.max_active_runs == 1
    assert "manually" in dag.doc_md


def test_routes_and_the_form_have_the_same_tasks(bag) -> None:
    dags = bag(ROUTES).dags
    chains = [{task.task_id: task.downstream_task_ids for task in dag.tasks} for dag in dags.values()]
    assert chains[0] == chains[1] == chains[2]
    assert len(chains[0]) == len(dags["s3_to_gcs"].tasks) > 5


FIXED = {
    "source_bucket": "my-source",
    "source_prefix": "in/{{x}}/%Y/",
    "source_listing": None,
    "aws_conn_id": "aws_default",
    "cloudfront_conn_id": "cloudfront_media",
    "destination_bucket": "my-destination",
    "destination_prefix": "out/%Y/",
    "gcp_conn_id": "google_cloud_default",
    "gcp_project": None,
    "topic": "edgehaul-requests",
    "error_topic": "media-failures",
    "state_bucket": None,
    "log_name": None,
}


@pytest.mark.parametrize("name", FIXED)
def test_where_a_route_copies_is_fixed(bag, name: str) -> None:
    params = bag(ROUTES).dags["route_nightly"].params
    assert params[name] == FIXED[name]
    other = "another-one" if FIXED[name] is None else None
    for value in ("another-value", other):
        with pytest.raises(ParamValidationError):
            deepcopy(params).update({name: value})


def test_all_else_may_be_chosen_for_a_run(bag) -> None:
    dags = bag(ROUTES).dags
    params, form = dags["route_nightly"].params, dags["s3_to_gcs"].params
    chosen = {"workers": 5, "threads": 6, "overwrite": "always", "only_failed": "last", "max_requests_per_s": 10}
    params.update(chosen)
    assert {name: params[name] for name in chosen} == chosen
    assert params.validate().keys() == set(form)
    assert dags["route_manual"].params["workers"] == form["workers"]


def test_a_template_in_a_prefix_is_text(bag) -> None:
    """Braces of the file reach the tasks as they stand: what is rendered is the parameter's name, not its value."""
    dag = bag(ROUTES).dags["route_nightly"]

    class Run:
        run_id, dag_id = "scheduled__x", "route_nightly"
        data_interval_start = datetime(2025, 12, 31, 23, tzinfo=UTC)

    context: dict[str, Any] = {"params": dag.params.validate(), "dag_run": Run}
    template = dag.get_task("list").source_prefix
    assert dag.get_template_env().from_string(template).render(context) == "in/{x}/2026/"


def test_the_outlet_is_the_folder_that_all_runs_write_under(bag) -> None:
    dags = bag(ROUTES).dags
    (outlet,) = dags["route_nightly"].get_task("verify").outlets
    assert (outlet.name, outlet.uri) == ("gs://my-destination/out", "gs://my-destination/out")
    (outlet,) = dags["route_manual"].get_task("verify").outlets
    assert outlet.uri == "gs://my-destination/"
    (outlet,) = dags["s3_to_gcs"].get_task("verify").outlets
    assert outlet.name == "edgehaul"
    assert [task.task_id for task in dags["route_nightly"].tasks if task.outlets] == ["verify"]
