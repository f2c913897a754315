"""The DAG file as Airflow's DAG processor sees it."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from hooks.selection import selection_of
from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.parameters import as_bool
from operators.worker_settings import transfer_config
from transfer.limits import MIB

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(scope="module")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


@pytest.fixture
def dag(bag):
    return bag.dags["s3_to_gcs"]


def test_every_dag_file_imports(bag) -> None:
    assert bag.import_errors == {}


def test_the_chain_of_tasks(dag) -> None:
    chain = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    assert chain == {
        "preflight": ["open_run"],
        "open_run": ["close_run", "list"],
        "list": ["reconcile", "transfer"],
        "transfer": ["reconcile"],
        "reconcile": ["retry", "verify"],
        "retry": ["verify"],
        "verify": ["close_run", "delete_extraneous"],
        "delete_extraneous": [],
        "close_run": [],
    }
    assert dag.get_task("open_run").is_setup
    assert dag.get_task("close_run").is_teardown
    assert dag.get_task("transfer").is_mapped
    assert dag.get_task("retry").is_mapped


def test_every_task_and_the_dag_say_what_they_are_for(dag) -> None:
    assert dag.dag_display_name == "Copy S3 → Cloud Storage"
    for task in dag.tasks:
        doc = task.partial_kwargs["doc_md"] if task.is_mapped else task.doc_md
        assert doc.count(". ") == 1 and doc.endswith("."), f"{task.task_id}: two sentences"
    fields = {text.strip("`") for text in re.findall(r"`[a-z_]+`", dag.doc_md)}
    assert fields - {"last"} <= {*dag.params, *dag.task_ids}


def test_a_label_of_a_worker_has_the_date_of_dated_prefixes(dag) -> None:
    template, environment = dag.get_task("transfer").partial_kwargs["map_index_template"], dag.get_template_env()
    task = SimpleNamespace(slot={"label": "worker 1 of 2"})
    run = SimpleNamespace(data_interval_start=datetime(2026, 11, 28, 7, tzinfo=UTC))

    def label(**params: str | None) -> str:
        given = {"source_prefix": None, "destination_prefix": None} | params
        return str(environment.from_string(template).render(task=task, dag_run=run, params=given))

    assert label() == "worker 1 of 2"
    assert label(source_prefix="days/%Y/%m/%d/") == "worker 1 of 2, 2026-11-28"
    assert label(destination_prefix="hours/%H/") == "worker 1 of 2, 2026-11-28 07:00"


def test_it_has_no_schedule_and_survives_serialization(dag) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert again.timetable.can_be_scheduled is False
    assert {task.task_id for task in again.tasks} == {task.task_id for task in dag.tasks}
    assert set(again.params) == set(dag.params)


def test_only_the_dag_holds_the_parameters(dag) -> None:
    """Airflow validates each copy of a parameter twice whenever it reads the file, and stores it with the DAG."""
    assert dag.params
    assert {task.task_id: list(task.params) for task in dag.tasks if task.params} == {}


def test_the_form_has_sections_and_a_line_of_help_for_each_field(dag) -> None:
    sections: dict[str, list[str]] = {}
    for name in dag.params:
        parameter = dag.params.get_param(name)
        sections.setdefault(parameter.schema.get("section", ""), []).append(name)
        assert parameter.description.endswith("."), name
        assert len(parameter.description) <= 100, name
    assert sections == {
        "": ["source_bucket", "source_prefix", "destination_bucket", "destination_prefix", "mode"],
        "Source": ["source_listing", "aws_conn_id"],
        "Edge": ["cloudfront_conn_id"],
        "Destination": ["gcp_conn_id"],
        "What to copy": [
            "include",
            "exclude",
            "min_size",
            "max_size",
            "modified_since",
            "modified_before",
            "storage_classes",
            "overwrite",
            "delete_extraneous",
            "max_delete_percent",
            "max_delete_objects",
            "verify_sample",
            "plan_run",
        ],
        "How fast": [
            "workers",
            "threads",
            "part_size_mib",
            "bandwidth_limit_mib_s",
            "max_requests_per_s",
            "ramp_up",
        ],
        "When it fails": ["only_failed", "allow_empty"],
        "Queue, records and logs": [
            "topic",
            "error_topic",
            "gcp_project",
            "state_bucket",
            "keep_runs",
            "log_name",
            "verbose",
        ],
    }


EXPECTED_S3 = "the name of an S3 bucket alone: 3 to 63 lower-case letters"
EXPECTED_GCS = "the name of a Cloud Storage bucket alone: lower-case letters"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("source_bucket", None, f"'source_bucket is required: {EXPECTED_S3}"),
        ("source_bucket", " ", f"'source_bucket is required: {EXPECTED_S3}"),
        ("source_bucket", "Not A Bucket", EXPECTED_S3),
        ("source_bucket", "s3://bucket", EXPECTED_S3),
        ("destination_bucket", None, f"'destination_bucket is required: {EXPECTED_GCS}"),
        ("destination_bucket", "-x", EXPECTED_GCS),
        ("destination_bucket", "gs://bucket/prefix", EXPECTED_GCS),
        ("source_prefix", "k" * 1025, "is too long"),
        ("source_prefix", "days/%Q/", "'a prefix whose date codes are among %Y %y %m"),
        (
            "destination_prefix",
            "{run}/",
            "whose braces are {dag_run_id}, or {{ and }} for braces of names' was expected",
        ),
        ("destination_prefix", 7, "is not of type 'null', 'string'"),
        ("source_listing", "list.csv", "s3:// or gs://, a bucket, and a name: the manifest.json of an S3 Inventory"),
        ("source_listing", "s3://b/x.orc", "or a .csv, .jsonl or .ndjson"),
        ("include", "*.gz", "is not of type 'null', 'array'"),
        ("exclude", [7], "is not of type 'string'"),
        ("min_size", "10 apples", "a size: a number and B, KiB, MiB, GiB or TiB"),
        ("max_size", "-1", "a size: a number and B, KiB, MiB, GiB or TiB"),
        ("modified_since", "yesterday", "a date or date-time of ISO 8601, as in 2026-01-31"),
        ("modified_before", "31.1.2026", "or how long before the run, as in 7d or 12h"),
        ("storage_classes", ["COLD"], "'COLD' is not one of ['STANDARD', "),
        ("workers", 0, "0 is less than the minimum of 1"),
        ("workers", 65, "65 is greater than the maximum of 64"),
        ("threads", 0, "less than the minimum of 1"),
        ("threads", 257, "greater than the maximum of 256"),
        ("part_size_mib", 4, "less than the minimum of 5"),
        ("part_size_mib", 1025, "greater than the maximum of 1024"),
        ("bandwidth_limit_mib_s", -1, "less than the minimum of 0"),
        ("bandwidth_limit_mib_s", "fast", "is not of type 'null', 'number'"),
        ("max_requests_per_s", -0.5, "less than the minimum of 0"),
        ("ramp_up", "maybe", "is not of type 'null', 'boolean'"),
        ("overwrite", "sometimes", "is not one of ['changed', 'never', 'always']"),
        ("mode", "guess", "is not one of ['transfer', 'plan', 'verify']"),
        ("plan_run", "", "should be non-empty"),
        ("delete_extraneous", "yes", "is not one of ['off', 'list', 'delete']"),
        ("verify_sample", 101, "greater than the maximum of 100"),
        ("verify_sample", -0.1, "less than the minimum of 0"),
        ("max_delete_percent", 101, "greater than the maximum of 100"),
        ("max_delete_percent", -1, "less than the minimum of 0"),
        ("max_delete_objects", -1, "less than the minimum of 0"),
        ("max_delete_objects", 0.5, "is not of type 'null', 'integer'"),
        ("topic", "1", "a Pub/Sub topic: a letter first, and 3 to 255 letters"),
        ("error_topic", "topics/x", "or projects/<project>/topics/<topic>"),
        ("gcp_project", "My Project", "the id of a project: lower-case letters, digits and hyphens"),
        ("aws_conn_id", "aws default", "the id of a connection under Admin, Connections: letters"),
        ("cloudfront_conn_id", "https://d1.cloudfront.net", "the id of a connection under Admin, Connections"),
        ("gcp_conn_id", "", "the id of a connection under Admin, Connections"),
        ("state_bucket", "Not A Bucket", EXPECTED_GCS),
        ("keep_runs", 0, "less than the minimum of 1"),
        ("only_failed", "", "should be non-empty"),
        ("allow_empty", "yes", "is not of type 'null', 'boolean'"),
        ("log_name", "my log", "the name of a log: 1 to 511 letters, digits and any of . _ / -"),
        ("verbose", 1, "is not of type 'null', 'boolean'"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_expected(dag, name: str, value: object, sentence: str) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    params = deepcopy(dag.params)
    params.update({"source_bucket": "from-here", "destination_bucket": "to-there"})
    with pytest.raises(ParamValidationError) as caught:
        params.update({name: value})
    said = str(caught.value)
    assert said.startswith(f"Invalid input for param {name}: ")
    assert sentence in said.splitlines()[0]


def test_nothing_is_red_before_a_person_types(dag) -> None:
    """As Airflow's form decides it: a field is red when it is empty and its type does not allow null."""
    for name in dag.params:
        assert "null" in dag.params.get_param(name).schema["type"], name


