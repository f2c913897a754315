"""S3 Inventories as S3 delivers them: manifest.json, manifest.checksum, and files in CSV or Parquet."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq

INVENTORIES = "inventory-bucket"
"""The bucket that has inventories and manifests in the tests of lists."""
HOSTILE_KEYS = [
    "with space",
    "plus+plus",
    "%2B%20",
    "a,b",
    'quo"ted',
    "x//y",
    "/lead",
    "p/../q",
    "./r",
    "line\nfeed",
    "carriage\rreturn",
    "tab\t",
    "nul\x00",
    "\u2028",
    "\uffee",
    "\U0001f69a",
    "ünï-e\u0301",
    "k" * 1000,
    "key",
    "#?&=",
    "'",
    "\\",
]
"""Keys that are hard to write into a CSV file or a URL."""
CSV_SCHEMA = (
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded,"
    " ReplicationStatus, EncryptionStatus, IntelligentTieringAccessTier"
)
PARQUET_SCHEMA = pa.schema(
    [
        pa.field("bucket", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("is_latest", pa.bool_()),
        pa.field("is_delete_marker", pa.bool_()),
        pa.field("size", pa.int64()),
        pa.field("last_modified_date", pa.timestamp("ms", tz="UTC")),
        pa.field("e_tag", pa.string()),
        pa.field("storage_class", pa.string()),
        pa.field("intelligent_tiering_access_tier", pa.string()),
    ]
)
PARQUET_TEXT = (
    "message s3.inventory { required binary bucket (STRING); required binary key (STRING); optional binary version_id"
    " (STRING); optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; optional int64"
    " last_modified_date (TIMESTAMP(MILLIS,true)); optional binary e_tag (STRING); optional binary storage_class (STRING);"
    " optional binary intelligent_tiering_access_tier (STRING);}"
)


@dataclass(frozen=True, kw_only=True)
class Row:
    key: str
    size: int | None = 1
    modified: datetime = datetime(2026, 1, 31, 8, 0, 1, 500_000, tzinfo=UTC)
    etag: str = "0" * 32
    storage_class: str = "STANDARD"
    is_latest: bool = True
    is_delete_marker: bool = False
    tier: str = ""


def csv_file(rows: Iterable[Row], bucket: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in rows:
        key = quote_plus(row.key, safe="/")
        modified = row.modified.strftime("%Y-%m-%dT%H:%M:%S.") + f"{row.modified.microsecond // 1000:03d}Z"
        size = "" if row.size is None else row.size
        flags = [str(row.is_latest).lower(), str(row.is_delete_marker).lower()]
        values = [size, modified, row.etag, row.storage_class, "false", "", "SSE-S3", row.tier]
        writer.writerow([bucket, key, "v1", *flags, *values])
    return gzip.compress(text.getvalue().encode())


def parquet_file(
    rows: Iterable[Row], bucket: str, schema: pa.Schema = PARQUET_SCHEMA, *, row_group_size: int = 3
) -> bytes:
    values = [
        {
            "bucket": bucket,
            "key": row.key,
            "version_id": "v1",
            "is_latest": row.is_latest,
            "is_delete_marker": row.is_delete_marker,
            "size": row.size,
            "last_modified_date": row.modified,
            "e_tag": row.etag,
            "storage_class": row.storage_class,
            "intelligent_tiering_access_tier": row.tier or None,
        }
        for row in rows
    ]
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(values, schema=schema), sink, compression="snappy", row_group_size=row_group_size
    )
    return sink.getvalue()


def put_inventory(
    client: Any,
    bucket: str,
    rows_of_files: Sequence[Sequence[Row]],
    *,
    of_bucket: str,
    file_format: str = "CSV",
    **changed: object,
) -> str:
    """Store an inventory whose files have these rows; the URI of its manifest.json."""
    folder = f"inventories/{of_bucket}/daily"
    named = []
    for number, rows in enumerate(rows_of_files):
        body = csv_file(rows, of_bucket) if file_format == "CSV" else parquet_file(rows, of_bucket)
        name = f"{folder}/data/0fbb7b3e-{number}.{'csv.gz' if file_format == 'CSV' else 'parquet'}"
        client.put_object(Bucket=bucket, Key=name, Body=body)
        named.append({"key": name, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()})
    manifest = {
        "sourceBucket": of_bucket,
        "destinationBucket": f"arn:aws:s3:::{bucket}",
        "version": "2016-11-30",
        "creationTimestamp": "1769846400000",
        "fileFormat": file_format,
        "fileSchema": CSV_SCHEMA if file_format == "CSV" else PARQUET_TEXT,
        "files": named,
    }
    body = json.dumps(manifest | changed, indent=2).encode()
    place = f"{folder}/2026-01-31T01-00Z"
    client.put_object(Bucket=bucket, Key=f"{place}/manifest.json", Body=body)
    client.put_object(Bucket=bucket, Key=f"{place}/manifest.checksum", Body=hashlib.md5(body).hexdigest().encode())
    return f"s3://{bucket}/{place}/manifest.json"
