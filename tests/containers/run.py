"""`make compose-test`: docker-compose.yaml itself in containers, two workers of each kind, the local cloud as both clouds.

    python tests/containers/run.py [--images] [--keep]

One run copies a thousand objects, a reader that shares no code with the engine compares them, and everything is taken down.
With Docker, or with podman, which then has storage of its own in .local/compose-test. Images that cannot be pulled are built
of Debian's and PyPI's packages (stand-ins/). `--images` only makes the images; `--keep` keeps podman's for the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

import thousand_objects
from demo.airflow_api import AirflowApi
from demo.airflow_stack import REPOSITORY
from demo.verify import Verification

HERE = Path(__file__).resolve().parent
WORK = REPOSITORY / ".local" / "compose-test"
PROJECT = WORK / "project"
"""A copy of the checkout, so that secrets and volumes are the test's own."""
OBJECTS_PROGRAM = "/project/tests/support/thousand_objects.py"
SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")
PULLED = {"postgres:16": "postgres", "redis:7.2-bookworm": "redis", "apache/airflow:3.3.2-python3.11": "airflow"}
"""The images of the registry, and the stand-in for each."""
UP_TIMEOUT_S, RUN_TIMEOUT_S, CHECK_EVERY_S = 600, 600, 5.0
SCALE = {"worker": 2, "transfer": 2}


class Engine:
    """Docker or podman, and Docker Compose on it."""

    def __init__(self) -> None:
        self.is_docker = _succeeds("docker", "info")
        if not self.is_docker and not shutil.which("podman"):
            sys.exit("compose-test needs Docker, or podman")
        storage = [f"--root={WORK}/storage", f"--runroot={WORK}/run", f"--tmpdir={WORK}/tmp"]
        self.command = ["docker"] if self.is_docker else ["podman", *storage]
        self.compose = ["docker", "compose"] if _succeeds("docker", "compose", "version") else ["docker-compose"]
        if not _succeeds(*self.compose, "version"):
            sys.exit(
                "compose-test needs Docker Compose 2.24 or later: `docker compose`, or `docker-compose` on the PATH"
            )
        self.environment = dict(os.environ)
        self.stand_ins: list[str] = []

    def run(self, *words: str, check: bool = True) -> bool:
        """Run a command of the engine; whether it succeeded."""
        return subprocess.run([*self.command, *words], check=check).returncode == 0

    def output(self, *words: str) -> str:
        """What a command of the engine prints."""
        return subprocess.run([*self.command, *words], check=True, stdout=subprocess.PIPE, text=True).stdout

    def compose_command(self, *words: str) -> list[str]:
        """A command of Docker Compose on the copy of the project."""
        names = ["docker-compose.yaml", "tests/containers/override.yaml"]
        names += [] if self.is_docker else ["tests/containers/podman.yaml"]
        files = [f"--file={name}" for name in names]
        return [*self.compose, "--project-name=edgehaul-test", f"--project-directory={PROJECT}", *files, *words]

    def up(self, *words: str, check: bool = True, timeout_s: float = UP_TIMEOUT_S) -> None:
        """Run a command of Docker Compose."""
        command = self.compose_command(*words)
        subprocess.run(command, cwd=PROJECT, env=self.environment, check=check, timeout=timeout_s)

    def inside(self, service: str, *words: str) -> str:
        """What a command prints in the container of a service."""
        command = self.compose_command("exec", "-T", service, *words)
        done = subprocess.run(
            command, cwd=PROJECT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True, timeout=300
        )
        return done.stdout


def main() -> int:
    """Run the test; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", action="store_true", help="only make the images")
    parser.add_argument("--keep", action="store_true", help="keep podman's images for the next time")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # run what takes everything down
    engine = Engine()
    try:
        copy_project()
        make_images(engine)
        if options.images:
            return 0
        with ExitStack() as exits:
            if not engine.is_docker:
                exits.enter_context(podman_service(engine))
            exits.callback(engine.up, "down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)
            return copy_and_compare(engine)
    finally:
        if not (options.keep or options.images):
            clean_up(engine)


def copy_project() -> None:
    """Copy what git knows or would take, and make the secrets beside it."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (PROJECT / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, PROJECT / name)
    subprocess.run([PROJECT / "deploy/compose/make-secrets"], check=True)


def make_images(engine: Engine) -> None:
    """Pull or build every image that is not there yet."""
    stand_ins = PROJECT / "tests/containers/stand-ins"
    for folder in (stand_ins, stand_ins.parent):
        (folder / "constraints.txt").write_text(constraints())
    for image, stand_in in PULLED.items():
        name = f"docker.io/{image if '/' in image else f'library/{image}'}"
        if not (engine.run("image", "inspect", name, "--format", image, check=False) or pull(engine, name)):
            base(engine)
            build(engine, name, stand_ins, f"{stand_in}.Dockerfile")
            engine.stand_ins.append(name)
    build(engine, "docker.io/library/edgehaul-airflow:3.3.2", PROJECT, "Dockerfile")
    build(engine, "docker.io/library/edgehaul-compose-test-cloud", stand_ins.parent, "cloud.Dockerfile")


def pull(engine: Engine, image: str) -> bool:
    """Pull an image; whether its registry has it for this machine."""
    print(f"pulling {image}", flush=True)
    return engine.run("pull", "--quiet", image, check=False)


