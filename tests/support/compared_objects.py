"""A listed object, and stored ones that hold it or not."""

from __future__ import annotations

from typing import Any

from transfer.model import DestinationObject, ObjectMeta

ITEM = ObjectMeta(key="in/k", size_bytes=5, etag="5d41402abc4b2a76b9719d911017c592", last_modified_s=1_700_000_000)
BOUND: dict[str, Any] = {"crc32c": "AAAAAA==", "proof": "crc32c=AAAAAA==; proof=etag-multipart"}
SAME = DestinationObject(name="out/k", size_bytes=5, generation=3, source_etag=ITEM.etag, **BOUND)
OTHER = DestinationObject(name="out/k", size_bytes=5, generation=3, source_etag="f" * 32, **BOUND)
