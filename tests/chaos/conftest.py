"""One real Airflow and one local cloud for all chaos tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos import Chaos
from demo.airflow_stack import AirflowStack
from frugal import SAME_DAGS
from localcloud.supervisor import LocalCloud
from pipeline import Pipeline

SETTINGS = {
    **SAME_DAGS,
    # A task whose supervisor died is declared dead sooner than after five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "200")  # S3 may return fewer keys in a page than were asked for
        yield from _pipeline(patch, tmp_path_factory)


def _pipeline(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with (
        LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud,
        AirflowStack(
            tmp_path_factory.mktemp("airflow"), environment=cloud.environment(), settings=SETTINGS, parallelism=12
        ) as airflow,
    ):
        patch.setenv("PUBSUB_EMULATOR_HOST", cloud.pubsub_host)
        yield Pipeline(cloud, airflow)


@pytest.fixture
def chaos(pipeline: Pipeline, request: pytest.FixtureRequest) -> Iterator[Chaos]:
    made = Chaos(pipeline, getattr(request, "param", 0))
    made.calm()
    yield made
    made.calm()
