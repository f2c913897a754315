"""The DAGs of docs/your-own-dag.md, run as they stand there; the one that holds two copies is in test_verdict.py."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from demo.airflow_stack import AirflowStack
from frugal import SAME_DAGS
from localcloud.supervisor import LocalCloud
from own_dags import write_blocks
from pipeline import Pipeline

FOLDERS = {"nightly_photos": "photos/", "export_and_copy": "exports/"}
"""What each block copies."""

pytestmark = pytest.mark.slow  # one of them has a schedule, and may begin by itself: they have an Airflow of their own


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    """What is in the source, by key."""
    return {f"{folder}{index:02d}": os.urandom(300 + index) for folder in FOLDERS.values() for index in range(20)}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, bodies: Mapping[str, bytes]) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("dags")
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud:
        buckets = {"my-source-bucket": cloud.source_bucket, "my-destination-bucket": cloud.destination_bucket}
        write_blocks(folder, *FOLDERS, buckets=buckets)
        home = tmp_path_factory.mktemp("airflow")
        stack = AirflowStack(home, environment=cloud.environment(), settings=SAME_DAGS, dags_folder=folder)
        pipeline = Pipeline(cloud, stack)
        for key, body in bodies.items():
            pipeline.put(key, body)
        with stack:
            yield pipeline


@pytest.mark.parametrize("dag_id", FOLDERS)
def test_a_block_copies(own: Pipeline, bodies: Mapping[str, bytes], dag_id: str) -> None:
    run = own.airflow.trigger(dag_id, {})
    assert own.wait(run) == "success", own.logs(run)[-6000:]

    prefix, folder = "archive/" if dag_id == "nightly_photos" else "", FOLDERS[dag_id]
    expected = {f"{prefix}{key}": body for key, body in bodies.items() if key.startswith(folder)}
    assert own.stored(f"{prefix}{folder}") == expected
    if dag_id == "export_and_copy":
        assert own.airflow.xcom(run, "use").startswith("20 objects arrived: gs://")
