"""A PostgreSQL on a port of loopback, from Debian's package `postgresql`, for the metadata database of a local Airflow."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from demo import leash
from demo.ports import free_port

USER = "airflow"
SERVER_USER = "postgres"
"""The user that Debian's package makes: root runs the server as this user, because it refuses to run as root."""
START_TIMEOUT_S = 30.0
STOP_GRACE_S = 5.0
"""How long the server may take to stop before it is killed. Its data are removed anyway."""


class PostgresError(RuntimeError):
    """PostgreSQL did not start. The message is for people."""


def program(name: str) -> str | None:
    """The path of a program, of PostgreSQL's newest version if it is one of its own; None if it is not installed."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(versions, key=lambda place: float(place.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, newest_first), os.environ.get("PATH", os.defpath)]))


def is_installed() -> bool:
    """Whether this machine has PostgreSQL's server, and this user can run it."""
    needed = ["initdb", "postgres", "pg_isready"]
    if os.geteuid() == 0:
        needed.append("setpriv")
        if not any(user.pw_name == SERVER_USER for user in pwd.getpwall()):
            return False
    return all(map(program, needed))


def as_server_user(command: Sequence[str]) -> list[str]:
    """The command, for root as SERVER_USER."""
    if os.geteuid():
        return [*command]
    return [str(program("setpriv")), f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--init-groups", *command]


def make_cluster(data: Path, user: str, password: str) -> None:
    """Make the files of a server in `data`, with one superuser, in a folder that SERVER_USER may enter."""
    data.mkdir(mode=0o700)
    password_file = data.with_suffix(".password")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if os.geteuid() == 0:
        for path in (data, password_file):
            shutil.chown(path, SERVER_USER, SERVER_USER)
    make = [str(program("initdb")), "--pgdata", str(data), "--username", user, "--pwfile", str(password_file)]
    make += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    made = subprocess.run(as_server_user(make), cwd=data, capture_output=True, text=True, check=False)
    password_file.unlink()
    if made.returncode:
        raise PostgresError(f"PostgreSQL's initdb failed:\n{made.stderr[-2000:]}")


def server_command(data: Path, port: int) -> list[str]:
    """What runs the server of these files on a port of loopback alone."""
    settings = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=")
    server = [str(program("postgres")), "-D", str(data), *(part for each in settings for part in ("-c", each))]
    return as_server_user(server)


class Postgres:
    """A server with one empty database, whose files are removed at the end. Use as a context manager.

    `log` is the file that gets the server's output. Starting takes about 1.5 s. Raises PostgresError when it does not start.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._password = secrets.token_hex(32)
        self._port = free_port()

    @property
    def url(self) -> str:
        """The database as SQLAlchemy has it, for Airflow's `sql_alchemy_conn`."""
        return f"postgresql+psycopg2://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        # Under the system's own folder for temporary files: SERVER_USER may not enter root's folders.
        self._folder = tempfile.TemporaryDirectory(prefix="edgehaul-postgres-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        folder.chmod(0o711)
        try:
            make_cluster(folder / "data", USER, self._password)
            # The data last as long as the server: nothing has to survive a power failure.
            command = [*server_command(folder / "data", self._port), "-c", "fsync=off"]
            self._server = leash.launch(
                command, grace_s=STOP_GRACE_S, environment=os.environ, folder=folder, log=self._log
            )
        except BaseException:
            self._folder.cleanup()
            raise
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leash.let_go(self._server)
        self._folder.cleanup()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        ready = [str(program("pg_isready")), "--quiet", "--host", "127.0.0.1", "--port", str(self._port)]
        while subprocess.run(ready, check=False).returncode:
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
