"""Whether a write at the destination is a copy of a version of the source, by the documents' own words."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from engine_chaos.history import History, Version, Write

CLASSES = {"STANDARD_IA": "NEARLINE", "ONEZONE_IA": "NEARLINE", "GLACIER_IR": "COLDLINE"}
FIELDS = {"ContentType": "contentType", "CacheControl": "cacheControl", "ContentDisposition": "contentDisposition"}
SLOW_PUT_S = 10
OWN_LABELS = ("goog-", "x-goog-", "edgehaul", "s3-storage-class")


def is_copy(write: Write, version: Version) -> bool:
    """Whether it has the bytes and the metadata of a version, as the documents say that they are kept."""
    attributes, arguments = write.attributes, version.arguments
    if write.md5 != version.md5:
        return False
    defaults = {"ContentType": "binary/octet-stream"}
    for argument, field in FIELDS.items():
        if attributes.get(field, "") != arguments.get(argument, defaults.get(argument, "")):
            return False
    storage_class = str(arguments.get("StorageClass", "STANDARD"))
    if attributes.get("storageClass", "STANDARD") != CLASSES.get(storage_class, "STANDARD"):
        return False
    metadata = attributes.get("metadata") or {}
    own = {name: text for name, text in metadata.items() if name.startswith(OWN_LABELS)}
    if own.get("x-goog-source-etag") != version.etag:
        return False
    # S3 has set its time when it had the whole, shortly before this process knew.
    if not 0 <= version.written_at - int(own.get("goog-reserved-file-mtime", "0")) < SLOW_PUT_S:
        return False
    return {name: text for name, text in metadata.items() if name not in own} == (arguments.get("Metadata") or {})


def is_damaged_alike(history: History, key: str | None, versions: Iterable[Version]) -> bool:
    """Whether an object in parts came damaged in the same place at least twice.

    Its ETag says nothing where the sizes of its parts are guessed. The engine reads such an object again, and believes
    what it reads twice alike; a fault plan damages the same byte each time, which no network does.
    """
    in_parts = any("-" in version.etag for version in versions)
    damaged = history.struck("edge", key=quote(key or "", safe="/~"))["corrupt"]
    return in_parts and damaged >= 2
