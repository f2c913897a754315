"""Reads every source object with boto3 and every destination object with google-cloud-storage, and compares them.

It shares no code with the pipeline, so an error in the engine cannot hide itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from requests.adapters import HTTPAdapter

from demo.upload import cancelling_pool, listing

THREADS = 8
CHUNK_BYTES = 1024 * 1024

CONTENT_HEADERS = {
    "ContentType": "content_type",
    "ContentEncoding": "content_encoding",
    "ContentDisposition": "content_disposition",
    "ContentLanguage": "content_language",
    "CacheControl": "cache_control",
}
"""Content headers: the name that boto3 uses, and the name that google-cloud-storage uses."""

STORAGE_CLASSES = {
    "STANDARD": "STANDARD",
    "INTELLIGENT_TIERING": "STANDARD",
    "STANDARD_IA": "NEARLINE",
    "ONEZONE_IA": "NEARLINE",
    "GLACIER_IR": "COLDLINE",
}
"""The storage class that the documentation promises for each S3 class that the demo uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The outcome: every object is matched, missing, differing (key, how), or extra at the destination."""

    objects: int
    bytes_read: int
    matched: int
    missing: tuple[str, ...] = ()
    differing: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()


def gcs_client(url: str, project: str) -> storage.Client:
    """A google-cloud-storage client for an endpoint without authentication."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=2 * THREADS))
    return storage.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=url),
        _http=session,
    )


def verify(
    s3: Any,
    source_bucket: str,
    gcs: storage.Client,
    destination_bucket: str,
    *,
    source_prefix: str = "",
    destination_prefix: str = "",
    records_prefix: str = ".edgehaul/",
    on_object: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Compare two buckets, bytes, metadata and headers. The pipeline's own records are under `records_prefix`.

    `on_object` gets the size in bytes of each object that was read.
    """
    sources = {
        destination_prefix + key[len(source_prefix) :]: key for key, _ in listing(s3, source_bucket, source_prefix)
    }
    blobs = {
        blob.name: blob
        for blob in gcs.list_blobs(destination_bucket, prefix=destination_prefix)
        if not blob.name.startswith(records_prefix)
    }

    def compare(name: str) -> tuple[str, str, int]:
        source = s3.get_object(Bucket=source_bucket, Key=sources[name])
        differences, size_bytes = _differences(source, blobs[name])
        return name, "; ".join(differences), size_bytes

    matched, bytes_read, differing = 0, 0, []
    with cancelling_pool(THREADS) as pool:
        for name, difference, size_bytes in pool.map(compare, sorted(sources.keys() & blobs.keys())):
            bytes_read += size_bytes
            on_object(size_bytes)
            if difference:
                differing.append((sources[name], difference))
            else:
                matched += 1
    return Verification(
        objects=len(sources),
        bytes_read=bytes_read,
        matched=matched,
        missing=tuple(sorted(sources[name] for name in sources.keys() - blobs.keys())),
        differing=tuple(differing),
        extra=tuple(sorted(blobs.keys() - sources.keys())),
    )


def _differences(source: Mapping[str, Any], blob: storage.Blob) -> tuple[list[str], int]:
    """How a blob differs from the answer to a GET of its source, and the source's size in bytes."""
    found = []
    expected, actual = _HashingFile(), _HashingFile()
    for chunk in source["Body"].iter_chunks(CHUNK_BYTES):
        expected.write(chunk)
    blob.download_to_file(actual, raw_download=True)  # as stored: gzip stays gzip
    if expected.size_bytes != actual.size_bytes:
        found.append(f"{actual.size_bytes} bytes instead of {expected.size_bytes}")
    elif expected.digest() != actual.digest():
        found.append("other bytes")
    for theirs, ours in CONTENT_HEADERS.items():
        wanted, there = source.get(theirs) or None, getattr(blob, ours)
        if wanted != there:
            found.append(f"{theirs} {there!r} instead of {wanted!r}")
    stored = blob.metadata or {}
    for name, value in source["Metadata"].items():
        if stored.get(name) != value:
            found.append(f"metadata {name!r} is {stored.get(name)!r} instead of {value!r}")
    storage_class = STORAGE_CLASSES[source.get("StorageClass") or "STANDARD"]
    if blob.storage_class != storage_class:
        found.append(f"storage class {blob.storage_class} instead of {storage_class}")
    return found, expected.size_bytes


class _HashingFile:
    """A file object that keeps only the SHA-256 and the size of the data written to it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        pass

    def digest(self) -> bytes:
        return self._hash.digest()
