"""The DAGs of docs/your-own-dag.md, built as they stand there, and looked at; tests/end_to_end runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from own_dags import BLOCKS, DAG_IDS, write_blocks

COPY = ("open_run", "list", "transfer", "reconcile", "verify", "close_run")


def chain_of(dag: Any) -> Mapping[str, list[str]]:
    return {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Each block a DAG file, read as Airflow reads it."""
    from airflow.dag_processing.dagbag import DagBag

    folder = tmp_path_factory.mktemp("page")
    write_blocks(folder, buckets={})
    bag = DagBag(str(folder))
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_every_block_is_a_dag(dags: Mapping[str, Any]) -> None:
    assert set(dags) == set(DAG_IDS)
    assert len(BLOCKS) == len(DAG_IDS)


def test_the_whole_copy_has_the_chain_of_s3_to_gcs(dags: Mapping[str, Any]) -> None:
    from airflow.sdk import AssetAlias

    from routes.form import PARAMS
    from routes.pipeline import pipeline

    ours = pipeline("ours", params=PARAMS, arrived=AssetAlias("edgehaul"), schedule=None)
    assert chain_of(dags["nightly_photos"]) == chain_of(ours)


def test_what_follows_a_group_waits_for_its_verdict(dags: Mapping[str, Any]) -> None:
    dag = dags["export_and_copy"]
    assert set(dag.task_dict) == {"export", "use", *(f"copy.{name}" for name in COPY)}
    assert dag.task_dict["export"].downstream_task_ids == {"copy.open_run"}
    assert dag.task_dict["use"].upstream_task_ids == {"copy.verify"}
    assert dag.task_dict["copy.close_run"].is_teardown


def test_two_copies_have_the_same_chain_and_nothing_in_common(dags: Mapping[str, Any]) -> None:
    chain = chain_of(dags["two_copies"])
    assert set(chain) == {f"{group}.{name}" for group in ("photos", "documents") for name in (*COPY, "retry")}
    for task_id, downstream in chain.items():
        group, _, name = task_id.partition(".")
        assert downstream == [f"{group}.{each.partition('.')[2]}" for each in chain[f"photos.{name}"]]
