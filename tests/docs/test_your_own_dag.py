"""The DAGs of docs/your-own-dag.md, as they stand there: built, looked at, and run under a real Airflow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_stack import AirflowStack
from frugal import SAME_DAGS
from localcloud.supervisor import LocalCloud
from pipeline import Pipeline

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-own-dag.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
DAG_IDS = ("nightly_photos", "export_and_copy", "two_copies")
COPY = ("open_run", "list", "transfer", "reconcile", "verify", "close_run")


def chain_of(dag: Any) -> Mapping[str, list[str]]:
    return {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Each block a DAG file, read as Airflow reads it."""
    from airflow.dag_processing.dagbag import DagBag

    folder = tmp_path_factory.mktemp("page")
    for index, block in enumerate(BLOCKS):
        (folder / f"block_{index}.py").write_text(block)
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


FOLDERS = {"nightly_photos": ("photos",), "export_and_copy": ("exports",), "two_copies": ("photos", "documents")}
"""What each block copies."""


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    """What is in the source, by key."""
    folders = {folder for each in FOLDERS.values() for folder in each}
    return {f"{folder}/{index:02d}": os.urandom(300 + index) for folder in folders for index in range(20)}


@pytest.fixture(scope="module")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, bodies: Mapping[str, bytes], pytestconfig: pytest.Config
) -> Iterator[Pipeline]:
    """The page's own code as DAG files; only the names of the buckets are others."""
    folder = tmp_path_factory.mktemp("dags")
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        buckets = {"my-source-bucket": cloud.source_bucket, "my-destination-bucket": cloud.destination_bucket}
        for index, block in enumerate(BLOCKS):
            if '"two_copies"' not in block and not pytestconfig.getoption("--slow"):
                continue  # one of them has a schedule, and may begin by itself
            for written, meant in buckets.items():
                block = block.replace(written, meant)
            (folder / f"block_{index}.py").write_text(block)
        stack = AirflowStack(
            tmp_path_factory.mktemp("airflow"), environment=cloud.environment(), settings=SAME_DAGS, dags_folder=folder
        )
        pipeline = Pipeline(cloud, stack)
        for key, body in bodies.items():
            pipeline.put(key, body)
        with stack:
            yield pipeline


@pytest.mark.parametrize(
    "dag_id",
    ["two_copies", *(pytest.param(name, marks=pytest.mark.slow) for name in ("export_and_copy", "nightly_photos"))],
)
def test_a_block_copies(pipeline: Pipeline, bodies: Mapping[str, bytes], dag_id: str) -> None:
    run = pipeline.airflow.trigger(dag_id, {})
    assert pipeline.wait(run) == "success", pipeline.logs(run)[-6000:]

    prefix = "archive/" if dag_id == "nightly_photos" else ""
    for folder in FOLDERS[dag_id]:
        expected = {f"{prefix}{key}": body for key, body in bodies.items() if key.startswith(f"{folder}/")}
        assert pipeline.stored(f"{prefix}{folder}/") == expected
    if dag_id == "two_copies":
        for group in FOLDERS[dag_id]:
            assert pipeline.airflow.xcom(run, f"{group}.verify")["matched"] == 20
    if dag_id == "export_and_copy":
        assert pipeline.airflow.xcom(run, "use").startswith("20 objects arrived: gs://")
