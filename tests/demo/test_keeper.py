"""Who is running: a session counts only while its own process lives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from demo import keeper
from demo.keeper import DemoError, Session


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


@pytest.fixture
def hold(tmp_path: Path) -> Callable[[Session], Session]:
    def write(session: Session) -> Session:
        (tmp_path / "session.json").write_text(json.dumps(asdict(session)))
        return session

    return write


def session_of(pid: int) -> Session:
    return Session(
        pid=pid,
        created_at_s=psutil.Process(pid).create_time(),
        airflow_url="http://127.0.0.1:1",
        s3_url="http://127.0.0.1:2",
        access_key_id="id",
        secret_access_key="secret",
        region="us-east-1",
        gcs_url="http://127.0.0.1:3",
        project="p1",
        source_bucket="from",
        destination_bucket="to",
        cloud_urls={},
    )


HEALTH = {"scheduler": {"status": "unhealthy"}, "metadatabase": {"status": "healthy"}}


class AirflowAnswers(BaseHTTPRequestHandler):
    """An API server with a scheduler that has ended."""

    def do_GET(self) -> None:
        is_token = self.path == "/auth/token"
        body = json.dumps({"access_token": "any"} if is_token else HEALTH).encode()
        self.send_response(201 if is_token else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def airflow_answers() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), AirflowAnswers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_empty_folder_holds_no_session(tmp_path: Path) -> None:
    assert keeper.running(tmp_path) is None
    assert keeper.running(tmp_path / "missing") is None
    assert keeper.stop(tmp_path) is False


def test_a_living_keeper_is_running_until_it_is_stopped(tmp_path: Path, hold, sleeper) -> None:
    session = hold(session_of(sleeper.pid))
    assert keeper.running(tmp_path) == session
    assert keeper.stop(tmp_path) is True
    assert not psutil.pid_exists(sleeper.pid)
    assert keeper.running(tmp_path) is None
    assert keeper.stop(tmp_path) is False


def test_a_dead_keeper_is_not_running(tmp_path: Path, hold, sleeper) -> None:
    hold(session_of(sleeper.pid))
    sleeper.kill()
    psutil.wait_procs([psutil.Process(sleeper.pid)], timeout=0.5)
    assert keeper.running(tmp_path) is None, "dead, if perhaps not yet waited for"
    sleeper.wait()
    assert keeper.running(tmp_path) is None
    assert keeper.stop(tmp_path) is False


def test_what_does_not_work_in_a_running_stack_is_said(sleeper) -> None:
    """`make up` asks before it calls a stack up: a scheduler that has ended leaves the UI as it is."""
    with airflow_answers() as airflow, socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        session = replace(session_of(sleeper.pid), airflow_url=airflow, cloud_urls={"s3": f"http://127.0.0.1:{port}"})
        assert keeper.problems(session, timeout_s=0.1) == ["Airflow's scheduler is not healthy"]
    assert keeper.problems(session, timeout_s=0.1)[0] == "the local s3 has ended"


def test_another_process_under_the_same_id_is_not_the_keeper(tmp_path: Path, hold, sleeper) -> None:
    session = session_of(sleeper.pid)
    hold(replace(session, created_at_s=session.created_at_s - 3600))
    assert keeper.running(tmp_path) is None
    assert keeper.stop(tmp_path) is False
    assert sleeper.poll() is None, "a stranger is left alone"


def test_a_keeper_that_does_not_end_is_said(tmp_path: Path, hold, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        hold(session_of(process.pid))
        monkeypatch.setattr(keeper, "STOP_TIMEOUT_S", 0.2)
        with pytest.raises(DemoError, match=f"process {process.pid} did not stop"):
            keeper.stop(tmp_path)
        process.kill()


def test_the_session_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    session = session_of(psutil.Process().pid)
    keeper._write(path, session)
    assert path.stat().st_mode & 0o777 == 0o600, "it holds the local cloud's keys"
    assert keeper.running(tmp_path) == session


def test_a_keeper_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "REPOSITORY", tmp_path)  # where there is no demo.keeper to run
    with pytest.raises(DemoError, match=r"did not start:(.|\n)*demo"):
        keeper.start(tmp_path / "held", source_bucket="from", destination_bucket="to", outlive=False)
