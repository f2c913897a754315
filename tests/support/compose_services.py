"""docker-compose.yaml as Docker Compose reads it, as far as processes on loopback need it: tests/cluster runs them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

DOLLAR = "\0"
VARIABLE = re.compile(r"\$\{(\w+)(?:(:?)([-?+])([^${}]*))?\}")
"""The innermost of the forms `${NAME}`, `${NAME:-default}`, `${NAME:?complaint}` and `${NAME:+other}`."""


class MissingVariable(ValueError):
    """A variable that the file insists on has no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of the file, its variables filled in."""

    name: str
    image: str
    is_built: bool
    """Whether its image is made from the project's Dockerfile, which is Airflow's."""
    environment: Mapping[str, str]
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...]
    healthcheck: tuple[str, ...]
    """The command that says whether it is healthy; empty where the file has none."""
    mounts: Mapping[str, str]
    """Path in the container → path relative to the file, or the name of a volume."""
    secrets: Mapping[str, str]
    """Name → file, relative to the compose file; in the container each is /run/secrets/NAME."""
    depends_on: Mapping[str, str]
    """Service → the condition on it."""
    is_kept_up: bool
    """Whether it is started again when it ends."""


def load(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """The services that `docker compose up` starts, each after those that it depends on."""
    document = filled(yaml.safe_load(path.read_text()), variables)
    files = {name: secret["file"] for name, secret in document.get("secrets", {}).items()}
    services = {
        name: _service(name, entry, files) for name, entry in document["services"].items() if "profiles" not in entry
    }
    order = TopologicalSorter({name: service.depends_on.keys() for name, service in services.items()})
    return {name: services[name] for name in order.static_order()}


def filled(node: Any, variables: Mapping[str, str]) -> Any:
    """A part of the document with every variable replaced (docs.docker.com/reference/compose-file/interpolation)."""
    if isinstance(node, dict):
        return {name: filled(value, variables) for name, value in node.items()}
    if isinstance(node, list):
        return [filled(value, variables) for value in node]
    if not isinstance(node, str):
        return node
    text = node.replace("$$", DOLLAR)
    while (replaced := VARIABLE.sub(lambda found: _value(found, variables), text)) != text:
        text = replaced
    return text.replace(DOLLAR, "$")


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, colon, operator, word = found.groups()
    value = variables.get(name)
    is_set = bool(value) if colon else value is not None
    if operator == "+":
        return str(word) if is_set else ""
    if is_set:
        return str(value)
    if operator == "?":
        raise MissingVariable(f"{name}: {word}")
    return str(word or "")


def _service(name: str, entry: Mapping[str, Any], files: Mapping[str, str]) -> Service:
    mounts = (mount.split(":") for mount in entry.get("volumes", []))
    depends_on = entry.get("depends_on", {})
    return Service(
        name=name,
        image=entry.get("image", ""),
        is_built="build" in entry,
        environment={key: str(value) for key, value in entry.get("environment", {}).items()},
        entrypoint=_words(entry["entrypoint"]) if "entrypoint" in entry else None,
        command=_words(entry.get("command", ())),
        healthcheck=_check(entry.get("healthcheck", {}).get("test", ())),
        mounts={target: source for source, target, *_ in mounts},
        secrets={secret: files[secret] for secret in entry.get("secrets", ())},
        depends_on={other: rule["condition"] for other, rule in depends_on.items()},
        is_kept_up=entry.get("restart", "no") != "no",
    )


def _words(command: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(shlex.split(command)) if isinstance(command, str) else tuple(command)


def _check(test: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(test, str):
        return ("sh", "-c", test)
    kind, *words = test or ("NONE",)
    return {"NONE": (), "CMD": tuple(words), "CMD-SHELL": ("sh", "-c", *words)}[kind]
