"""The DAG file as Airflow's DAG processor sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        "verify": ["close_run"],
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
        ("overwrite", "sometimes"),
        ("topic", "1"),
        ("aws_conn_id", ""),
        ("state_bucket", "Not A Bucket"),
        ("keep_runs", 0),
        ("only_failed", ""),
    ],
)
def test_bad_values_are_refused_by_the_form(dag, name: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    parameter = dag.params.get_param(name)
    with pytest.raises(ParamValidationError):
        parameter.resolve(value)
    parameter.resolve()
