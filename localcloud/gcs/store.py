"""Buckets and objects: content in files (see blobs.py), everything else in the index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from localcloud.gcs.blobs import Blobs, Content, Segment
from localcloud.gcs.database import Database
from localcloud.gcs.errors import ApiError, no_bucket, no_object
from localcloud.gcs.names import check_attributes, check_bucket_name, check_object_name
from localcloud.gcs.policies import check_bucket_settings, check_replaceable, is_versioned, soft_delete_s
from localcloud.gcs.records import (
    ALWAYS,
    Attributes,
    Conditions,
    ObjectRecord,
    decode_attributes,
    encode_attributes,
)

__all__ = ["ALWAYS", "Attributes", "Conditions", "ObjectRecord", "Store", "decode_attributes", "encode_attributes"]

_STATE = {True: "expires_us IS NOT NULL", False: "expires_us IS NULL"}
"""Which versions: those softly deleted, or those noncurrent."""


def _holes(row: Sequence[object]) -> str:
    return ",".join("?" * len(row))


def _key(record: ObjectRecord) -> tuple[str, bytes, int]:
    return record.bucket, record.name.encode(), record.generation


class Store:
    """The buckets of one data directory. Thread-safe; one process at a time."""

    def __init__(self, data_dir: Path, check_insert: Callable[[str, str], None] = lambda bucket, name: None) -> None:
        """`check_insert` is asked for each bucket and name before an object is made; it may raise ApiError."""
        self._check_insert = check_insert
        self.blobs = Blobs(data_dir / "content")
        self.db = Database(data_dir / "index.sqlite3")
        self._purge()

    def close(self) -> None:
        """Close the index."""
        self.db.close()

    # Buckets

    def create_bucket(self, name: str, attributes: Attributes) -> None:
        """Raises ApiError 400 for a bad name, 409 when the bucket is there."""
        check_bucket_name(name)
        check_bucket_settings(attributes)
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

    def change_bucket(self, name: str, changes: Attributes) -> None:
        """Set a bucket's settings; None removes one. Raises ApiError 400 or 404."""
        with self.db.transaction():
            attributes = {key: value for key, value in (self.bucket(name)[2] | changes).items() if value is not None}
            check_bucket_settings(attributes)
            self.db.execute("UPDATE buckets SET attributes=? WHERE name=?", json.dumps(attributes), name)

    def bucket_names(self) -> list[str]:
        """Every bucket, in order."""
        return [name for (name,) in self.db.execute("SELECT name FROM buckets ORDER BY name")]

    def delete_bucket(self, name: str) -> None:
        """Raises ApiError 404, or 409 when there are objects in it."""
        with self.db.transaction():
            self.bucket(name)
            noncurrent = "SELECT 1 FROM versions WHERE bucket=? AND expires_us IS NULL LIMIT 1"
            if self.db.first("SELECT 1 FROM objects WHERE bucket=? LIMIT 1", name) or self.db.first(noncurrent, name):
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
        self,
        bucket: str,
        name: str,
        generation: str | None = None,
        conditions: Conditions = ALWAYS,
        *,
        soft_deleted: bool = False,
    ) -> ObjectRecord:
        """The live object, or the version of a generation. Raises ApiError 404, or for a reader's condition 412 or 304."""
        record = self.find(bucket, name)
        if soft_deleted or (generation and (record is None or generation != str(record.generation))):
            record = self._version(bucket, name, generation, soft_deleted=soft_deleted)
        if record is None:
            raise no_object(bucket, name)
        conditions.check(record, reading=True)
        return record

    def _version(self, bucket: str, name: str, generation: str | None, *, soft_deleted: bool) -> ObjectRecord | None:
        statement = f"SELECT * FROM versions WHERE bucket=? AND name=? AND generation=? AND {_STATE[soft_deleted]}"  # noqa: S608
        number = int(generation) if generation and generation.isdecimal() else -1
        row = self.db.first(statement, bucket, name.encode(), number)
        return None if row is None else ObjectRecord.from_row(row)

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
        check_attributes(attributes)
        self._check_insert(bucket, name)
        with self.db.transaction():
            old = self.find(bucket, name)
            conditions.check(old)
            settings = self.bucket(bucket)[2]
            if settings.get("defaultEventBasedHold"):
                attributes = {"eventBasedHold": True} | attributes
            unused = [] if old is None else self._retire(old, settings)
            now = self.blobs.tick()
            known = (content.size_bytes, content.crc32c, content.md5, content.components, list(content.segments))
            record = ObjectRecord(bucket, name, now, 1, now, now, *known, attributes)
            row = record.to_row()
            self.db.execute(f"INSERT OR REPLACE INTO objects VALUES({_holes(row)})", *row)
        self.blobs.drop(unused)
        return record

    def _retire(self, record: ObjectRecord, settings: Attributes, *, for_good: bool = False) -> list[Segment]:
        """A live object is so no more: a noncurrent version, softly deleted, or gone; the content that nobody needs then.

        `for_good` is for a deletion that names the generation. Raises ApiError 403.
        """
        check_replaceable(record, settings)
        now_us = self.blobs.tick()
        expires_us = None
        if for_good or not is_versioned(settings):
            if not (kept_s := soft_delete_s(settings)):
                return list(record.segments)
            expires_us = now_us + kept_s * 1_000_000
        row = (*record.to_row(), now_us, expires_us)
        self.db.execute(f"INSERT OR REPLACE INTO versions VALUES({_holes(row)})", *row)
        return []

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
            check_attributes(attributes)
            self.db.execute(
                "UPDATE objects SET attributes=?, metageneration=metageneration+1, updated_us=? "
                "WHERE bucket=? AND name=?",
                *(encode_attributes(attributes), self.blobs.tick(), bucket, name.encode()),
            )
            return self.get(bucket, name)

    def delete(self, bucket: str, name: str, generation: str | None, conditions: Conditions) -> None:
        """Raises ApiError 403, 404 or 412."""
        with self.db.transaction():
            record = self.find(bucket, name)
            conditions.check(record)
            settings = self.bucket(bucket)[2]
            if record is not None and generation in (None, "", str(record.generation)):
                unused = self._retire(record, settings, for_good=bool(generation))
                self.db.execute("DELETE FROM objects WHERE bucket=? AND name=?", bucket, name.encode())
            elif (old := self._version(bucket, name, generation, soft_deleted=False)) is not None:
                self.db.execute("DELETE FROM versions WHERE bucket=? AND name=? AND generation=?", *_key(old))
                unused = self._retire(old, settings, for_good=True)
            else:
                raise no_object(bucket, name)
        self.blobs.drop(unused)

    def restore(self, bucket: str, name: str, generation: str, conditions: Conditions) -> ObjectRecord:
        """Make what was softly deleted the live object again, as a new generation. Raises ApiError 404 or 412."""
        with self.db.transaction():
            old = self.get(bucket, name, generation, soft_deleted=True)
            content = Content(self.blobs.link(old.segments), old.size_bytes, old.crc32c, old.md5, old.components)
            return self.put(bucket, name, content, old.attributes, conditions)

    def _purge(self) -> None:
        """What was softly deleted long enough ago."""
        statement = "SELECT * FROM versions WHERE expires_us<?"
        with self.db.transaction():
            ended = [ObjectRecord.from_row(row) for row in self.db.execute(statement, self.blobs.tick())]
            for record in ended:
                self.db.execute("DELETE FROM versions WHERE bucket=? AND name=? AND generation=?", *_key(record))
        for record in ended:
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
