"""docker-compose.yaml as processes on loopback: each with the command and the environment that the file gives its service.

    with ComposeStack(home, environment=cloud.environment(connections=False), scale={"worker": 2}) as stack:
        run = stack.trigger("s3_to_gcs", {"source_bucket": "photos"})
        stack.stop("redis-1")

What containers have of their own and processes share is replaced: names of hosts by ports of loopback, and paths in the
container by a folder for each process. Nothing else is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import compose_images
import compose_services
from compose_services import Service
from demo import leash
from demo.airflow_api import AirflowApi, AirflowError
from demo.airflow_stack import GRACE_S, REPOSITORY, STAYS_ON_THIS_MACHINE
from demo.ports import free_port
from kept_processes import KeptProcesses

START_TIMEOUT_S = 180.0
CHECK_S = 0.5
"""How often a service that others wait for is asked whether it is healthy, while the stack starts."""
AIRFLOW_HOME = "/opt/airflow"
PASSWORDS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
ADDRESS = re.compile(r"\b([a-z][\w.-]*):(\d{4,5})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What stands for a container: the processes of one replica of a service, and their files."""

    name: str
    service: Service
    folder: Path
    """Stands for AIRFLOW_HOME, or for the working directory of another image."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    healthcheck: tuple[str, ...]

    @property
    def log(self) -> Path:
        """The output of its processes."""
        return self.folder.with_suffix(".log")


class ComposeStack(AirflowApi):
    """Starts the services of the file in its order; in between, the methods of AirflowApi drive Airflow as its admin.

    Replicas are named as Compose does: `worker-1`, `worker-2`. `environment` goes to every process of Airflow besides what
    the file gives it: how to find the stand-ins of the clouds. `variables` are what `.env` would have.
    """

    def __init__(
        self,
        home: Path,
        *,
        environment: Mapping[str, str],
        scale: Mapping[str, int],
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.home = home.resolve()
        self._environment = dict(environment)
        self._scale = scale
        self._ports: dict[tuple[str, int], int] = {}
        self._services = compose_services.load(REPOSITORY / "docker-compose.yaml", variables)
        self._processes = KeptProcesses()
        self._exits = contextlib.ExitStack()
        self._containers: dict[str, Container] = {}
        super().__init__(f"http://127.0.0.1:{self._port('api-server', 8080)}")

    @property
    def restarts(self) -> list[tuple[str, int]]:
        """Each process that ended without being stopped, and was started again: its name and exit status."""
        return self._processes.restarts

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            # PostgreSQL has a user of its own, who may not enter a folder of pytest's.
            data = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="edgehaul-postgres-")))
            data.chmod(0o755)
            self._make_secrets()
            exits.enter_context(self._processes)
            for service in self._services.values():
                for number in range(1, self._scale.get(service.name, 1) + 1):
                    container = self._container(service, f"{service.name}-{number}", data / "data")
                    self._containers[container.name] = container
                self._start(service)
            self._wait_for("api-server", "service_healthy")
            # Loading the execution API takes longer than the first task's first request may wait on a busy machine.
            self._request("GET", f"{self.url}/execution/health", timeout_s=START_TIMEOUT_S)
            passwords = self._containers["api-server-1"].environment[PASSWORDS]
            self.credentials = ("admin", json.loads(Path(passwords).read_text())["admin"])
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.close()
        self._exits.close()

    def stop(self, name: str) -> None:
        """Stop a container: it stays down until it is started."""
        self._processes.stop(name)

    def start(self, name: str) -> None:
        """Start a container, and from now on again whenever it ends."""
        self._processes.start(name, partial(_launch, self._containers[name]))

    def kill(self, name: str) -> None:
        """SIGKILL all processes of a container, which is then started again."""
        self._processes.kill(name)

    def container_of(self, pid: int) -> str | None:
        """The container that a process belongs to."""
        for name, container in self._containers.items():
            with contextlib.suppress(KeyError, ProcessLookupError):
                if container.service.is_kept_up and self._processes.session(name) == os.getsid(pid):
                    return name
        return None

    def is_healthy(self, name: str) -> bool:
        """What the file's own health check says of a container."""
        container = self._containers[name]
        done = subprocess.run(
            container.healthcheck,
            env=container.environment,
            cwd=container.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def log(self, name: str) -> str:
        """The output of a container's processes."""
        return self._containers[name].log.read_text(errors="replace")

    def _start(self, service: Service) -> None:
        for other, condition in service.depends_on.items():
            self._wait_for(other, condition)
        for container in self._containers.values():
            if container.service is service and service.is_kept_up:
                self.start(container.name)
            elif container.service is service:
                process = _launch(container)
                try:
                    status = process.wait(START_TIMEOUT_S)
                finally:
                    leash.let_go(process)
                if status:
                    raise AirflowError(f"{service.name} ended with {status}:\n{self.log(container.name)[-3000:]}")

    def _wait_for(self, name: str, condition: str) -> None:
        if condition != "service_healthy":
            return  # a service that ends has been waited for when it was started
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_healthy(f"{name}-1"):
            if time.monotonic() > deadline:
                raise AirflowError(f"{name} is not healthy in time:\n{self.log(f'{name}-1')[-3000:]}")
            time.sleep(CHECK_S)

    def _container(self, service: Service, name: str, postgres_data: Path) -> Container:
        folder = self.home / name
        folder.mkdir(parents=True)
        paths = self._mounted(service, folder, postgres_data)
        programs = {"hostname": f"echo {name}"}
        environment = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **{key: self._localized(value, service, paths) for key, value in service.environment.items()},
        }
        words = [self._localized(word, service, paths) for word in service.command]
        if service.is_built:
            command = compose_images.airflow(service.entrypoint, words, name)
            environment |= self._environment | STAYS_ON_THIS_MACHINE | self._own_ports()
            environment["AIRFLOW_HOME"] = str(folder)
        elif service.image.startswith("postgres:"):
            port = self._port("postgres", 5432)
            command = compose_images.postgres(words, port, postgres_data, environment)
            environment |= {"PGPORT": str(port)}  # for the health check
        else:
            command = words
            programs |= compose_images.redis(self._port("redis", 6379))
        own = compose_images.programs(folder / "bin", programs)
        environment["PATH"] = os.pathsep.join((own, str(Path(sys.executable).parent), os.environ["PATH"]))
        return Container(
            name=name,
            service=service,
            folder=folder,
            command=tuple(command),
            environment=environment,
            healthcheck=tuple(self._localized(word, service, paths) for word in service.healthcheck),
        )

    def _mounted(self, service: Service, folder: Path, postgres_data: Path) -> dict[str, Path]:
        """Where the paths in a container are on this machine, the innermost first."""
        paths = {}
        for target, source in service.mounts.items():
            here = REPOSITORY / source if source.startswith(".") else self.home / "volumes" / source
            here.mkdir(parents=True, exist_ok=True)
            if target.startswith(f"{AIRFLOW_HOME}/"):
                (folder / Path(target).relative_to(AIRFLOW_HOME)).symlink_to(here)
            else:
                paths[target] = postgres_data if service.image.startswith("postgres:") else here
        secrets = {f"/run/secrets/{name}": self.home / file for name, file in service.secrets.items()}
        return paths | secrets | {AIRFLOW_HOME: folder}

    def _own_ports(self) -> dict[str, str]:
        """The settings by which the services of Airflow listen on loopback, each on a port that no other has."""
        ports = {
            "AIRFLOW__API__PORT": self._port("api-server", 8080),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": self._port("scheduler", 8974),
        }
        hosts = {"AIRFLOW__API__HOST", "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST"}
        return {key: str(port) for key, port in ports.items()} | dict.fromkeys(hosts, "127.0.0.1")

    def _port(self, host: str, port: int) -> int:
        return self._ports.setdefault((host, port), free_port())

    def _localized(self, text: str, service: Service, paths: Mapping[str, Path]) -> str:
        """A text of the file with the addresses and paths of this machine in place of those of a container."""
        text = self._with_addresses(text, service.name)
        for path, here in paths.items():
            text = re.sub(rf"(?<![\w/]){re.escape(path)}\b", str(here), text)
        return text

    def _with_addresses(self, text: str, own_host: str = "") -> str:
        def address(found: re.Match[str]) -> str:
            host = own_host if found[1] == "localhost" else found[1]
            return f"127.0.0.1:{self._port(host, int(found[2]))}" if host in self._services else found[0]

        return ADDRESS.sub(address, text)

    def _make_secrets(self) -> None:
        """Run the project's own script in a copy of its folder, and put the addresses of this machine into what it made."""
        script = Path("deploy/compose/make-secrets")
        (self.home / script).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / script, self.home / script)
        subprocess.run([self.home / script], check=True)
        for file in (self.home / "secrets").iterdir():
            file.write_text(self._with_addresses(file.read_text()))


def _launch(container: Container) -> subprocess.Popen[bytes]:
    return leash.launch(
        container.command,
        grace_s=GRACE_S,
        environment=container.environment,
        folder=container.folder,
        log=container.log,
    )
