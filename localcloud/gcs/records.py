"""Objects as the index holds them, and the preconditions on them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from localcloud.gcs.blobs import Segment
from localcloud.gcs.database import Row
from localcloud.gcs.errors import condition_not_met, not_modified
from localcloud.gcs.names import parse_count

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
    deleted_us: int | None = None
    """When it ceased to be the live object; None while it is."""
    expires_us: int | None = None
    """When it goes for good, of one that was deleted softly; None of a live one and of a noncurrent version."""

    @classmethod
    def from_row(cls, row: Row) -> ObjectRecord:
        """Decode a row of `objects` or `versions`."""
        segments = [Segment(*pair) for pair in json.loads(row[10])]
        values = [*row[:10], segments, decode_attributes(row[11]), *row[12:]]
        values[1] = values[1].decode()
        return cls(*values)

    def to_row(self) -> tuple[str | bytes | int | None, ...]:
        """Its row of `objects`."""
        segments = json.dumps([(segment.blob, segment.size_bytes) for segment in self.segments])
        numbers = (self.generation, self.metageneration, self.created_us, self.updated_us)
        content = (self.size_bytes, self.crc32c, self.md5, self.components, segments)
        return (self.bucket, self.name.encode(), *numbers, *content, encode_attributes(self.attributes))

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