def test_blanks_that_pasting_leaves_are_taken_off_but_for_prefixes(dag) -> None:
    params = deepcopy(dag.params)
    params.update({"source_bucket": " from-here \n", "destination_bucket": "to-there", "source_prefix": "kept "})
    preflight, environment = dag.get_task("preflight"), dag.get_template_env()
    render = lambda text: environment.from_string(text).render(params=params.validate(), dag=dag)  # noqa: E731
    assert render(preflight.source_bucket) == "from-here"
    assert render(preflight.settings["source_prefix"]) == "kept "


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (32, None, None, True)),
        ({"part_size_mib": None, "ramp_up": None}, (32, None, None, True)),
        ({"part_size_mib": 5, "bandwidth_limit_mib_s": 0, "max_requests_per_s": 0}, (5, None, None, True)),
        ({"bandwidth_limit_mib_s": 12.5, "max_requests_per_s": 800, "ramp_up": False}, (32, 12.5, 800, False)),
    ],
)
def test_what_the_form_gives_reaches_the_engine(dag, given: dict[str, object], expected: tuple[object, ...]) -> None:
    params = deepcopy(dag.params)
    params.update({"source_bucket": "from-here", "destination_bucket": "to-there"} | given)
    values, environment, fields = params.validate(), dag.get_template_env(), dag.get_task("transfer").partial_kwargs
    names = ("threads", "part_size_mib", "bandwidth_limit_mib_s", "max_requests_per_s", "ramp_up")
    assert set(names) <= set(CloudfrontToGcsWorker.template_fields)
    rendered = {name: environment.from_string(fields[name]).render(params=values, dag=dag) for name in names}

    is_ramped = as_bool(rendered.pop("ramp_up"))
    config = transfer_config(**rendered, is_ramped=is_ramped, workers=1)
    bandwidth = config.bandwidth_limit_bytes_per_s
    assert expected == (
        config.part_size_bytes / MIB,
        bandwidth and bandwidth / MIB,
        config.max_requests_per_s,
        config.is_ramped,
    )