def base(engine: Engine) -> None:
    """Debian's base system as an image, pulled or made by debootstrap (its package of that name; as root)."""
    name = "docker.io/library/debian:bookworm"
    if engine.run("image", "inspect", name, "--format", name, check=False) or pull(engine, name):
        return
    root = WORK / "debian"
    lists = "\n".join(path.read_text() for path in _sources())
    mirror = re.search(r"^(?:URIs:|deb) .*?(https?://\S+)", lists, re.MULTILINE)
    subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", str(root), *([mirror[1]] if mirror else [])],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    archive = WORK / "debian.tar"
    subprocess.run(
        ["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./dev/*", "-cf", str(archive), "."], check=True
    )
    engine.run("import", str(archive), name)
    shutil.rmtree(root)
    archive.unlink()


def build(engine: Engine, image: str, folder: Path, dockerfile: str) -> None:
    """Build an image; downloads trust the CAs that this machine trusts."""
    print(f"building {image}", flush=True)
    secret = ["--secret", f"id=ca,src={SYSTEM_CAS}"] if SYSTEM_CAS.exists() else []
    engine.run(
        "build",
        "--quiet",
        "--network",
        "host",
        *secret,
        "--tag",
        image,
        "--file",
        str(folder / dockerfile),
        str(folder),
    )


def copy_and_compare(engine: Engine) -> int:
    """Bring the services up, copy, compare; returns the exit status."""
    scale = [word for service, count in SCALE.items() for word in ("--scale", f"{service}={count}")]
    engine.up("up", "--detach", "--no-build", "--quiet-pull", *scale)
    password = json.loads(engine.inside("api-server", "cat", "/opt/airflow/auth/passwords.json"))["admin"]
    airflow = AirflowApi("http://127.0.0.1:8080", credentials=("admin", password))
    for conn_id, connection in connections(engine.inside("cloud", "cat", "/cloud/connections")):
        airflow.add_connection(conn_id, connection)
    objects(engine, "fill")
    airflow.wait_for_dag("s3_to_gcs", timeout_s=120)
    airflow.unpause("s3_to_gcs")
    run = airflow.trigger("s3_to_gcs", thousand_objects.conf("copy/"))
    started_s = time.monotonic()
    state = airflow.wait(run, RUN_TIMEOUT_S)
    seconds = time.monotonic() - started_s
    attempts = {f"{task.task_id}[{task.map_index}]": task.try_number for task in airflow.task_instances(run)}
    checked = Verification(**json.loads(objects(engine, "compare", "copy/")))
    print(f"run {state} after {seconds:.1f} s; attempts {attempts}; {checked}")
    is_equal = checked.matched == checked.objects == thousand_objects.OBJECTS and not checked.extra
    return 0 if state == "success" and is_equal else 1


def objects(engine: Engine, *words: str) -> str:
    """Fill the source or compare both sides, in the container of the local cloud."""
    command = f". /cloud/environment; exec python {OBJECTS_PROGRAM} {shlex.join(words)}"
    return engine.inside("cloud", "bash", "-c", command)


def connections(exports: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The connections in the local cloud's list of exports."""
    for line in exports.splitlines():
        name, _, value = shlex.split(line)[1].partition("=")
        yield name.removeprefix("AIRFLOW_CONN_").lower(), json.loads(value)


@contextmanager
def podman_service(engine: Engine) -> Iterator[None]:
    """Podman's socket for Docker Compose; and its containers' health checks, which podman leaves to systemd's timers."""
    socket = f"unix://{WORK}/podman.sock"
    engine.environment["DOCKER_HOST"] = socket
    ending = threading.Event()
    service = subprocess.Popen([*engine.command, "system", "service", "--time", "0", socket])
    checks = threading.Thread(target=_check_health, args=(engine, ending))
    checks.start()
    try:
        yield
    finally:
        ending.set()
        checks.join()
        service.terminate()
        service.wait()


def _check_health(engine: Engine, ending: threading.Event) -> None:
    while not ending.wait(CHECK_EVERY_S):
        listed = engine.output("ps", "--filter", "status=running", "--format", "{{.ID}} {{.Names}}")
        for container, _, name in (line.partition(" ") for line in listed.splitlines()):
            if any(part in name for part in ("postgres", "redis", "api-server", "cloud")):  # those that others wait for
                subprocess.run([*engine.command, "healthcheck", "run", container], check=False, capture_output=True)


def clean_up(engine: Engine) -> None:
    """Remove the images that were built here, and the files."""
    if engine.is_docker:
        built = ["edgehaul-compose-test-cloud", *(["edgehaul-airflow:3.3.2"] if engine.stand_ins else [])]
        engine.run("image", "rm", *built, *engine.stand_ins, check=False)
    elif WORK.exists():
        for process in psutil.process_iter(["cmdline"]):  # podman's monitors of commands stay for five minutes more
            if f"{WORK}/storage" in " ".join(process.info["cmdline"] or ()):
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
        engine.run("system", "reset", "--force", check=False)
    shutil.rmtree(WORK, ignore_errors=True)


def constraints() -> str:
    """The versions in requirements.lock, as pip's constraints."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    return "".join(line.removesuffix(" \\") + "\n" for line in lines if re.match(r"[a-z0-9]", line))


def _sources() -> Iterator[Path]:
    yield from Path("/etc/apt").glob("sources.list")
    yield from sorted(Path("/etc/apt/sources.list.d").glob("*"))


def _succeeds(*command: str) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
