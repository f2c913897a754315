"""A manifest that a person gives in place of a listing: CSV or JSON lines with a key and, if wanted, a version id.

CSV with a header      key,version_id        keys as they are; other columns as `transfer/sources/manifest_columns.py` knows them
S3 Batch Operations'   bucket,key,version    no header; keys URL-encoded, as S3 wants them there
JSON lines             {"key": …, "version_id": …}   likewise
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

from transfer.errors import SourceListInvalid, Stage, Stopped
from transfer.records.bounded_lines import Lines, rows_of
from transfer.records.csv_file import unescape_cell
from transfer.records.layout import ARCHIVED_COLUMNS
from transfer.records.messages import MAX_TEXT_CHARACTERS, UNREADABLE, why_unreadable
from transfer.records.sorting import sorted_on_disk
from transfer.sources.files import FileStore, Kind, SourceUri, is_gzip, on_disk
from transfer.sources.manifest_columns import meant_key, normal, positions, values_of

HEAD_BYTES = 64 * 1024
"""Of a manifest, what `check_header` wants to see."""
GZIP = 31
"""zlib's `wbits` for a gzip header and the largest window."""
GZIP_MAGIC = b"\x1f\x8b"

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


def check_header(head: bytes, uri: SourceUri, source_bucket: str) -> None:
    """Look at the first line of a manifest, given its first HEAD_BYTES, packed or not. Raises SourceListInvalid.

    It is what reading all of it would refuse at once; a line that is longer than this is left to the reading.
    """
    text = zlib.decompressobj(wbits=GZIP).decompress(head, HEAD_BYTES) if head.startswith(GZIP_MAGIC) else head
    line, end, _ = text.partition(b"\n")
    if not end and len(text) >= HEAD_BYTES:
        return
    read: Callable[..., Iterator[tuple[int, Any, Any]]] = _csv_rows if uri.kind is Kind.CSV else _json_rows
    try:
        for _ in read(io.BytesIO(line), uri, source_bucket, lambda: None):
            return
    except (csv.Error, zlib.error, *UNREADABLE) as error:
        raise _invalid(f"{uri} cannot be read: {why_unreadable(error)}") from error


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
            if len(row) > 3:
                raise ValueError(f"line {lines.number:,} names more than a bucket, a key and a version")
            yield lines.number, unquote_plus(row[1], errors="strict"), row[2] if len(row) > 2 else ""
        return
    names = tuple(first)
    if "key" not in map(normal, names):
        meant = f" (did you mean it by {meant_key(names)!r}?)" if meant_key(names) else ""
        raise _invalid(
            f"{uri} has no column key{meant}: write key, or key,version_id, on its first line (a manifest of S3 Batch"
            f" Operations, without a header, names {source_bucket!r} first on each line)"
        )
    positions(names)
    is_our_own = names == ARCHIVED_COLUMNS
    for row in rows:
        if len(row) > len(names):
            raise ValueError(
                f"line {lines.number:,} has {len(row)} values for {len(names)} columns: put a key with commas in quotes"
            )
        if row:
            values = [unescape_cell(value) for value in row] if is_our_own else row
            key, version_id = values_of(names, values, source_bucket)
            yield lines.number, key, "" if version_id is None else version_id


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
                pairs = json.loads(line, object_pairs_hook=tuple)
                if not isinstance(pairs, tuple):
                    raise TypeError
                names = tuple(name for name, _ in pairs)
                has_key = "key" in map(normal, names)
            except UNREADABLE as error:
                raise ValueError(f"line {number:,} is no JSON object with a key") from error
            if not has_key:
                raise ValueError(f"line {number:,} is no JSON object with a key")
            try:
                key, version_id = values_of(names, [value for _, value in pairs], source_bucket)
            except ValueError as error:
                raise ValueError(f"line {number:,}: {error}") from error
            yield number, key, "" if version_id is None else version_id


def _invalid(message: str) -> SourceListInvalid:
    return SourceListInvalid(message, stage=Stage.LIST)
