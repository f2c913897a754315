"""The objects of a listing, as they were listed: written by the listing, read by every later step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transfer.model import ObjectMeta, SkipReason
from transfer.ports import StateStore
from transfer.records.layout import MANIFEST, manifest_shards
from transfer.records.messages import object_fields, object_of
from transfer.records.shards import ShardWriter, read_records


class Manifest:
    """Writes objects as they were listed, in listing order: all of a listing, or those that a pass left unfinished."""

    def __init__(
        self, state: StateStore, listing: str, *, folder: str = MANIFEST, shard_lines: int = 50_000, shards: int = 0
    ) -> None:
        self.shard_lines = shard_lines
        self._shards = ShardWriter(state, manifest_shards(listing, folder), shard_lines=shard_lines, shards=shards)

    @property
    def shards(self) -> int:
        """How many are stored, those of an earlier try among them."""
        return self._shards.shards

    def add(self, item: ObjectMeta, skipped: SkipReason | None = None, *, replaces: int | None = None) -> None:
        """One listed object, and why it will not be moved, if so. `replaces` is its generation, unless the item knows."""
        line = object_fields(item)
        if replaces is not None:
            line.pop("replaces", None)
            if replaces:
                line["replaces"] = replaces
        if skipped is not None:
            line["skipped"] = skipped
        self._shards.add(line)

    def flush(self) -> None:
        """Store what has not been stored yet."""
        self._shards.flush()


def read_manifest(
    state: StateStore, listing: str, *, folder: str = MANIFEST
) -> Iterator[tuple[ObjectMeta, SkipReason | None]]:
    """What one listing found, in listing order."""
    return read_records(state, manifest_shards(listing, folder), listed_line)


def listed_line(line: Mapping[str, Any]) -> tuple[ObjectMeta, SkipReason | None]:
    """A line of a manifest."""
    return object_of(line), SkipReason(str(line["skipped"])) if "skipped" in line else None
