"""The manifest: the objects of a listing, written by the listing and read by every later step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transfer.model import ObjectMeta, SkipReason
from transfer.ports import StateStore
from transfer.records.layout import MANIFEST, manifest_shards
from transfer.records.messages import object_fields, object_of
from transfer.records.shards import ShardWriter, read_records


class Manifest:
    """Writes listed objects in listing order: all of a listing, or those that a pass left unfinished."""

    def __init__(
        self, state: StateStore, listing: str, *, folder: str = MANIFEST, shard_lines: int = 50_000, shards: int = 0
    ) -> None:
        self.shard_lines = shard_lines
        self._shards = ShardWriter(state, manifest_shards(listing, folder), shard_lines=shard_lines, shards=shards)

    @property
    def shards(self) -> int:
        """The number of stored shards, including those of an earlier attempt."""
        return self._shards.shards

    def add(self, item: ObjectMeta, skipped: SkipReason | None = None, *, replaces: int | None = None) -> None:
        """Add one listed object, with the reason if it will not be copied.

        `replaces` is the generation of the object that the copy replaces (0 for none); None takes the item's own."""
        line = object_fields(item)
        if replaces is not None:
            line.pop("replaces", None)
            if replaces:
                line["replaces"] = replaces
        if skipped is not None:
            line["skipped"] = skipped
        self._shards.add(line)

    def flush(self) -> None:
        """Store the objects that have not been stored yet."""
        self._shards.flush()


def read_manifest(
    state: StateStore, listing: str, *, folder: str = MANIFEST
) -> Iterator[tuple[ObjectMeta, SkipReason | None]]:
    """The objects of a listing in listing order, each with the reason if it is not copied. Raises RecordDamaged."""
    return read_records(state, manifest_shards(listing, folder), listed_line)


def listed_line(line: Mapping[str, Any]) -> tuple[ObjectMeta, SkipReason | None]:
    """Decode a line of a manifest: the object, and the reason if it is not copied. Raises one of UNREADABLE."""
    return object_of(line), SkipReason(str(line["skipped"])) if "skipped" in line else None
