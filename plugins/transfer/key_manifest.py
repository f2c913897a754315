"""A manifest that a person gives in place of a listing: CSV or JSON lines with a key and, if wanted, a version id.

CSV with a header      key,version_id        keys as they are; further columns are not looked at
S3 Batch Operations'   bucket,key,version    no header; keys URL-encoded, as S3 wants them there
JSON lines             {"key": …, "version_id": …}
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import IO, Any
from urllib.parse import unquote_plus

from transfer.errors import SourceListInvalid, Stage, Stopped
from transfer.sorting import sorted_on_disk
from transfer.source_list import FileStore, Kind, SourceUri, is_gzip, on_disk

KeyVersion = tuple[str, str]
"""A key, and a version id; empty for the current version."""


def manifest_keys(
    store: FileStore, uri: SourceUri, *, source_bucket: str, prefix: str, stop: Event
) -> Iterator[KeyVersion]:
    """What a manifest names, in byte order and each once. Raises SourceListInvalid, which names the line, or Stopped."""
    with on_disk(store, uri.name, stop) as path:

        def records() -> Iterator[list[Any]]:
            for line, key, version_id in _rows(path, uri, source_bucket):
                if stop.is_set():
                    raise Stopped
                if not key.startswith(prefix):
                    raise _invalid(
                        f"{uri}, line {line:,}, names the key {key!r}, which is not under source_prefix {prefix!r}: take it"
                        " out, or choose a shorter prefix"
                    )
                yield [key, version_id]

        last: KeyVersion | None = None
        for key, version_id in sorted_on_disk(records()):
            if last is not None and last[0] == key:
                if last[1] != version_id:
                    first, second = (repr(text) if text else "the current one" for text in (last[1], version_id))
                    raise _invalid(
                        f"{uri} names {key!r} in two versions, {first} and {second}, and the destination has one name for"
                        " them: keep one"
                    )
                continue
            last = (key, version_id)
            yield last


def _rows(path: Path, uri: SourceUri, source_bucket: str) -> Iterator[tuple[int, str, str]]:
    """Line, key and version id of each row. Raises SourceListInvalid."""
    read: Callable[..., Iterator[tuple[int, Any, Any]]] = _csv_rows if uri.kind is Kind.CSV else _json_rows
    line = 0
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            for line, key, version_id in read(file, uri, source_bucket):
                if not isinstance(key, str) or not key or not isinstance(version_id, str):
                    raise ValueError("it has no key, or a key or version id that is no text")
                yield line, key, version_id
    except (ValueError, TypeError, EOFError, OSError, csv.Error, zlib.error) as error:
        raise _invalid(f"{uri} cannot be read at or after line {line:,}: {error}") from error


def _csv_rows(file: IO[bytes], uri: SourceUri, source_bucket: str) -> Iterator[tuple[int, Any, Any]]:
    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    first = next(rows, [])
    is_batch_operations = len(first) > 1 and first[0] == source_bucket
    if is_batch_operations:
        for row in _chain(first, rows):
            if row[0] != source_bucket or len(row) < 2:
                raise ValueError(f"line {rows.line_num:,} names no key of {source_bucket!r}, which the first line does")
            yield rows.line_num, unquote_plus(row[1], errors="strict"), row[2] if len(row) > 2 else ""
        return
    header = [name.strip().lower() for name in first]
    if "key" not in header:
        raise _invalid(
            f"{uri} has no column key: write key, or key,version_id, on its first line (a manifest of S3 Batch Operations,"
            f" without a header, names {source_bucket!r} first on each line)"
        )
    for row in rows:
        if row:
            fields = dict(zip(header, row, strict=False))
            yield rows.line_num, fields.get("key"), fields.get("version_id", "")


def _chain(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    for row in rows:
        if row:
            yield row


def _json_rows(file: IO[bytes], uri: SourceUri, source_bucket: str) -> Iterator[tuple[int, Any, Any]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                fields = json.loads(line)
                row = fields["key"], fields.get("version_id") or ""
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"line {number:,} is no JSON object with a key") from error
            yield number, *row


def _invalid(message: str) -> SourceListInvalid:
    return SourceListInvalid(message, stage=Stage.LIST)
