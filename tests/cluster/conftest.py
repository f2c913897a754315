"""docker-compose.yaml as processes on loopback, with two workers, and the local cloud as both clouds: one for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster import Cluster
from compose_stack import ComposeStack
from localcloud.supervisor import LocalCloud
from needs import program

PROGRAMS = ("postgres", "initdb", "pg_isready", "redis-server", "redis-cli", "curl", "openssl", "setpriv")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    for name in PROGRAMS:
        program(name, hint="`make tools` installs it")
    with (
        LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud,
        # As in a real deployment, the connections are stored in Airflow's database, not in the environment.
        ComposeStack(
            tmp_path_factory.mktemp("compose"),
            environment=cloud.environment(connections=False),
            scale={"transfer": 2},
            variables={"SCHEDULER_IDLE_SLEEP_S": "1"},  # beside other tests, on two cores
        ) as airflow,
    ):
        for conn_id, connection in cloud.connections().items():
            airflow.add_connection(conn_id, connection)
        airflow.wait_for_dag("s3_to_gcs")
        airflow.unpause("s3_to_gcs")
        made = Cluster(cloud, airflow)
        made.fill()
        yield made
