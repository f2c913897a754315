"""The event of a verified run, and on which asset."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from airflow.sdk import Asset, AssetAlias

from operators.arrival import announce


class Event(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(extra={}, added=[])

    def add(self, asset: Asset, extra: dict[str, Any]) -> None:
        self.added.append((asset.uri, extra))


def announced(outlet: Any, prefix: str) -> Event:
    events: dict[Any, Event] = defaultdict(Event)
    announce(events, [outlet], bucket="bucket", prefix=prefix, dag_id="d", summary={"copied": 1})
    return events[outlet]


def test_runs_of_the_form_make_one_asset_a_bucket_however_many_prefixes_are_typed() -> None:
    alias = AssetAlias("edgehaul")
    added = [each for prefix in ("", "a/", "b/2026/", "c%20d") for each in announced(alias, prefix).added]
    assert {uri for uri, _ in added} == {"gs://bucket/"}
    assert added[1][1] == {"destination": "gs://bucket/a/", "dag_id": "d", "copied": 1}


def test_a_route_has_an_asset_of_its_own() -> None:
    asset = Asset("gs://bucket/photos")
    assert announced(asset, "photos/2026/").extra["destination"] == "gs://bucket/photos/2026/"
