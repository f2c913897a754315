"""A real Airflow on loopback: API server, scheduler and DAG processor as processes; LocalExecutor; SQLite or PostgreSQL.

with AirflowStack(home, environment=cloud.environment()) as stack:
    run = stack.trigger("s3_to_gcs", {"source_bucket": "photos"})
    assert stack.wait(run, timeout_s=120) == "success"
    print(stack.xcom(run, "verify"))
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.fernet import Fernet

from demo import leash
from demo.airflow_api import AirflowApi, AirflowError
from demo.ports import free_port
from demo.restarts import Restarts

REPOSITORY = Path(__file__).resolve().parent.parent
GRACE_S = 10.0
"""How long a component may take to stop before it is killed."""

START_TIMEOUT_S = 180.0
"""How long Airflow may take to start, on a machine that has other work; 10 s are usual."""
API_START_S = 6.0
"""About how long the API server takes to answer after its start."""
COMPONENTS: Mapping[str, Sequence[str]] = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
"""Airflow's processes, with their options: logs are on one disk, and servers for them would listen on every address."""

# Settings of another Airflow and real cloud credentials must not leak into a local run.
FOREIGN_PREFIXES = ("AIRFLOW", "AWS_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "PUBSUB_", "STORAGE_EMULATOR")
FOREIGN_NAMES = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")

STAYS_ON_THIS_MACHINE = {
    # Send no usage data.
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "SCARF_ANALYTICS": "false",
    "DO_NOT_TRACK": "1",
    # Look for no credentials.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


SAFE_SQLITE = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "demo.sqlite_database.CONNECT_ARGS"}


class AirflowStack(AirflowApi):
    """Starts Airflow under `home` and stops it again; in between, the methods of AirflowApi drive it.

    `home` may be used again: its metadata database, logs and secrets stay. `environment` goes to every process, and
    so to the tasks; `settings` are further Airflow settings as AIRFLOW__SECTION__KEY. DAGs start unpaused. The metadata
    database is that of `database_url`, or else a file of SQLite under `home`.
    """

    def __init__(
        self,
        home: Path,
        *,
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        parallelism: int = 8,
        dags_folder: Path = REPOSITORY / "dags",
        plugins_folder: Path = REPOSITORY / "plugins",
        config_folder: Path = REPOSITORY / "config",
        database_url: str = "",
        port: int | None = None,
        cache: Path = REPOSITORY / ".local" / "cache",
    ) -> None:
        self.home = home.resolve()
        self._cache = cache
        self._database_url = database_url
        self._port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self._port}")
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(FOREIGN_PREFIXES) and name not in FOREIGN_NAMES
            },
            **self._settings(parallelism, dags_folder, plugins_folder),
            "PYTHONPATH": os.pathsep.join(map(str, (config_folder, plugins_folder, REPOSITORY))),
            **(environment or {}),
            **(settings or {}),
        }
        self._is_warm = False
        self._restarts = Restarts()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def _settings(self, parallelism: int, dags_folder: Path, plugins_folder: Path) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder.resolve()),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins_folder.resolve()),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks DNS
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database_url or f"sqlite:///{self.home}/airflow.db",
            **({} if self._database_url else SAFE_SQLITE),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            # With the default of 5 s a finished task often keeps its slot for that long.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # With the default of 1 s each of a run's seven steps begins half a second later (docs/set-up-airflow.md).
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "PYTHONWARNINGS": "ignore:GitWildMatchPattern",  # from Airflow's own code, into every task's log
            **STAYS_ON_THIS_MACHINE,
        }

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Migrate the metadata database, start the processes and wait until all are healthy.

        Raises AirflowError, with the end of the log concerned, when one of them ends or `timeout_s` passes.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.environment.update(_secrets(self.home / "secrets.json"))
        try:
            self._migrate()
            for name in ("api-server", "scheduler", "dag-processor"):
                self._launch(name)
            self._wait_until_healthy(time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every process: the scheduler first, so that its tasks can still report. Safe to call twice."""
        self._end("scheduler", "triggerer")
        self._end("dag-processor", "api-server")
        self._session.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def command(self, *arguments: str) -> str:
        """Run `airflow …` beside the running stack and return its output. Raises AirflowError when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AirflowError(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    @contextlib.contextmanager
    def with_triggerer(self, *, timeout_s: float = START_TIMEOUT_S) -> Iterator[None]:
        """Run a triggerer for the block: only routes that are started by a queue need one."""
        self._launch("triggerer")
        try:
            self._wait_until_healthy(time.monotonic() + timeout_s)
            yield
        finally:
            self._end("triggerer")

    def restart_ended(self) -> list[str]:
        """Start each component again that has ended, and return a sentence for each; call it every second or so.

        One that keeps ending is started again after waits that double (`demo.restarts`).
        """
        sentences = []
        for name, process in list(self._processes.items()):
            if process.poll() is not None and self._restarts.is_due(name):
                self._end(name)
                self._launch(name)
                sentences.append(
                    f"airflow {name} ended with status {process.returncode} and was started again, for the"
                    f" {self._restarts.count(name)}. time; its output is in {self.component_log(name)}"
                )
        return sentences

    def take_api_server_away(self, away_s: float, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Restart the API server so that it does not answer for about `away_s` seconds."""
        started_s = time.monotonic()
        self._end("api-server")
        time.sleep(max(0.0, started_s + away_s - API_START_S - time.monotonic()))
        self._is_warm = False
        self._launch("api-server")
        self._wait_until_healthy(time.monotonic() + timeout_s)

    def component_log(self, name: str) -> Path:
        """The output of `api-server`, `scheduler`, `dag-processor`, `triggerer` or `db-migrate`."""
        return self.home / f"{name}.log"

    def _migrate(self) -> None:
        """Bring the metadata database up to date; a new one is copied from a cached empty database, which saves seconds."""
        database, fresh = self.home / "airflow.db", self._cache / f"airflow-{version('apache-airflow')}.db"
        is_new = not self._database_url and not database.exists()
        if is_new and fresh.exists():
            shutil.copyfile(fresh, database)
            return
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        with self.component_log("db-migrate").open("wb") as log:
            status = subprocess.call(
                command, env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if status:
            raise AirflowError(f"airflow db migrate failed:\n{self._log_tail('db-migrate')}")
        if is_new:
            self._cache.mkdir(parents=True, exist_ok=True)
            copy = fresh.with_suffix(f".{os.getpid()}")
            shutil.copyfile(database, copy)
            copy.replace(fresh)  # atomically: another stack may be reading it

    def _launch(self, name: str) -> None:
        self._restarts.started(name)
        self._processes[name] = leash.launch(
            [sys.executable, "-m", "airflow", name, *COMPONENTS[name]],
            grace_s=GRACE_S,
            environment=self.environment,
            folder=self.home,
            log=self.component_log(name),
        )

    def _end(self, *names: str) -> None:
        leash.let_go(*(self._processes.pop(name) for name in names if name in self._processes))

    def _wait_until_healthy(self, deadline: float) -> None:
        wanted = ["metadatabase", "scheduler", "dag_processor"] + ["triggerer"] * ("triggerer" in self._processes)
        health: dict[str, str | None] = {}
        while not all(health.get(part) == "healthy" for part in wanted):
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AirflowError(
                        f"airflow {name} ended with status {process.returncode}:\n{self._log_tail(name)}"
                    )
            if time.monotonic() > deadline:
                late = [part for part in wanted if health.get(part) != "healthy"]
                raise AirflowError(f"Airflow is not healthy in time ({', '.join(late)}); logs are in {self.home}")
            time.sleep(0.2)
            with contextlib.suppress(AirflowError):  # not up yet
                health = self.health()
                self._warm_up(deadline)

    def _warm_up(self, deadline: float) -> None:
        """Make the API server load its execution API now: loading takes longer than a task's first request may wait."""
        if not self._is_warm:
            left_s = max(1.0, deadline - time.monotonic())
            self._is_warm = self._request("GET", f"{self.url}/execution/health", timeout_s=left_s).ok

    def _log_tail(self, name: str) -> str:
        return "\n".join(self.component_log(name).read_text(errors="replace").splitlines()[-15:])


def _secrets(path: Path) -> dict[str, str]:
    """The secrets of this AIRFLOW_HOME, generated at its first use: stored connections must stay readable after a restart."""
    if not path.exists():
        made = {
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
    return dict(json.loads(path.read_text()))
