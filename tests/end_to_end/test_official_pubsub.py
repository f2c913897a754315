"""The main job under a real scheduler, on Google's emulator of Pub/Sub."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.airflow_stack import AirflowStack
from frugal import SAME_DAGS
from needs import missing
from official_pubsub import official_pubsub, why_unavailable
from pipeline import Pipeline, fill


@pytest.mark.slow
def test_the_main_job_on_the_official_pubsub_emulator(cloud, tmp_path: Path) -> None:
    """The same DAG runs on a server that is not ours, and that ignores filters: the product knows no stand-in."""
    if reason := why_unavailable():
        missing(reason, is_optional=True)
    with official_pubsub() as host:
        environment = cloud.environment() | {"PUBSUB_EMULATOR_HOST": host}
        with AirflowStack(tmp_path / "airflow", environment=environment, settings=SAME_DAGS) as airflow:
            pipeline = Pipeline(cloud, airflow)
            bodies = fill(pipeline, "official/", 40)
            first, second = pipeline.trigger("official/"), pipeline.trigger("official/", destination_prefix="beside/")
            assert [pipeline.wait(first), pipeline.wait(second)] == ["success", "success"]
            assert pipeline.stored("official/") == bodies
            assert len(pipeline.stored("beside/")) == len(bodies)
            assert airflow.xcom(first, "verify")["copied"] == len(bodies)
