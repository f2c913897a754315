"""Proves that bytes are the source's: computes the source's own checksums (ETag, CRC32C) from the bytes that were read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from transfer.comparison import has_etag, is_md5
from transfer.config import MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES
from transfer.errors import CorruptTransfer, SourceUnproven, Stage
from transfer.model import DestinationObject, ObjectMeta, Proof

MIB = 1024 * 1024
COMMON_PART_SIZES_MIB = (
    8,
    16,
    5,
    64,
    100,
    50,
    32,
    10,
    15,
    20,
    25,
    128,
    256,
    512,
    6,
    7,
    12,
    24,
    40,
    48,
    80,
    96,
    200,
    1024,
)
"""Part sizes in MiB that S3 clients use, the likeliest first: AWS CLI and boto3 8, rclone 5, s5cmd 50, s3a 64 and 100."""
MAX_GUESSES = 3
"""How many part sizes are tried for one object. Each costs an MD5 of all its bytes; several fit only where parts are few."""

_MULTIPART_ETAG = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResult:
    """An object that was stored and checked, and the proof of its bytes."""

    stored: DestinationObject
    proof: Proof
    edge_request_id: str
    """CloudFront's `x-amz-cf-id`, for its support; empty where no bytes were read."""


def server_md5(item: ObjectMeta, headers: Mapping[str, str]) -> str:
    """The object's MD5 (hexadecimal), for Cloud Storage to check; empty where the ETag is not an MD5."""
    return item.etag if is_md5(item.etag) and not is_encrypted(headers) else ""


def require_identity(proof: Proof, headers: Mapping[str, str]) -> None:
    """Check that the response or its bytes show that they are the listed object's. Raises SourceUnproven if neither does.

    A CRC32C of S3's in the same response shows that the bytes arrived as they were sent, and not that they are the listed
    object's.
    """
    if proof in (Proof.CRC32C, Proof.S3_CRC32C) and not has_etag(headers):
        raise SourceUnproven(
            "the edge sends no ETag, and the bytes alone do not prove that they are those of the listed object; let the"
            " distribution's response headers policy pass ETag on",
            stage=Stage.DOWNLOAD,
        )


def source_part_bytes(item: ObjectMeta) -> int | None:
    """The part size in bytes that the object was most likely written with; None if unknown, or not valid in Cloud Storage."""
    multipart = _MULTIPART_ETAG.fullmatch(item.etag)
    if multipart is None:
        return None
    if (count := int(multipart[2])) > MAX_PARTS:
        return None
    sizes = likely_part_sizes(item.size_bytes, count)
    return next((size for size in sizes if MIN_PART_BYTES <= size <= MAX_PART_BYTES), None)


def multipart_etag(md5s: Sequence[str]) -> str:
    """The ETag of an object whose parts have these MD5s (hexadecimal), in order."""
    joined = b"".join(bytes.fromhex(md5) for md5 in md5s)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(md5s)}"


def is_encrypted(headers: Mapping[str, str]) -> bool:
    """Whether the object is encrypted with KMS or a customer's key (SSE-C), so that its ETag is not a checksum."""
    encryption = headers.get("x-amz-server-side-encryption", "")
    return encryption.startswith("aws:kms") or "x-amz-server-side-encryption-customer-algorithm" in headers


class SourceDigest:
    """Hashes an object's bytes in order, and reports at the end which proof they give. One instance per object.

    An ETag is the MD5 of a single PUT, or the MD5 of the parts' MD5s with their number, unless the object is encrypted
    with KMS or a customer's key (S3 API Reference, "Object"; S3 User Guide, "Checking object integrity").
    """

    def __init__(self, item: ObjectMeta, headers: Mapping[str, str]) -> None:
        self.is_doubtful = False
        """After `prove`: no guessed part size gives the ETag. Either the guesses are wrong, or a byte is."""
        self._etag = item.etag
        self._headers = headers
        self._whole: _WholeEtag | None = None
        self._parts: list[_PartsEtag] = []
        if is_encrypted(headers):
            return
        if is_md5(item.etag):
            self._whole = _WholeEtag()
        elif multipart := _MULTIPART_ETAG.fullmatch(item.etag):
            self._parts = [_PartsEtag(size) for size in likely_part_sizes(item.size_bytes, int(multipart[2]))]

    @property
    def may_prove(self) -> bool:
        """Whether correct bytes could reproduce the ETag."""
        return self._whole is not None or bool(self._parts)

    def update(self, body: bytes | memoryview) -> None:
        """Hash the next bytes."""
        if self._whole is not None:
            self._whole.update(body)
        for guess in self._parts:
            guess.update(memoryview(body))

    def prove(self) -> Proof:
        """The proof that all the bytes give. Raises CorruptTransfer when they are certainly not the source's.

        The part size of a multipart object is guessed, so a different multipart ETag alone does not show damage.
        """
        if self._whole is not None:
            if (md5 := self._whole.etag()) != self._etag:
                raise CorruptTransfer(
                    f"the bytes read have MD5 {md5}, and the source's ETag is {self._etag}", stage=Stage.DOWNLOAD
                )
            return Proof.ETAG_MD5
        if any(guess.etag() == self._etag for guess in self._parts):
            return Proof.ETAG_MULTIPART
        self.is_doubtful = bool(self._parts)
        # The sink compares S3's CRC32C with that of the bytes that it stores.
        return Proof.S3_CRC32C if source_crc32c(self._headers) else Proof.CRC32C


class _WholeEtag:
    """Computes the ETag of an object written by a single PUT: the MD5 of its bytes."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, body: bytes | memoryview) -> None:
        self._md5.update(body)

    def etag(self) -> str:
        return self._md5.hexdigest()


class _PartsEtag:
    """Computes the ETag of an object written in parts of one size, of which the last may be shorter."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._md5s: list[str] = []
        self._start_part()

    def update(self, body: bytes | memoryview) -> None:
        while body:
            piece = body[: self._room_bytes]
            self._md5.update(piece)
            self._room_bytes -= len(piece)
            body = body[len(piece) :]
            if not self._room_bytes:
                self._end_part()

    def etag(self) -> str:
        if self._room_bytes < self._part_bytes or not self._md5s:
            self._end_part()
        return multipart_etag(self._md5s)

    def _start_part(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._room_bytes = self._part_bytes

    def _end_part(self) -> None:
        self._md5s.append(self._md5.hexdigest())
        self._start_part()


def likely_part_sizes(size_bytes: int, parts: int) -> list[int]:
    """The part sizes in bytes that give this object size this number of parts, the likeliest first; MAX_GUESSES at most."""
    if parts == 1:
        return [max(size_bytes, 1)]
    least, most = -(-size_bytes // parts), (size_bytes - 1) // (parts - 1)
    common = [size_mib * MIB for size_mib in COMMON_PART_SIZES_MIB if least <= size_mib * MIB <= most]
    round_ones = (unit * count for unit in (MIB, 1000 * 1000) for count in range(-(-least // unit), most // unit + 1))
    return (common or list(islice(round_ones, MAX_GUESSES)))[:MAX_GUESSES]


def source_crc32c(headers: Mapping[str, str]) -> str:
    """S3's own CRC32C (base64) of the whole object; empty where the response has none, or a composite one of the parts."""
    value = headers.get("x-amz-checksum-crc32c", "")
    # Without a type, in the response to a range request, it may be the checksum of the range alone.
    kind = headers.get("x-amz-checksum-type", "" if "content-range" in headers else "FULL_OBJECT")
    return value if kind.upper() == "FULL_OBJECT" and "-" not in value else ""
