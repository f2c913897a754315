"""Runs the local cloud and Airflow in one process, so that they can outlive the command that started them.

    python -m demo.keeper FOLDER SOURCE_BUCKET DESTINATION_BUCKET

Writes FOLDER/session.json once all is up, starts components of Airflow again that end, and ends everything on SIGTERM, or, with
LOCALCLOUD_PARENT_PIPE=1, when its stdin closes.

A stack that outlives its command is for a person, who may start a backfill and look at the UI: it has a triggerer, and its
metadata database is PostgreSQL where that is installed (`demo.sqlite_database` says why). The others start faster without.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from demo import postgres
from demo.airflow_api import AirflowApi, AirflowError
from demo.airflow_stack import REPOSITORY, AirflowStack
from demo.postgres import Postgres, PostgresError
from localcloud.supervisor import LocalCloud, ServiceFailed

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
HEALTHY_TIMEOUT_S = 60.0
"""How long a running stack may take to be healthy: a scheduler that has just been started again takes some 10 s."""
SUPERVISION_INTERVAL_S = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class DemoError(RuntimeError):
    """The demo cannot continue. The message is for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A running local cloud and Airflow: their addresses, and the keeper process that runs them."""

    pid: int
    created_at_s: float
    """When the keeper was started, as Unix time: a process id alone may be reused for another process."""
    airflow_url: str
    s3_url: str
    access_key_id: str
    secret_access_key: str
    region: str
    gcs_url: str
    project: str
    source_bucket: str
    destination_bucket: str
    cloud_urls: Mapping[str, str] = field(default_factory=dict)
    """The services of the local cloud, by name."""


def start(
    folder: Path, *, source_bucket: str, destination_bucket: str, outlive: bool, routes: Path | None = None
) -> Session:
    """Start a keeper on a fresh folder and wait until all is up. With `outlive` it keeps running after this process has ended.

    `routes` is a routes file, whose routes start at once; without one there are none, whatever the user's own Airflow has.
    Raises DemoError, with the keeper's output, when it does not start.
    """
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "keeper.log"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(REPOSITORY)
    environment["EDGEHAUL_ROUTES"] = str(routes or _no_routes(folder))
    if not outlive:
        environment["LOCALCLOUD_PARENT_PIPE"] = "1"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo.keeper", str(folder), source_bucket, destination_bucket],
            stdin=subprocess.DEVNULL if outlive else subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=REPOSITORY,
            start_new_session=True,  # a Ctrl-C in the terminal is for the command, which then ends the keeper in order
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while (session := running(folder)) is None:
            if process.poll() is not None:
                raise DemoError(f"the local services did not start:\n{log.read_text(errors='replace')[-2000:]}")
            if time.monotonic() > deadline:
                raise DemoError(f"the local services were not up within {START_TIMEOUT_S:.0f} s; see {log}")
            time.sleep(0.1)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return session


def running(folder: Path) -> Session | None:
    """The session of the keeper that runs in this folder; None when there is none."""
    try:
        session = Session(**json.loads((folder / "session.json").read_text()))
    except FileNotFoundError:
        return None
    return session if _process(session) is not None else None


def problems(session: Session, *, timeout_s: float = HEALTHY_TIMEOUT_S) -> list[str]:
    """What is wrong with a running stack, a phrase each; empty when all of it works. A part of Airflow that is not healthy gets
    `timeout_s` to be started again. A service of the local cloud cannot be: the local S3 would have lost its objects.
    """
    ended = []
    for name, url in session.cloud_urls.items():
        place = urlsplit(url)
        try:
            socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=timeout_s).close()
        except OSError:
            ended.append(f"the local {name} has ended")
    deadline = time.monotonic() + timeout_s
    while unhealthy := _unhealthy(session):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return ended + unhealthy


def _unhealthy(session: Session) -> list[str]:
    try:
        health = AirflowApi(session.airflow_url).health()
    except AirflowError as error:
        return [str(error)]
    return [f"Airflow's {part} is not healthy" for part, status in health.items() if status != "healthy"]


def stop(folder: Path) -> bool:
    """End this folder's keeper and its services; returns whether there was one. Raises DemoError if it does not end."""
    session = running(folder)
    process = _process(session) if session is not None else None
    if process is None:
        return False
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except psutil.TimeoutExpired as error:
        raise DemoError(f"process {process.pid} did not stop within {STOP_TIMEOUT_S:.0f} s") from error
    return True


def _no_routes(folder: Path) -> Path:
    path = folder / "routes.yaml"
    path.write_text("routes: []\n")
    return path


def _process(session: Session) -> psutil.Process | None:
    try:
        process = psutil.Process(session.pid)
        alive = process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - session.created_at_s) < 1
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def main() -> int:
    """Run the services until a signal, or the end of the parent, stops them; returns the exit status."""
    folder, source_bucket, destination_bucket = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    for number in STOP_SIGNALS:
        signal.signal(number, _end)
    if os.environ.get("LOCALCLOUD_PARENT_PIPE") == "1":
        threading.Thread(target=_watch_parent, daemon=True).start()
    try:
        _run(folder, source_bucket, destination_bucket)
    except (ServiceFailed, AirflowError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(folder: Path, source_bucket: str, destination_bucket: str) -> None:
    """Run the services until the process is asked to end, which is an exception here."""
    is_for_a_person = os.environ.get("LOCALCLOUD_PARENT_PIPE") != "1"
    with contextlib.ExitStack() as exits:
        cloud = exits.enter_context(
            LocalCloud(folder / "cloud", source_bucket=source_bucket, destination_bucket=destination_bucket)
        )
        database_url = ""
        if is_for_a_person and postgres.is_installed():
            try:
                database_url = exits.enter_context(Postgres(folder / "postgres.log")).url
            except PostgresError as error:
                print(f"Airflow's database is SQLite, because {error}", flush=True)
        # As in a real deployment, the connections are stored in Airflow's database, not in the environment.
        airflow = AirflowStack(
            folder / "airflow", environment=cloud.environment(connections=False), database_url=database_url
        )
        exits.enter_context(airflow)
        if is_for_a_person:
            exits.enter_context(airflow.with_triggerer())
        for conn_id, connection in cloud.connections().items():
            airflow.add_connection(conn_id, connection)
        _write(folder / "session.json", _session(cloud, airflow))
        while True:
            time.sleep(SUPERVISION_INTERVAL_S)
            for sentence in airflow.restart_ended():
                print(sentence, flush=True)


def _end(*_: object) -> None:
    """Exit at once, even while starting; a second signal must not interrupt the clean-up."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def _watch_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _session(cloud: LocalCloud, airflow: AirflowStack) -> Session:
    return Session(
        pid=os.getpid(),
        created_at_s=psutil.Process().create_time(),
        airflow_url=airflow.url,
        s3_url=cloud.s3_url,
        access_key_id=cloud.access_key_id,
        secret_access_key=cloud.secret_access_key,
        region=cloud.region,
        gcs_url=cloud.gcs_url,
        project=cloud.project,
        source_bucket=cloud.source_bucket,
        destination_bucket=cloud.destination_bucket,
        cloud_urls=cloud.urls,
    )


def _write(path: Path, session: Session) -> None:
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(session), file)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
