"""The records of the engine. All are frozen; sizes are in bytes, times in seconds since the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, StrEnum

from transfer.errors import Stage, TransferError
from transfer.quick_init import quick_init


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """One object as S3 listed it."""

    key: str
    size_bytes: int
    etag: str
    """Without quotes: an MD5, or `md5-of-md5s-N` for a multipart object."""
    last_modified_s: int
    storage_class: str = "STANDARD"
    replaces_generation: int = 0
    """The generation the listing saw at the destination; 0 when there was none. Uploads are conditional on it."""
    is_restored: bool = False
    """An archived object with a restored copy that can be read now."""
    unreadable: SkipReason | None = None
    """ARCHIVED in a tier of Intelligent-Tiering, which an inventory and a HEAD tell and a listing does not, or one of UNRESOLVED,
    which then also stands in place of the ETag: no ETag of S3's has this form."""
    version_id: str = ""
    """The version to read; empty for the current one."""


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationObject:
    """One object as Cloud Storage has it."""

    name: str
    size_bytes: int
    generation: int
    crc32c: str = ""
    """Base64 of the big-endian CRC32C, as Cloud Storage gives it."""
    md5: str = ""
    """Hexadecimal; empty for composite and multipart objects, which have none."""
    source_etag: str = ""
    """Of its label (`transfer/labels.py`): the ETag of what it was copied from."""
    source_mtime: str = ""
    """Of its label: when that was last modified, in seconds since the epoch."""
    proof: str = ""
    """Of its label: what binds it to the bytes."""
    metageneration: int = 0
    """Which version of its metadata this is; 0 where nobody asked, or the server does not say."""
    created_at_s: float = math.inf
    """When this generation was written, by Cloud Storage's clock; infinite where nobody asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """One part of an upload in parts, as Cloud Storage has it."""

    number: int
    """From 1."""
    size_bytes: int
    crc32c: str
    """Base64, of the bytes read, equal to what Cloud Storage says it stored."""
    md5: str
    """Hexadecimal; empty where nobody needed it."""
    tag: str
    """The ETag that completing the upload asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """What one Pub/Sub message asks for: many small objects, or one large one."""

    run_id: str
    listing: str
    number: int
    """Position among the messages of its listing, from 0."""
    objects: tuple[ObjectMeta, ...]
    attempt: int = 1
    """Which pass of the run asks for them: 1 for the listing's own, then one more for each time they are published again."""

    @property
    def size_bytes(self) -> int:
        """The bytes of all its objects."""
        return sum(item.size_bytes for item in self.objects)


class Proof(StrEnum):
    """What shows that the destination holds the source's bytes, besides CRC32C of all that was read against all stored."""

    ETAG_MD5 = "etag-md5"
    """The MD5 of what was read equals the source's ETag."""
    ETAG_MULTIPART = "etag-multipart"
    """The MD5 of the MD5s of the parts equals the source's ETag."""
    S3_CRC32C = "s3-crc32c"
    """The CRC32C of what was read equals the one that S3 keeps of the whole object."""
    CRC32C = "crc32c"
    """The source names no checksum that could be computed again (KMS-encrypted, or parts of an unusual size)."""


class Evidence(StrEnum):
    """On what it rests that a destination object holds what a source object holds (docs/proof.md)."""

    MD5 = "etag-md5"
    """Its MD5 equals the source's ETag."""
    MULTIPART_ETAG = "etag-multipart"
    """When it was copied, the MD5 of the MD5s of its parts equalled the source's ETag; its CRC32C is still the same."""
    S3_CRC32C = "s3-crc32c"
    """Its CRC32C is that which S3 keeps of the source."""
    LABEL = "label"
    """It bears the source's ETag, bound to its bytes by their CRC32C, and nothing says what proved them."""
    TRANSPORT = "transport"
    """Its CRC32C is that of what was read; the source names nothing with which to compare it."""
    NAME = "name"
    """Something of that name is there; nobody looked at what it holds."""


class SkipReason(StrEnum):
    """Why a listed object was not copied."""

    UNCHANGED = "unchanged"
    """The destination already holds it (`transfer/comparison.py`)."""
    EXISTS = "exists"
    """Something of that name is there, and `overwrite` is `never`."""
    ARCHIVED = "archived"
    """In an archive storage class and not restored."""
    PREFIX_ITSELF = "prefix-itself"
    """Its key is the source prefix itself, so that no name is left at the destination."""
    OTHER_NAME = "not-selected-name"
    """Its name is not among those included, or among those excluded."""
    OTHER_SIZE = "not-selected-size"
    OTHER_TIME = "not-selected-time"
    OTHER_CLASS = "not-selected-class"
    ABSENT = "absent"
    """A manifest names it, and the source does not have it. It is not published, and ends as failed."""
    FORBIDDEN = "forbidden"
    """The same of one that S3 refuses to tell of."""
    ENCRYPTED = "encrypted"
    """The same of one that S3 tells of only to who has its key (SSE-C)."""
    IDENTICAL = "identical"
    """A worker found it finished already: a second delivery of a message."""


NOT_SELECTED = frozenset({SkipReason.OTHER_NAME, SkipReason.OTHER_SIZE, SkipReason.OTHER_TIME, SkipReason.OTHER_CLASS})
"""What the run's selection leaves out (`transfer/listing/selection.py`)."""
NEVER_COPIED = frozenset({SkipReason.ARCHIVED, SkipReason.PREFIX_ITSELF, *NOT_SELECTED})
"""Skipped by the listing, whatever the destination holds."""
UNRESOLVED = frozenset({SkipReason.ABSENT, SkipReason.FORBIDDEN, SkipReason.ENCRYPTED})
"""Named by a manifest, and nothing more is known of it than its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """UploadResult and verified."""

    key: str
    size_bytes: int
    proof: Proof
    crc32c: str
    generation: int
    attempts: int
    seconds: float
    edge_request_id: str = ""
    is_bound: bool = True
    """Whether what is there shows by itself what it holds; else only this record does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Not copied, for a reason that needs no action."""

    key: str
    size_bytes: int
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailure:
    """Why one object (or one message, when `key` is empty) was not moved, as the error topic carries it."""

    key: str
    stage: Stage
    error_code: str
    http_status: int | None
    attempts: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Not moved; the failure record says why."""

    failure: TransferFailure

    @property
    def key(self) -> str:
        """The object's key."""
        return self.failure.key


TransferOutcome = Copied | Skipped | Failed


ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Unreadable until restored (S3 User Guide, "Storage classes"); GLACIER_IR is read at once."""


class Removed(Enum):
    """Whether a delete found something to delete."""

    NOW = "now"
    BEFORE = "before"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenParts:
    """An upload in parts that was neither completed nor ended."""

    token: str
    started_at_s: float
    """By the server's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacedVersion:
    """What was the object of a name once, and can be brought back."""

    generation: int
    size_bytes: int
    crc32c: str
    source_etag: str
    """Of what it was copied from; empty where it says nothing."""
    restored_by: str
    """A command that brings it back."""


class KeyState(Enum):
    """What S3 says of one key."""

    THERE = "there"
    GONE = "gone"
    UNSURE = "unsure"
    """It was refused, or no answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKey:
    """One key, asked for."""

    state: KeyState
    last_modified_s: float = 0.0
    """Of one that is there, by S3's clock."""
    error: TransferError | None = None
    """Of one of which nothing can be told, why."""
