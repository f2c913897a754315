"""The records of the engine. All are frozen; sizes are in bytes, times in seconds since the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from transfer.errors import Stage
from transfer.quick_init import quick_init


@quick_init
@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """One object as S3 listed it."""

    key: str
    size_bytes: int
    etag: str
    """Without quotes: an MD5, or `md5-of-md5s-N` for a multipart object."""
    last_modified: int
    storage_class: str = "STANDARD"
    replaces_generation: int = 0
    """The generation the listing saw at the destination; 0 when there was none. Uploads are conditional on it."""
    is_restored: bool = False
    """An archived object with a restored copy that can be read now."""
    unreadable: SkipReason | None = None
    """ARCHIVED in a tier of Intelligent-Tiering, which an inventory and a HEAD tell and a listing does not, or one of UNTOLD,
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
NEVER_TO_MOVE = frozenset({SkipReason.ARCHIVED, SkipReason.PREFIX_ITSELF, *NOT_SELECTED})
"""Skipped by the listing, whatever the destination holds."""


UNTOLD = frozenset({SkipReason.ABSENT, SkipReason.FORBIDDEN, SkipReason.ENCRYPTED})
"""Named by a manifest, and nothing more is known of it than its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Moved and verified."""

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


class Overwrite(StrEnum):
    """What to do with an object that is at the destination already."""

    CHANGED = "changed"
    NEVER = "never"
    ALWAYS = "always"


class Mode(StrEnum):
    """What a run is for."""

    TRANSFER = "transfer"
    PLAN = "plan"
    """List both sides and say what a transfer would do and cost."""
    VERIFY = "verify"
    """List both sides and say what is missing or differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for either side, in seconds."""

    connect_s: float = 10.0
    stall_s: float = 60.0
    """A transfer that moves less than 1 KiB a second for this long is broken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015)."""

    attempts: int = 7
    base_s: float = 0.5
    cap_s: float = 32.0
    """Cloud Storage's guidance for truncated exponential back-off caps at 32 to 64 s."""
    total_s: float = 300.0
    """No further try is begun this long after the first that failed."""


MIN_PART_BYTES = 5 * 1024 * 1024
"""Of an upload in parts, for all but the last one (Cloud Storage and S3, "Quotas")."""
MAX_PART_BYTES = 5 * 1024**3
"""Of an upload in parts (the same pages)."""
MAX_PARTS = 10_000
"""Of an upload in parts, in Cloud Storage and in S3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """How a worker moves objects."""

    threads: int = 16
    """Objects on their way at a time."""
    part_size_bytes: int = 32 * 1024 * 1024
    """How much of an object in parts one GET fetches, and the size of its parts where the source's own is not known."""
    whole_bytes: int = 256 * 1024
    """Objects up to this size are fetched whole before they are sent; it bounds the memory of a lane."""
    parallel_bytes: int = 64 * 1024 * 1024
    """From this size on an upload is worth going on with after a crash, and worth several lanes."""
    bandwidth_limit_bytes_per_s: float | None = None
    """What this worker may read from the edge; None for no limit."""
    max_requests_per_s: float | None = None
    """What this worker may send, to both sides together; None for no limit."""
    is_ramped: bool = True
    """Whether writes keep to Cloud Storage's ramp-up guideline (`transfer/accounting/pacing.py`); a warm bucket needs none."""
    workers: int = 1
    """How many workers write to the bucket at a time: each gets its share of the ramp-up."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 256:
            raise ValueError(f"threads is {self.threads}: choose 1 to 256")
        if self.part_size_bytes < MIN_PART_BYTES:
            raise ValueError(f"part_size_bytes is {self.part_size_bytes}: choose {MIN_PART_BYTES} (5 MiB) or more")
        for name in ("bandwidth_limit_bytes_per_s", "max_requests_per_s"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{name} is {limit}: choose a number above 0, or None for no limit")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}: choose how many share the bucket, 1 or more")
