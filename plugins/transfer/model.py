"""The data classes that the engine passes around. All are frozen; sizes are in bytes, times in seconds since the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, StrEnum

from transfer.errors import Stage, TransferError
from transfer.quick_init import quick_init


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """One object of the source bucket, as S3 listed it."""

    key: str
    size_bytes: int
    etag: str
    """The ETag without quotes: usually an MD5, or `md5-of-md5s-N` for a multipart object."""
    last_modified_s: int
    storage_class: str = "STANDARD"
    replaces_generation: int = 0
    """The generation of the destination object that the listing found; 0 if there was none. Uploads are conditional on it."""
    is_restored: bool = False
    """Whether the object is archived and has a restored copy that can be read now."""
    unreadable: SkipReason | None = None
    """Why the object cannot be read, if that is known before it is copied.

    ARCHIVED for an archive tier of Intelligent-Tiering, which an inventory and a HEAD report but a listing does not; or one of
    UNRESOLVED, whose value then also replaces the ETag (no ETag of S3 has this form).
    """
    version_id: str = ""
    """The S3 version to read; empty for the current version."""


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationObject:
    """One object of the destination bucket, as Cloud Storage reports it."""

    name: str
    size_bytes: int
    generation: int
    crc32c: str = ""
    """Base64 of the big-endian CRC32C, as Cloud Storage reports it."""
    md5: str = ""
    """The MD5 in hexadecimal; empty for composite and multipart objects, which have none."""
    source_etag: str = ""
    """From its label (`transfer/labels.py`): the ETag of the source object that it was copied from."""
    source_mtime: str = ""
    """From its label: when that source object was last modified, in seconds since the epoch."""
    proof: str = ""
    """From its label: the text that binds the label to the bytes (`labels.proof_text`)."""
    metageneration: int = 0
    """The version number of its metadata; 0 if it was not requested or the server does not report it."""
    created_at_s: float = math.inf
    """When this generation was written, by Cloud Storage's clock; infinite if it was not requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """One part of an upload in parts, as Cloud Storage stored it."""

    number: int
    """The part number, from 1."""
    size_bytes: int
    crc32c: str
    """Base64 of the CRC32C of the bytes that were sent; it equals the one that Cloud Storage reports for the stored part."""
    md5: str
    """The MD5 in hexadecimal; empty if it was not needed."""
    tag: str
    """The ETag that has to be sent to complete the upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """The content of one Pub/Sub message: a request to copy many small objects, or one large one."""

    run_id: str
    listing: str
    number: int
    """The position of the message among the messages of its listing, from 0."""
    objects: tuple[ObjectMeta, ...]
    attempt: int = 1
    """The pass of the run that published the message: 1 for the listing, and one more for each later publication."""

    @property
    def size_bytes(self) -> int:
        """The total size of its objects, in bytes."""
        return sum(item.size_bytes for item in self.objects)


class Proof(StrEnum):
    """The checksum of the source that a copy was compared with.

    In addition, the CRC32C of all bytes read is always compared with the CRC32C of the stored object.
    """

    ETAG_MD5 = "etag-md5"
    """The MD5 of the bytes read equals the source's ETag."""
    ETAG_MULTIPART = "etag-multipart"
    """The MD5 of the MD5s of the parts equals the source's ETag."""
    S3_CRC32C = "s3-crc32c"
    """The CRC32C of the bytes read equals the CRC32C that S3 stores for the whole object."""
    CRC32C = "crc32c"
    """The source has no checksum that can be recomputed (it is encrypted with KMS, or has parts of an unusual size)."""


class Evidence(StrEnum):
    """The evidence that a destination object has the same content as a source object (docs/proof.md)."""

    MD5 = "etag-md5"
    """The MD5 of the destination object equals the source's ETag."""
    MULTIPART_ETAG = "etag-multipart"
    """When the object was copied, the MD5 of its parts' MD5s equalled the source's ETag; its CRC32C has not changed since."""
    S3_CRC32C = "s3-crc32c"
    """When the object was copied, its CRC32C equalled the one that S3 stores for the source; it has not changed since."""
    LABEL = "label"
    """The object has a label with the source's ETag, bound to its bytes by their CRC32C, that does not name a proof."""
    TRANSPORT = "transport"
    """The CRC32C of the object equals that of the bytes read; the source has no checksum to compare it with."""
    NAME = "name"
    """An object of that name exists; its content was not compared."""