@pytest.mark.parametrize("task", ["preflight", "list", "reconcile", "verify", "delete_extraneous"])
def test_the_selection_reaches_every_task_that_needs_it(dag, task: str) -> None:
    given = {"include": ["it's*", '"<a & b>"', "{{ x }}"], "exclude": None, "min_size": "1 KiB", "modified_since": None}
    params = deepcopy(dag.params)
    params.update({"source_bucket": "from-here", "destination_bucket": "to-there"} | given)
    operator = dag.get_task(task)
    assert "selection" in operator.template_fields
    values, environment = params.validate(), dag.get_template_env()
    rendered = {
        name: environment.from_string(template).render(params=values, dag=dag)
        for name, template in operator.selection.items()
    }
    assert json.loads(rendered["include"]) == given["include"]
    assert json.loads(rendered["exclude"]) == json.loads(rendered["storage_classes"]) == []
    found = selection_of(rendered, now_s=0)
    assert found and found.name_filter
    assert (found.min_bytes, found.since_s, found.classes) == (1024, None, None)
    assert found.name_filter("it's")
    assert not found.name_filter("other")


def test_the_attempts_of_each_task_outlast_the_failover_of_a_database(dag) -> None:
    for task in dag.tasks:
        first_s, longest_s = task.retry_delay.total_seconds(), task.max_retry_delay.total_seconds()
        # Airflow waits at least this long before each attempt (TaskInstance.next_retry_datetime).
        waits_s = [min(first_s * task.retry_exponential_backoff**n, longest_s) for n in range(task.retries)]
        assert sum(waits_s) >= 300, task.task_id
        assert waits_s[0] <= 5 and longest_s <= 300, task.task_id
