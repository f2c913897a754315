"""When a destination object holds what a source object holds. Never by the name alone."""

from __future__ import annotations

import re

from transfer.model import DestinationObject, ObjectMeta

_MD5_ETAG = re.compile(r"[0-9a-f]{32}")


def is_md5(etag: str) -> bool:
    """Whether an ETag has the form of an MD5; one with KMS encryption has it, too, and is none (see `holds`)."""
    return bool(_MD5_ETAG.fullmatch(etag))


def difference(stored: DestinationObject | None, item: ObjectMeta) -> str:
    """For people: why a destination object does not hold what a source object holds; empty when it is not there."""
    if stored is None:
        return ""
    if stored.size_bytes != item.size_bytes:
        return f"{item.size_bytes:,} bytes in the source, {stored.size_bytes:,} at the destination"
    if stored.source_etag:
        return f"the source's ETag is {item.etag}, and what is there was copied from {stored.source_etag}"
    if is_md5(item.etag) and stored.md5:
        return f"the source's ETag is {item.etag}, and the MD5 of what is there {stored.md5}"
    return "of the same size, but nothing there says what it was copied from"


def holds(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether size agrees, and the source's ETag (kept by the upload) or the MD5 does."""
    if stored.size_bytes != item.size_bytes:
        return False
    if stored.source_etag:
        return stored.source_etag == item.etag
    return is_md5(item.etag) and stored.md5 == item.etag
