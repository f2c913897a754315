"""S3 Inventory as a source: its manifest.json, its files in CSV or Parquet, and their rows in byte order.

Formats: S3 User Guide, "Cataloging and analyzing your data with S3 Inventory" and "Locating your inventory list".
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote_plus

from transfer.comparison import etag_value
from transfer.errors import SourceListInvalid, Stage, Stopped
from transfer.model import ObjectMeta, SkipReason
from transfer.records.bounded_lines import Lines, rows_of
from transfer.records.messages import MAX_COUNT, MAX_TEXT_CHARACTERS, UNREADABLE, why_unreadable
from transfer.records.sorting import Record, sorted_on_disk
from transfer.sources.files import FileStore, SourceUri, on_disk, read_whole

COLUMNS = (
    "key",
    "lastmodifieddate",
    "size",
    "etag",
    "storageclass",
    "intelligenttieringaccesstier",
    "islatest",
    "isdeletemarker",
)
"""What is read, by its name in either format without case and underscores."""
NEEDED = COLUMNS[:5]
AS_AWS_WRITES = {
    "lastmodifieddate": "LastModifiedDate",
    "size": "Size",
    "etag": "ETag",
    "storageclass": "StorageClass",
    "key": "Key",
}
_FLAGS: Mapping[Any, bool | None] = {True: True, False: False, "true": True, "false": False, "": None, None: None}
ARCHIVE_TIERS = frozenset({"ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE", "DEEP_ARCHIVE_ACCESS"})
"""Of Intelligent-Tiering: unreadable until restored."""

Rows = Iterator[Sequence[Any]]
"""The values of COLUMNS, None where there is no such column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryFile:
    """One of its files."""

    name: str
    md5: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a manifest.json says."""

    format: str
    columns: tuple[str, ...]
    """As in the files, in order; of Parquet, whose files name their own, as the manifest has them."""
    files: tuple[InventoryFile, ...]


def read_inventory(store: FileStore, uri: SourceUri, *, source_bucket: str) -> Inventory:
    """The manifest.json. Raises SourceListInvalid for what is none, is of another bucket, or lacks what a run needs."""
    try:
        document = json.loads(read_whole(store, uri.name))
        of_bucket, file_format, schema = document["sourceBucket"], document["fileFormat"], document["fileSchema"]
        files = tuple(InventoryFile(name=str(file["key"]), md5=str(file["MD5checksum"])) for file in document["files"])
    except UNREADABLE as error:
        lacks = f"it has no {error}" if isinstance(error, KeyError) else why_unreadable(error)
        raise _invalid(f"{uri} is no manifest.json of an S3 Inventory: {lacks}") from error
    if of_bucket != source_bucket:
        raise _invalid(f"{uri} is an inventory of {of_bucket!r}, and source_bucket is {source_bucket!r}: name its own")
    if file_format not in ("CSV", "Parquet"):
        raise _invalid(f"{uri} is an inventory in {file_format}: have S3 write it as CSV or Parquet")
    columns = _columns(file_format, str(schema))
    check_columns(columns, str(uri))
    return Inventory(format=file_format, columns=columns, files=files)


def _columns(file_format: str, schema: str) -> tuple[str, ...]:
    if file_format == "CSV":
        return tuple(name.strip() for name in schema.split(","))
    return tuple(re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", schema))


def plain(column: str) -> str:
    """A column's name as COLUMNS has it."""
    return column.replace("_", "").lower()


def check_columns(columns: Iterable[str], where: str) -> None:
    """Raises SourceListInvalid unless these have what is NEEDED."""
    there = {plain(column) for column in columns}
    if lacking := [AS_AWS_WRITES[name] for name in NEEDED if name not in there]:
        raise _invalid(
            f"{where} has no {' and no '.join(lacking)}: add what is missing to the inventory's additional metadata fields,"
            " and take the next inventory"
        )


def inventory_objects(
    store: FileStore,
    uri: SourceUri,
    *,
    source_bucket: str,
    prefix: str,
    read_parquet: Callable[[Path], Rows],
    stop: Event,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[ObjectMeta]:
    """The current objects under a prefix, in byte order, once all files have been read and sorted on disk.

    Of versions, the latest that is no delete marker; of rows of the same key, the one modified last. Raises
    SourceListInvalid, Stopped, or what the store raises.
    """
    inventory = read_inventory(store, uri, source_bucket=source_bucket)

    def check() -> None:
        if stop.is_set():
            raise Stopped

    def records() -> Iterator[Record]:
        for number, file in enumerate(inventory.files, start=1):
            tell(f"reading file {number:,} of {len(inventory.files):,} of the inventory: {store.uri}{file.name}")
            with on_disk(store, file.name, stop, md5=file.md5) as path:
                is_csv = inventory.format == "CSV"
                rows = csv_rows(path, inventory.columns, check) if is_csv else read_parquet(path)
                yield from _records(rows, prefix, f"{store.uri}{file.name}", stop)

    last: Record | None = None
    for record in sorted_on_disk(records()):
        if last is not None and last[0] != record[0]:
            yield _object(last)
        last = record
    if last is not None:
        yield _object(last)


def csv_rows(path: Path, columns: Sequence[str], check: Callable[[], None] = lambda: None) -> Rows:
    """Of a gzip-compressed CSV file without a header; its keys are URL-encoded. `check` is called for each line."""
    places = {plain(column): place for place, column in enumerate(columns)}
    nowhere = len(columns)
    wanted = itemgetter(*(places.get(name, nowhere) for name in COLUMNS))
    key_place = places["key"]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in rows_of(Lines(file, check=check)):
            if len(row) != nowhere:
                raise ValueError(f"a row has {len(row)} values, and the manifest names {nowhere} columns")
            if "%" in row[key_place] or "+" in row[key_place]:
                row[key_place] = unquote_plus(row[key_place], errors="strict")
            yield wanted([*row, None])


def _records(rows: Rows, prefix: str, where: str, stop: Event) -> Iterator[Record]:
    count = 0
    try:
        for key, modified, size, etag, storage_class, tier, is_latest, is_delete_marker in rows:
            count += 1
            if stop.is_set():
                raise Stopped
            if len(key) > MAX_TEXT_CHARACTERS:
                raise ValueError(f"a key has {len(key):,} characters")
            if not key.startswith(prefix) or _FLAGS[is_latest] is False or _FLAGS[is_delete_marker] is True:
                continue
            yield [
                key,
                _seconds(modified),
                _size(size),
                etag_value(etag),
                storage_class or "STANDARD",
                tier in ARCHIVE_TIERS,
            ]
    except (EOFError, OSError, csv.Error, zlib.error, *UNREADABLE) as error:
        why = why_unreadable(error) or type(error).__name__
        raise _invalid(f"{where} cannot be read past row {count:,}: {why}") from error


def _size(size: Any) -> int:
    if not 0 <= (count := int(size)) <= MAX_COUNT:
        raise ValueError(f"a size is {count}")
    return count


def _seconds(modified: Any) -> int:
    """From ISO 8601, as CSV has it, or from a number of seconds."""
    return modified if isinstance(modified, int) else int(datetime.fromisoformat(modified).timestamp())


def _object(record: Record) -> ObjectMeta:
    key, modified, size, etag, storage_class, is_tier_archived = record
    return ObjectMeta(
        key=key,
        size_bytes=size,
        etag=etag,
        last_modified_s=modified,
        storage_class=storage_class,
        unreadable=SkipReason.ARCHIVED if is_tier_archived else None,
    )


def _invalid(message: str) -> SourceListInvalid:
    return SourceListInvalid(message, stage=Stage.LIST)
