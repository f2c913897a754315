"""What the images of docker-compose.yaml bring: the entrypoints of Airflow, PostgreSQL and Redis, on installed programs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from demo.postgres import make_cluster, server_command
from needs import program

OTHER_PROGRAMS = ("bash", "python", "airflow")
"""First words that Airflow's entrypoint runs as they are; all others are commands of `airflow`
(airflow.apache.org/docs/docker-stack/entrypoint.html)."""


def airflow(entrypoint: Sequence[str] | None, command: Sequence[str], host_name: str) -> list[str]:
    """What Airflow's image runs for a command."""
    if entrypoint is not None:
        return [*entrypoint, *command]
    if command[0] in OTHER_PROGRAMS:
        return [*command]
    words = ["airflow", *command]
    if "worker" in words:
        words += ["--celery-hostname", f"celery@{host_name}"]  # its host's name, which would be the same for all here
    if {"worker", "triggerer"} & {*words}:
        words += ["--skip-serve-logs"]  # they would serve on every address of the machine, and the logs are on one disk
    return words


def programs(folder: Path, lines: Mapping[str, str]) -> str:
    """A folder for the front of PATH with these programs, each a line of shell; so an image's program has other options."""
    folder.mkdir()
    for name, line in lines.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def redis(port: int) -> dict[str, str]:
    """Redis's programs with a port of loopback, whatever else they are told to."""
    return {
        "redis-server": f'exec {program("redis-server")} --bind 127.0.0.1 --port {port} "$@"',
        "redis-cli": f'exec {program("redis-cli")} -p {port} "$@"',
    }


def postgres(command: Sequence[str], port: int, data: Path, environment: Mapping[str, str]) -> list[str]:
    """PostgreSQL on a port of loopback, with the user, the password and the database that its environment asks for.

    `data` is made, in a folder that the user `postgres` may enter: PostgreSQL does not run as root.
    """
    assert command[:1] in ([], ["postgres"]), command
    user = environment["POSTGRES_USER"]
    password = environment.get("POSTGRES_PASSWORD") or Path(environment["POSTGRES_PASSWORD_FILE"]).read_text().strip()
    program("postgres", hint="Debian's package is postgresql")
    make_cluster(data, user, password)
    create = f'CREATE DATABASE "{environment["POSTGRES_DB"]}"'
    server = server_command(data, port)
    single = [*server[: server.index("-D")], "--single", "-D", str(data), "postgres"]
    subprocess.run(single, cwd=data, input=create, text=True, check=True, capture_output=True)
    return [*server, *command[1:]]
