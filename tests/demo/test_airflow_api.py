"""Requests that write are repeated while Airflow's server fails: on SQLite, concurrent writes may."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.airflow_api import AirflowApi, AirflowError


class Airflow(ThreadingHTTPServer):
    """Gives these statuses, one after the other, to everything but the question for a token."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.statuses = list(statuses)
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Airflow

    def do_GET(self) -> None:
        self._send(201, {"access_token": "any"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(f"{self.command} {self.path}")
        self._send(self.server.statuses.pop(0), {})

    do_PATCH = do_POST

    def _send(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def airflow(request: pytest.FixtureRequest) -> Iterator[Airflow]:
    with Airflow(*request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("airflow", [(500, 201), (409, 503, 200)], indirect=True)
def test_a_connection_is_added_or_replaced_although_the_server_fails_once(airflow: Airflow) -> None:
    AirflowApi(f"http://127.0.0.1:{airflow.server_port}").add_connection("aws", {"conn_type": "aws"})
    assert airflow.statuses == []


@pytest.mark.parametrize("airflow", [(400,)], indirect=True)
def test_a_refusal_is_not_repeated(airflow: Airflow) -> None:
    with pytest.raises(AirflowError, match="Airflow refused POST connections: 400"):
        AirflowApi(f"http://127.0.0.1:{airflow.server_port}").add_connection("aws", {"conn_type": "aws"})
    assert airflow.asked == ["POST /api/v2/connections"]
