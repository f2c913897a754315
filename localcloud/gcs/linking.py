"""New objects out of existing ones, by linking their content: compose and copy."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.gcs.blobs import NO_MD5, Content
from localcloud.gcs.checksums import combine_crc32c
from localcloud.gcs.errors import invalid
from localcloud.gcs.names import parse_count
from localcloud.gcs.receiving import keep
from localcloud.gcs.resources import writable
from localcloud.gcs.store import Conditions, ObjectRecord, Store

MAX_SOURCES = 32


def compose(store: Store, bucket: str, name: str, request: dict[str, object], conditions: Conditions) -> ObjectRecord:
    """Join up to 32 objects of a bucket. Raises ApiError 400, 404 or 412."""
    sources = request.get("sourceObjects")
    if not isinstance(sources, list) or not 1 <= len(sources) <= MAX_SOURCES:
        raise invalid(f"The number of source components provided must be between 1 and {MAX_SOURCES}.")
    attributes = writable(request.get("destination") or {})
    with store.db.transaction():
        records = [_source(store, bucket, source) for source in sources]
        if "contentType" in records[0].attributes:
            attributes.setdefault("contentType", records[0].attributes["contentType"])
        content = Content(
            store.blobs.link([segment for record in records for segment in record.segments]),
            sum(record.size_bytes for record in records),
            combine_crc32c((record.crc32c, record.size_bytes) for record in records),
            NO_MD5,
            sum(record.components or 1 for record in records),
        )
        return keep(store, bucket, name, content, attributes, conditions)


def _source(store: Store, bucket: str, source: object) -> ObjectRecord:
    if not isinstance(source, dict):
        raise invalid("Invalid Value")
    generation = source.get("generation")
    record = store.get(bucket, str(source.get("name")), str(generation) if generation else None)
    conditions = source.get("objectPreconditions")
    if isinstance(conditions, dict) and "ifGenerationMatch" in conditions:
        Conditions(generation=parse_count(str(conditions["ifGenerationMatch"]))).check(record)
    return record


def copy(
    store: Store, source: Sequence[str], target: Sequence[str], resource: dict[str, object], query: dict[str, str]
) -> ObjectRecord:
    """Copy between (bucket, name) pairs; a resource that sets anything replaces the source's metadata.

    Raises ApiError 400, 404 or 412.
    """
    with store.db.transaction():
        record = store.get(source[0], source[1], query.get("sourceGeneration"))
        Conditions.from_query(query, "ifSource").check(record)
        attributes = record.attributes
        if new := writable(resource):
            attributes = {key: value for key, value in attributes.items() if key == "contentType"} | new
        content = Content(
            store.blobs.link(record.segments), record.size_bytes, record.crc32c, record.md5, record.components
        )
        return keep(store, target[0], target[1], content, attributes, Conditions.from_query(query))
