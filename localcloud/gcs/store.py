"""Buckets and objects: content in files (see blobs.py), everything else in the index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from localcloud.gcs.blobs import Blobs, Content, Segment
from localcloud.gcs.database import Database, Row
from localcloud.gcs.errors import ApiError, condition_not_met, no_bucket, no_object, not_modified
from localcloud.gcs.names import check_bucket_name, check_metadata, check_object_name, parse_count

Attributes = dict[str, object]
"""What a writer sets on an object: contentType, metadata and so on, under their JSON API names."""


def encode_attributes(attributes: Attributes) -> str:
    """For the index."""
    return json.dumps(attributes)


def decode_attributes(text: str) -> Attributes:
    """From the index."""
    attributes: Attributes = json.loads(text)
    return attributes


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An object as the index holds it, in the order of the index's columns. Times are microseconds since 1970."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    created_us: int
    updated_us: int
    size_bytes: int
    crc32c: int
    md5: bytes | None
    components: int | None
    segments: list[Segment]
    attributes: Attributes

    @classmethod
    def from_row(cls, row: Row) -> ObjectRecord:
        """Decode a row of `objects`."""
        segments = [Segment(*pair) for pair in json.loads(row[10])]
        values = [*row[:10], segments, decode_attributes(row[11])]
        values[1] = values[1].decode()
        return cls(*values)

    @property
    def metadata(self) -> dict[str, str]:
        """The custom metadata."""
        metadata = self.attributes.get("metadata")
        return metadata if isinstance(metadata, dict) else {}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Preconditions on the live object; generation 0 means that there is none."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def from_query(cls, query: dict[str, str], prefix: str = "if") -> Conditions:
        """From `ifGenerationMatch` and its kin; with the prefix `ifSource`, from those of a copy's source."""
        names = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
        return cls(*(parse_count(text) if (text := query.get(prefix + name)) else None for name in names))

    def check(self, record: ObjectRecord | None, *, reading: bool = False) -> None:
        """Raises ApiError 412, or 304 for a reader who has this generation already."""
        generation = record.generation if record else 0
        metageneration = record.metageneration if record else 0
        if self.generation not in (None, generation) or self.metageneration not in (None, metageneration):
            raise condition_not_met()
        if generation == self.not_generation or metageneration == self.not_metageneration:
            raise not_modified() if reading else condition_not_met()

    def to_json(self) -> str:
        """For the index; read again by `Conditions(*json.loads(…))`."""
        return json.dumps([getattr(self, field.name) for field in fields(self)])


ALWAYS = Conditions()


