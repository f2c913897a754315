"""The DAG file as Airflow's DAG processor sees it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.s3_list_to_pubsub import as_bool
from operators.worker_settings import MIB, transfer_config

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
        "open_run": ["close_run", "list"],
        "list": ["reconcile", "transfer"],
        "transfer": ["reconcile"],
        "reconcile": ["retry", "verify"],
        "retry": ["verify"],
        "verify": ["delete_extraneous"],
        "delete_extraneous": ["close_run"],
        "close_run": [],
    }
    assert dag.get_task("open_run").is_setup
    assert dag.get_task("close_run").is_teardown
    assert dag.get_task("transfer").is_mapped
    assert dag.get_task("retry").is_mapped


def test_it_has_no_schedule_and_survives_serialization(dag) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert again.timetable.can_be_scheduled is False
    assert {task.task_id for task in again.tasks} == {task.task_id for task in dag.tasks}
    assert set(again.params) == set(dag.params)


def test_the_form_has_every_parameter_in_a_section(dag) -> None:
    expected = {
        "source_bucket",
        "source_prefix",
        "destination_bucket",
        "destination_prefix",
        "workers",
        "threads",
        "part_size_mib",
        "bandwidth_limit_mib_s",
        "max_requests_per_s",
        "ramp_up",
        "overwrite",
        "aws_conn_id",
        "gcp_conn_id",
        "cloudfront_conn_id",
        "topic",
        "error_topic",
        "gcp_project",
        "state_bucket",
        "keep_runs",
        "only_failed",
        "mode",
        "plan_run",
        "delete_extraneous",
        "max_delete_percent",
    }
    assert expected <= set(dag.params)
    for name in dag.params:
        parameter = dag.params.get_param(name)
        assert parameter.schema.get("section"), name
        assert parameter.description, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source_bucket", "Not A Bucket"),
        ("destination_bucket", "-x"),
        ("workers", 0),
        ("workers", 65),
        ("threads", 0),
        ("part_size_mib", 4),
        ("part_size_mib", 1025),
        ("part_size_mib", None),
        ("bandwidth_limit_mib_s", -1),
        ("bandwidth_limit_mib_s", "fast"),
        ("max_requests_per_s", -0.5),
        ("ramp_up", "maybe"),
        ("overwrite", "sometimes"),
        ("mode", "guess"),
        ("delete_extraneous", "yes"),
        ("max_delete_percent", 101),
        ("max_delete_percent", -1),
        ("max_delete_percent", None),
        ("topic", "1"),
        ("aws_conn_id", ""),
        ("state_bucket", "Not A Bucket"),
        ("keep_runs", 0),
        ("only_failed", ""),
        ("plan_run", ""),
    ],
)
def test_bad_values_are_refused_by_the_form(dag, name: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    parameter = dag.params.get_param(name)
    with pytest.raises(ParamValidationError):
        parameter.resolve(value)
    parameter.resolve()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (32, None, None, True)),
        ({"part_size_mib": 5, "bandwidth_limit_mib_s": 0, "max_requests_per_s": 0}, (5, None, None, True)),
        ({"bandwidth_limit_mib_s": 12.5, "max_requests_per_s": 800, "ramp_up": False}, (32, 12.5, 800, False)),
    ],
)
def test_what_the_form_gives_reaches_the_engine(dag, given: dict[str, object], expected: tuple[object, ...]) -> None:
    params = deepcopy(dag.params)
    params.update(given)
    values, environment, fields = params.validate(), dag.get_template_env(), dag.get_task("transfer").partial_kwargs
    names = ("threads", "part_size_mib", "bandwidth_limit_mib_s", "max_requests_per_s", "ramp_up")
    assert set(names) <= set(CloudfrontToGcsWorker.template_fields)
    rendered = {name: environment.from_string(fields[name]).render(params=values) for name in names}

    is_ramped = as_bool(rendered.pop("ramp_up"))
    config = transfer_config(**rendered, is_ramped=is_ramped, workers=1)
    bandwidth = config.bandwidth_limit_bytes_per_s
    assert expected == (
        config.part_size_bytes / MIB,
        bandwidth and bandwidth / MIB,
        config.max_requests_per_s,
        config.is_ramped,
    )