class SkipReason(StrEnum):
    """Why a listed object was not copied."""

    UNCHANGED = "unchanged"
    """The destination already has the same content (`transfer/comparison.py`)."""
    EXISTS = "exists"
    """An object of that name exists at the destination, and `overwrite` is `never`."""
    ARCHIVED = "archived"
    """The object is in an archive storage class and not restored."""
    PREFIX_ITSELF = "prefix-itself"
    """The key is the source prefix itself, so that its name at the destination would be empty."""
    OTHER_NAME = "not-selected-name"
    """The name does not match the include globs, or matches an exclude glob."""
    OTHER_SIZE = "not-selected-size"
    """The size is outside the selected range."""
    OTHER_TIME = "not-selected-time"
    """The modification time is outside the selected range."""
    OTHER_CLASS = "not-selected-class"
    """The storage class is not among those selected."""
    ABSENT = "absent"
    """A manifest names the key, but the source does not have it. The key is not published, and is reported as failed."""
    FORBIDDEN = "forbidden"
    """Like ABSENT, but S3 refused the request for the key (403)."""
    ENCRYPTED = "encrypted"
    """Like ABSENT, but S3 answers requests for the object only with its encryption key (SSE-C)."""
    IDENTICAL = "identical"
    """The worker found that the object was copied already, because its message was delivered a second time."""


NOT_SELECTED = frozenset({SkipReason.OTHER_NAME, SkipReason.OTHER_SIZE, SkipReason.OTHER_TIME, SkipReason.OTHER_CLASS})
"""The reasons for objects that the run's selection leaves out (`transfer/listing/selection.py`)."""
NEVER_COPIED = frozenset({SkipReason.ARCHIVED, SkipReason.PREFIX_ITSELF, *NOT_SELECTED})
"""The reasons for which the listing skips an object regardless of the destination."""
UNRESOLVED = frozenset({SkipReason.ABSENT, SkipReason.FORBIDDEN, SkipReason.ENCRYPTED})
"""The reasons for keys that a manifest names and of which only the name is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """The outcome of an object that was uploaded and verified."""

    key: str
    size_bytes: int
    proof: Proof
    crc32c: str
    generation: int
    attempts: int
    seconds: float
    edge_request_id: str = ""
    is_bound: bool = True
    """Whether the destination object itself carries the evidence of its content; otherwise only this record does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """The outcome of an object that was not copied, for a reason that needs no action."""

    key: str
    size_bytes: int
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailure:
    """Why one object (or one message, when `key` is empty) was not copied, as it is published to the error topic."""

    key: str
    stage: Stage
    error_code: str
    http_status: int | None
    attempts: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The outcome of an object that could not be copied; `failure` says why."""

    failure: TransferFailure

    @property
    def key(self) -> str:
        """The key of the object that failed."""
        return self.failure.key


TransferOutcome = Copied | Skipped | Failed


ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes that cannot be read until restored (S3 User Guide, "Storage classes"); GLACIER_IR can be read at once."""


class Removed(Enum):
    """Whether a delete found an object to delete."""

    NOW = "now"
    """This request deleted the object."""
    BEFORE = "before"
    """The object was already gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenParts:
    """An upload in parts that was neither completed nor aborted."""

    token: str
    started_at_s: float
    """When the upload was started, by the server's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacedVersion:
    """An earlier generation of an object that was replaced or deleted and can be restored."""

    generation: int
    size_bytes: int
    crc32c: str
    source_etag: str
    """The ETag of the source object it was copied from; empty if its metadata does not name one."""
    restored_by: str
    """A shell command that restores it."""


class KeyState(Enum):
    """Whether the source bucket has a key, according to S3."""

    THERE = "there"
    GONE = "gone"
    UNSURE = "unsure"
    """S3 refused the request or did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKey:
    """The answer of the source bucket for one key."""

    state: KeyState
    last_modified_s: float = 0.0
    """For a key that exists: when the object was last modified, by S3's clock."""
    error: TransferError | None = None
    """For a key in state UNSURE: the error that prevented an answer."""
