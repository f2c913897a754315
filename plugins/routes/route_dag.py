"""The DAG of a route: the pipeline with the route's values as its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, AssetOrTimeSchedule, CronDataIntervalTimetable, Param

from operators.arrival import arrival_asset
from operators.parameters import PREFIXES
from operators.prefixes import DatedPrefix
from routes.form import PARAMS
from routes.notifications import queue_asset
from routes.pipeline import pipeline
from routes.route import Route
from routes.run_on import run_on
from routes.schema import PARAM_OF

FIXED = frozenset({*PARAM_OF.values(), "topic", "error_topic", "state_bucket", "log_name"})
"""Source, destination and topics. A person who starts a run of a route can choose other parameters only."""


def route_dag(route: Route) -> DAG:
    """The DAG `route_<name>`."""
    asset = arrival_asset(*route.destination)
    zone = ZoneInfo(route.timezone)
    return pipeline(
        route.dag_id,
        params=route_params(route.values),
        arrived=asset,
        timezone=route.timezone,
        max_open_runs=route.max_active_runs,
        tags=["route", *route.tags],
        owner=route.owner,
        run_on=run_on(route.run_on),
        description=route.description or _way(route),
        doc_md=_documentation(route, asset.uri),
        schedule=_schedule(route),
        start_date=datetime(route.start.year, route.start.month, route.start.day, tzinfo=zone) if route.start else None,
        catchup=route.catchup,
        max_active_runs=route.max_active_runs,
    )


def route_params(values: Mapping[str, Any]) -> dict[str, Param]:
    """The form's parameters with the route's values as defaults. The values of FIXED parameters cannot be changed."""
    params = {}
    for name, param in PARAMS.items():
        value = values.get(name, param.value)
        if name in FIXED:
            # With a single choice, the form shows the value and offers no other, and the API refuses any other.
            schema = {"type": param.schema["type"], "enum": [value], "section": "Fixed by the route"}
            schema |= {"values_display": {"null": "none"}} if value is None else {}
        else:
            schema = param.schema
        params[name] = Param(value, description=param.description, schema=schema)
    return params


def _schedule(route: Route) -> Any:
    """The value for `DAG(schedule=…)`."""
    times = CronDataIntervalTimetable(route.cron, timezone=route.timezone) if route.cron else None
    if route.queue is None:
        return times
    events = [queue_asset(route.queue, route.queue_conn_id)]
    return AssetOrTimeSchedule(timetable=times, assets=events) if times else events


def _way(route: Route) -> str:
    source, destination = route.values["source_bucket"], route.values["destination_bucket"]
    source_prefix = route.values.get("source_prefix") or ""
    return (
        f"s3://{source}/{source_prefix} to gs://{destination}/{route.values.get('destination_prefix') or source_prefix}"
    )


def _documentation(route: Route, asset: str) -> str:
    missed = "caught up" if route.catchup else "skipped"
    cron = f"`{route.cron}` ({route.timezone}); intervals missed while it was paused or busy are {missed}"
    queue = f"when `{route.queue}` has messages, read with the connection `{route.queue_conn_id}`"
    when = "; ".join([cron] * bool(route.cron) + [queue] * bool(route.queue)) or "manually"
    is_dated = any(DatedPrefix.parse(route.values.get(name) or "").has_date_in_it for name in PREFIXES)
    named = "; a run is named after the moment when its interval ended" if route.cron else ""
    dates = f"the start of the data interval in {route.timezone}{named}; without an interval, the time when it was triggered"
    empty = (
        "green: `allow_empty` is set"
        if route.values.get("allow_empty")
        else "red: set `parameters: {allow_empty: true}` if there are days without objects, also for a backfill"
    )
    at_once = "one run at a time" if route.max_active_runs == 1 else f"{route.max_active_runs} runs at a time"
    return f"""{route.description}

|   |   |
|---|---|
| Copies | `{_way(route)}` |
| through | the connection `{route.values["cloudfront_conn_id"]}` |
| When | {when} |
| Overlap | {at_once}, however they were started; later ones wait |
| Date | {dates} |
| {"A date" if is_dated else "A run"} without objects | {empty} |
| Event | on the asset `{asset}` when every object is verified |
"""
