"""A manifest that a person gives in place of a listing: CSV or JSON lines with a key and, if wanted, a version id.

CSV with a header      key,version_id        keys as they are; other columns as `transfer/manifest_columns.py` knows them
S3 Batch Operations'   bucket,key,version    no header; keys URL-encoded, as S3 wants them there
JSON lines             {"key": …, "version_id": …}   likewise
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
from transfer.manifest_columns import meant_key, normal, positions, values_of
from transfer.sorting import sorted_on_disk
from transfer.source_list import FileStore, Kind, SourceUri, is_gzip, on_disk

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
        for _ in read(io.BytesIO(line), uri, source_bucket):
            return
    except (ValueError, TypeError, csv.Error, zlib.error) as error:
        raise _invalid(f"{uri} cannot be read: {error}") from error


def _csv_rows(file: IO[bytes], uri: SourceUri, source_bucket: str) -> Iterator[tuple[int, Any, Any]]:
    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    first = next(rows, [])
    is_batch_operations = len(first) > 1 and first[0] == source_bucket
    if is_batch_operations:
        for row in _chain(first, rows):
            if row[0] != source_bucket or len(row) < 2:
                raise ValueError(f"line {rows.line_num:,} names no key of {source_bucket!r}, which the first line does")
            if len(row) > 3:
                raise ValueError(f"line {rows.line_num:,} names more than a bucket, a key and a version")
            yield rows.line_num, unquote_plus(row[1], errors="strict"), row[2] if len(row) > 2 else ""
        return
    names = tuple(first)
    if "key" not in map(normal, names):
        meant = f" (did you mean it by {meant_key(names)!r}?)" if meant_key(names) else ""
        raise _invalid(
            f"{uri} has no column key{meant}: write key, or key,version_id, on its first line (a manifest of S3 Batch"
            f" Operations, without a header, names {source_bucket!r} first on each line)"
        )
    positions(names)
    for row in rows:
        if len(row) > len(names):
            raise ValueError(
                f"line {rows.line_num:,} has {len(row)} values for {len(names)} columns: put a key with commas in quotes"
            )
        if row:
            key, version_id = values_of(names, row, source_bucket)
            yield rows.line_num, key, "" if version_id is None else version_id


def _chain(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    for row in rows:
        if row:
            yield row


def _json_rows(file: IO[bytes], uri: SourceUri, source_bucket: str) -> Iterator[tuple[int, Any, Any]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                pairs = json.loads(line, object_pairs_hook=tuple)
                if not isinstance(pairs, tuple):
                    raise TypeError
                names = tuple(name for name, _ in pairs)
                has_key = "key" in map(normal, names)
            except (ValueError, TypeError, RecursionError) as error:
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