class Store:
    """The buckets of one data directory. Thread-safe; one process at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.blobs = Blobs(data_dir / "content")
        self.db = Database(data_dir / "index.sqlite3")

    def close(self) -> None:
        """Close the index."""
        self.db.close()

    # Buckets

    def create_bucket(self, name: str, attributes: Attributes) -> None:
        """Raises ApiError 400 for a bad name, 409 when the bucket is there."""
        check_bucket_name(name)
        with self.db.transaction():
            if self.db.first("SELECT 1 FROM buckets WHERE name=?", name):
                message = "Your previous request to create the named bucket succeeded and you already own it."
                raise ApiError(409, "conflict", message, "BucketAlreadyOwnedByYou")
            self.db.execute("INSERT INTO buckets VALUES(?,?,?)", name, self.blobs.tick(), json.dumps(attributes))

    def bucket(self, name: str) -> tuple[str, int, Attributes]:
        """Name, creation in microseconds, attributes. Raises ApiError 404."""
        row = self.db.first("SELECT name, created_us, attributes FROM buckets WHERE name=?", name)
        if row is None:
            raise no_bucket()
        return row[0], row[1], json.loads(row[2])

    def bucket_names(self) -> list[str]:
        """Every bucket, in order."""
        return [name for (name,) in self.db.execute("SELECT name FROM buckets ORDER BY name")]

    def delete_bucket(self, name: str) -> None:
        """Raises ApiError 404, or 409 when there are objects in it."""
        with self.db.transaction():
            self.bucket(name)
            if self.db.first("SELECT 1 FROM objects WHERE bucket=? LIMIT 1", name):
                raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.", "BucketNotEmpty")
            self.db.execute("DELETE FROM buckets WHERE name=?", name)

    # Objects

    def find(self, bucket: str, name: str) -> ObjectRecord | None:
        """The live object, or None. Raises ApiError 404 when the bucket is not there."""
        row = self.db.first("SELECT * FROM objects WHERE bucket=? AND name=?", bucket, name.encode())
        if row is None:
            self.bucket(bucket)
            return None
        return ObjectRecord.from_row(row)

    def get(
        self, bucket: str, name: str, generation: str | None = None, conditions: Conditions = ALWAYS
    ) -> ObjectRecord:
        """The live object. Raises ApiError 404, or when a reader's precondition fails 412 or 304."""
        record = self.find(bucket, name)
        if record is None or generation not in (None, "", str(record.generation)):
            raise no_object(bucket, name)
        conditions.check(record, reading=True)
        return record

    @contextmanager
    def reading(self, bucket: str, name: str, generation: str | None, conditions: Conditions) -> Iterator[ObjectRecord]:
        """The live object, its content kept to the end of the block even when it is overwritten or deleted meanwhile.

        Raises what `get` raises.
        """
        with self.db.transaction():
            record = self.get(bucket, name, generation, conditions)
            self.blobs.hold(record.segments)
        try:
            yield record
        finally:
            self.blobs.release(record.segments)

    def put(
        self, bucket: str, name: str, content: Content, attributes: Attributes, conditions: Conditions = ALWAYS
    ) -> ObjectRecord:
        """Make content the live object. Raises ApiError 400, 404 or 412, and then leaves the content to the caller."""
        check_object_name(name)
        check_metadata(attributes)
        with self.db.transaction():
            old = self.find(bucket, name)
            conditions.check(old)
            now = self.blobs.tick()
            known = (content.size_bytes, content.crc32c, content.md5, content.components, list(content.segments))
            record = ObjectRecord(bucket, name, now, 1, now, now, *known, attributes)
            self._write(record)
        if old:
            self.blobs.drop(old.segments)
        return record

    def _write(self, record: ObjectRecord) -> None:
        segments = json.dumps([(segment.blob, segment.size_bytes) for segment in record.segments])
        numbers = (record.generation, record.metageneration, record.created_us, record.updated_us)
        content = (record.size_bytes, record.crc32c, record.md5, record.components, segments)
        self.db.execute(
            "INSERT OR REPLACE INTO objects VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
            *(record.bucket, record.name.encode(), *numbers, *content, encode_attributes(record.attributes)),
        )

    def change(
        self,
        bucket: str,
        name: str,
        generation: str | None,
        conditions: Conditions,
        change: Callable[[Attributes], Attributes],
    ) -> ObjectRecord:
        """Replace the live object's attributes by `change` of them. Raises ApiError 400, 404 or 412."""
        with self.db.transaction():
            old = self.get(bucket, name, generation)
            conditions.check(old)
            attributes = change(old.attributes)
            check_metadata(attributes)
            self.db.execute(
                "UPDATE objects SET attributes=?, metageneration=metageneration+1, updated_us=? "
                "WHERE bucket=? AND name=?",
                *(encode_attributes(attributes), self.blobs.tick(), bucket, name.encode()),
            )
            return self.get(bucket, name)

    def delete(self, bucket: str, name: str, generation: str | None, conditions: Conditions) -> None:
        """Raises ApiError 404 or 412."""
        with self.db.transaction():
            record = self.find(bucket, name)
            conditions.check(record)
            if record is None or generation not in (None, "", str(record.generation)):
                raise no_object(bucket, name)
            self.db.execute("DELETE FROM objects WHERE bucket=? AND name=?", bucket, name.encode())
        self.blobs.drop(record.segments)

    def with_md5(self, record: ObjectRecord) -> ObjectRecord:
        """The record with its MD5, worked out once if need be; NO_MD5 for composed and multipart objects."""
        if record.md5 is not None:
            return record
        try:
            digest = self.blobs.md5(record.segments, record.size_bytes)
        except FileNotFoundError:
            return record  # overwritten or deleted since it was looked up
        self.db.execute(
            "UPDATE objects SET md5=? WHERE bucket=? AND name=? AND generation=?",
            *(digest, record.bucket, record.name.encode(), record.generation),
        )
        return replace(record, md5=digest)
