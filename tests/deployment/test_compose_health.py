"""Health checks and heartbeats in docker-compose.yaml: what they cost, and that they tell the truth."""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from airflow.api_fastapi.core_api.datamodels.monitor import (
    BaseInfoResponse,
    DagProcessorInfoResponse,
    HealthInfoResponse,
    SchedulerInfoResponse,
    TriggererInfoResponse,
)
from airflow.configuration import conf
from airflow.sdk.api.client import API_RETRIES, API_RETRY_WAIT_MIN

from compose_file import LONG_RUNNING, SERVICES, WORKERS
from needs import program


def test_a_lost_worker_costs_less_than_two_minutes_and_supervisors_give_up_after_the_scheduler() -> None:
    environment = SERVICES["scheduler"]["environment"]
    timeout_s = int(environment["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"])
    assert timeout_s + conf.getfloat("scheduler", "task_instance_heartbeat_timeout_detection_interval") < 110
    # The pauses of a request that is refused at once: each is between the least and a limit that doubles, the mean is here.
    pauses_s = sum((API_RETRY_WAIT_MIN + 2**attempt) / 2 for attempt in range(API_RETRIES - 1))
    assert int(environment["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"]) * pauses_s > 1.2 * timeout_s


@pytest.mark.parametrize("status", ["healthy", "unhealthy"])
def test_a_server_without_its_database_is_not_healthy(status: str) -> None:
    """Airflow answers 200 in either case, so the check of the API server reads the body."""
    body = HealthInfoResponse(
        metadatabase=BaseInfoResponse(status=status),
        scheduler=SchedulerInfoResponse(status="healthy", latest_scheduler_heartbeat=None),
        triggerer=TriggererInfoResponse(status="healthy", latest_triggerer_heartbeat=None),
        dag_processor=DagProcessorInfoResponse(status="healthy", latest_dag_processor_heartbeat=None),
    ).model_dump_json()

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in ("/api/v2/monitor/health", "/execution/health") else 404)
            self.end_headers()
            self.wfile.write(body.encode())

    program("curl")
    kind, check = SERVICES["api-server"]["healthcheck"]["test"]
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = check.replace("localhost:8080", f"127.0.0.1:{server.server_port}")
        ended = subprocess.run(command, shell=True, check=False, timeout=30)
        server.shutdown()
    assert kind == "CMD-SHELL"
    assert (ended.returncode == 0) is (status == "healthy")


def test_checks_are_cheap() -> None:
    """Those that import Airflow cost 3 s of CPU each."""
    for name in LONG_RUNNING:
        check = SERVICES[name]["healthcheck"]
        is_cheap = "curl" in " ".join(check["test"])
        assert int(check["interval"].removesuffix("s")) >= (30 if is_cheap else 120), name
        assert int(check["start_interval"].removesuffix("s")) <= 15, name
    assert all("celery@$$(hostname)" in SERVICES[name]["healthcheck"]["test"][1] for name in WORKERS)
