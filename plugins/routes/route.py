"""One route: its fixed values, its speed and its schedule; and the checks that a schema cannot express."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hooks.selection import BOUNDS, LISTS
from operators.parameters import selection_problems
from operators.prefixes import DatedPrefix, InvalidPrefix, prefix_problem
from operators.run_date import ROUTE_DAG_PREFIX
from routes.form import PARAMS
from routes.notifications import can_watch
from routes.run_on import executor_problems
from routes.schema import PARAM_OF
from transfer.limits import MAX_ACTIVE_RUNS

DEFAULT_TIMEZONE = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One valid entry of the routes file."""

    name: str
    description: str
    owner: str
    tags: tuple[str, ...]
    values: Mapping[str, Any]
    """Parameters of the form that the entry sets, by name."""
    cron: str | None
    timezone: str
    start: date | None
    catchup: bool
    max_active_runs: int
    queue: str | None
    """The URL of the SQS queue whose messages start runs."""
    queue_conn_id: str
    run_on: Mapping[str, Any]
    """Where the tasks that list, copy and compare run, as far as the entry says."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Route:
        """The route of an entry without problems."""
        schedule = entry.get("schedule") or {}
        start = schedule.get("start")
        placed = {name: entry[group][field] for (group, field), name in PARAM_OF.items() if field in entry[group]}
        return cls(
            name=entry["name"],
            description=entry.get("description", ""),
            owner=entry.get("owner", "airflow"),
            tags=tuple(entry.get("tags", ())),
            values={**placed, **entry.get("parameters", {})},
            cron=schedule.get("cron"),
            timezone=schedule.get("timezone", DEFAULT_TIMEZONE),
            start=date.fromisoformat(start) if start else None,
            catchup=schedule.get("catchup", False),
            max_active_runs=entry.get("max_active_runs", MAX_ACTIVE_RUNS.default),
            queue=schedule.get("sqs"),
            queue_conn_id=schedule.get("connection") or placed.get("aws_conn_id", PARAMS["aws_conn_id"].value),
            run_on=entry.get("run_on", {}),
        )

    @property
    def dag_id(self) -> str:
        """The id of its DAG."""
        return f"{ROUTE_DAG_PREFIX}{self.name}"

    @property
    def destination(self) -> tuple[str, str]:
        """The bucket, and the folder in it that contains the objects of all runs."""
        written = self.values.get("destination_prefix") or self.values.get("source_prefix") or ""
        return self.values["destination_bucket"], DatedPrefix.parse(written).folder


def route_problems(entry: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Problems with an entry that matches its schema: where, and a sentence on what to change."""
    prefixes_are_sound = True
    for group, field in (("source", "prefix"), ("source", "listing"), ("destination", "prefix")):
        try:
            DatedPrefix.parse(entry[group].get(field) or "")
        except InvalidPrefix as error:
            prefixes_are_sound = False
            yield (group, field), str(error)
    if entry["source"].get("listing") and entry.get("parameters", {}).get("delete_extraneous", "off") != "off":
        yield (
            ("parameters", "delete_extraneous"),
            "an inventory or a manifest (source.listing) may not name every object of the source, so nothing can be deleted:"
            " choose off",
        )
    written = entry["destination"].get("prefix") or ""
    deletes = entry.get("parameters", {}).get("delete_extraneous", "off") != "off"
    if problem := prefix_problem(entry["source"].get("prefix") or "", written, deletes=deletes):
        yield ("destination" if written else "source", "prefix"), problem
    for name, value in entry.get("parameters", {}).items():
        if isinstance(value, float) and not math.isfinite(value):
            yield (
                ("parameters", name),
                f"{value!r} is not a finite number: choose one, or remove the field",
            )
    yield from _selection_problems(entry.get("parameters", {}))
    for path, problem in executor_problems(entry.get("run_on", {})):
        yield ("run_on", *path), problem
    schedule = entry.get("schedule") or {}
    yield from _schedule_problems(schedule)
    if prefixes_are_sound and schedule.get("sqs") and _has_run_in_it(entry["source"].get("prefix")):
        yield (
            ("source", "prefix"),
            "objects that arrive at the end of a day would be looked for under the next day: remove the date codes, or"
            " schedule.sqs",
        )
    if prefixes_are_sound and entry.get("max_active_runs", MAX_ACTIVE_RUNS.default) > 1:
        written = entry["destination"].get("prefix") or entry["source"].get("prefix") or ""
        if not _has_run_in_it(written):
            yield (
                ("max_active_runs",),
                f"runs at the same time would all write to {written or 'the same names'!r}: choose 1, or put"
                " date codes or {dag_run_id} into destination.prefix",
            )


def _selection_problems(parameters: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    wanted = {name: json.dumps(parameters[name]) for name in LISTS if parameters.get(name)}
    wanted |= {name: parameters[name] for name in BOUNDS if parameters.get(name)}
    for name, problem in selection_problems(wanted, now_s=time.time()):
        yield ("parameters", name), problem


def _has_run_in_it(prefix: str | None) -> bool:
    return DatedPrefix.parse(prefix or "").has_run_in_it


def _schedule_problems(schedule: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not _is_timezone(schedule.get("timezone", DEFAULT_TIMEZONE)):
        yield (
            ("schedule", "timezone"),
            f"{schedule['timezone']!r} is not a time zone: write an IANA name, as in Europe/Berlin or UTC",
        )
    if "sqs" in schedule and not can_watch():
        yield ("schedule", "sqs"), "queues are read with aiobotocore, which is not installed: pip install aiobotocore"
    if "sqs" not in schedule and "connection" in schedule:
        yield ("schedule", "connection"), "it is used for a queue only: add schedule.sqs, or remove it"
    if "cron" in schedule:
        yield from _cron_problems(schedule)
        return
    for name in ("start", "catchup"):
        if name in schedule:
            yield ("schedule", name), "it applies to a schedule in time only: add schedule.cron, or remove it"


def _cron_problems(schedule: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not _is_cron(schedule["cron"]):
        yield (
            ("schedule", "cron"),
            f"{schedule['cron']!r} is not a schedule: write the five fields of cron (minute hour day month weekday),"
            " @hourly, @daily, @weekly, @monthly, @quarterly or @yearly",
        )
    start = schedule.get("start")
    if start and not _is_date(start):
        yield ("schedule", "start"), f"{start!r} is not a date: choose one, as in 2026-01-31"
    if schedule.get("catchup") and not start:
        yield (
            ("schedule", "catchup"),
            "catching up needs a start: add schedule.start, or choose false",
        )


def _is_cron(expression: str) -> bool:
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.sdk.exceptions import AirflowTimetableInvalid

    timetable = CronDataIntervalTimetable(expression, timezone=DEFAULT_TIMEZONE)
    try:
        timetable.validate()
    except AirflowTimetableInvalid:
        return False
    return len(timetable.expression.split()) == 5


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
