"""A real Airflow with parallel workers on the local cloud, started once for the tests that need no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demo.airflow_stack import REPOSITORY, AirflowStack
from frugal import SAME_DAGS
from localcloud.supervisor import LocalCloud
from own_dags import write_blocks
from pipeline import Pipeline, control


@pytest.fixture
def edge_faults(pipeline: Pipeline) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    yield lambda faults: control(pipeline.cloud.edge_url, faults)
    control(pipeline.cloud.edge_url, None)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="session")
def pipeline(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    wrong_key = cloud.connections()["cloudfront_default"] | {"login": "KNOTTHEONE"}
    environment = {
        **cloud.environment(),
        "AIRFLOW_CONN_CLOUDFRONT_WRONG": json.dumps(wrong_key),
        "AIRFLOW_CONN_AWS_WRONG": json.dumps(cloud.connections()["aws_default"] | {"password": "not-the-secret"}),
    }
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(REPOSITORY / "dags" / "s3_to_gcs.py", dags)
    buckets = {"my-source-bucket": cloud.source_bucket, "my-destination-bucket": cloud.destination_bucket}
    write_blocks(dags, "two_copies", buckets=buckets)
    with AirflowStack(
        tmp_path_factory.mktemp("airflow"),
        environment=environment,
        settings=SAME_DAGS,
        parallelism=16,
        dags_folder=dags,
    ) as airflow:
        yield Pipeline(cloud, airflow)
