"""The event that starts other DAGs once objects have arrived, on the asset `gs://bucket/prefix`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias

MAX_URI_CHARACTERS = 1500
"""The limit of Airflow's database column."""


def arrival_asset(bucket: str, prefix: str) -> Asset:
    """The asset of a destination. Its name is its URI, so that DAGs that write there and DAGs that wait for it share it."""
    uri = f"gs://{bucket}/{quote(prefix, safe='/=:@,+')}"[:MAX_URI_CHARACTERS]
    return Asset(Asset(uri).uri)  # without the last slash, as Airflow has it


def announce(
    events: Any, outlets: Sequence[Any], *, bucket: str, prefix: str, dag_id: str, summary: Mapping[str, Any]
) -> None:
    """Put the run's counts and report into the events that Airflow stores when the task succeeds.

    `events` is the context's `outlet_events`. An alias gets the asset of the bucket: a person may choose any prefix, and Airflow
    keeps an asset for ever.
    """
    extra = {"destination": f"gs://{bucket}/{prefix}", "dag_id": dag_id, **summary}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            events[outlet].add(arrival_asset(bucket, ""), extra=extra)
        else:
            events[outlet].extra = extra
