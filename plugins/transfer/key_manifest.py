"""A manifest that a person gives in place of a listing: CSV or JSON lines with a key and, if wanted, a version id.

CSV with a header      key,version_id        keys as they are; further columns are not looked at
S3 Batch Operations'   bucket,key,version    no header; keys URL-encoded, as S3 wants them there
JSON lines             {"key": …, "version_id": …}
archived.csv           as a run wrote it: the apostrophe in front of what a spreadsheet would run is taken off again
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

from transfer.bounded import Lines, rows_of
from transfer.csv_file import as_it_was
from transfer.errors import SourceListInvalid, Stage, Stopped
from transfer.messages import MAX_TEXT_CHARACTERS, UNREADABLE, why_unreadable
from transfer.report import ArchivedFile
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
            for line, key, version_id in _rows(path, uri, source_bucket, stop):
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


def _rows(path: Path, uri: SourceUri, source_bucket: str, stop: Event) -> Iterator[tuple[int, str, str]]:
    """Line, key and version id of each row. Raises SourceListInvalid, or Stopped."""
    read: Callable[..., Iterator[tuple[int, Any, Any]]] = _csv_rows if uri.kind is Kind.CSV else _json_rows
    line = 0

    def check() -> None:
        if stop.is_set():
            raise Stopped

    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            for line, key, version_id in read(file, uri, source_bucket, check):
                if not isinstance(key, str) or not key or not isinstance(version_id, str):
                    raise ValueError("it has no key, or a key or version id that is no text")
                if len(key) > MAX_TEXT_CHARACTERS or len(version_id) > MAX_TEXT_CHARACTERS:
                    raise ValueError(
                        f"line {line:,} has a key or version id of {max(len(key), len(version_id)):,} characters"
                    )
                yield line, key, version_id
    except (EOFError, OSError, csv.Error, zlib.error, *UNREADABLE) as error:
        raise _invalid(f"{uri} cannot be read at or after line {line:,}: {why_unreadable(error)}") from error


def _csv_rows(
    file: IO[bytes], uri: SourceUri, source_bucket: str, check: Callable[[], None]
) -> Iterator[tuple[int, Any, Any]]:
    lines = Lines(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), check=check)
    rows = rows_of(lines, strict=True)
    first = next(rows, [])
    is_batch_operations = len(first) > 1 and first[0] == source_bucket
    if is_batch_operations:
        for row in _chain(first, rows):
            if row[0] != source_bucket or len(row) < 2:
                raise ValueError(f"line {lines.number:,} names no key of {source_bucket!r}, which the first line does")
            yield lines.number, unquote_plus(row[1], errors="strict"), row[2] if len(row) > 2 else ""
        return
    header = [name.strip().lower() for name in first]
    if "key" not in header:
        raise _invalid(
            f"{uri} has no column key: write key, or key,version_id, on its first line (a manifest of S3 Batch Operations,"
            f" without a header, names {source_bucket!r} first on each line)"
        )
    is_our_own = tuple(first) == ArchivedFile.COLUMNS
    for row in rows:
        if row:
            fields = dict(zip(header, map(as_it_was, row) if is_our_own else row, strict=False))
            yield lines.number, fields.get("key"), fields.get("version_id", "")


def _chain(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    for row in rows:
        if row:
            yield row


def _json_rows(
    file: IO[bytes], uri: SourceUri, source_bucket: str, check: Callable[[], None]
) -> Iterator[tuple[int, Any, Any]]:
    lines = Lines(file, check=check)
    for number, line in enumerate(lines, start=1):
        lines.row()
        if line.strip():
            try:
                fields = json.loads(line)
                row = fields["key"], fields.get("version_id") or ""
            except UNREADABLE as error:
                raise ValueError(f"line {number:,} is no JSON object with a key") from error
            yield number, *row


def _invalid(message: str) -> SourceListInvalid:
    return SourceListInvalid(message, stage=Stage.LIST)
