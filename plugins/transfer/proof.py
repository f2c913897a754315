"""Which proof the bytes read give that they are the source's: its own checksums, computed again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from transfer.comparison import is_md5
from transfer.errors import CorruptTransfer, Stage
from transfer.model import ObjectMeta, Proof

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
"""Part sizes that writers use, the likeliest first: AWS CLI and boto3 8 MiB, rclone 5, s5cmd 50, s3a 64 and 100."""
MAX_GUESSES = 3
"""Each costs an MD5 of all bytes. Several fit only where the parts are few."""

_MULTIPART_ETAG = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})")


class SourceDigest:
    """Takes an object's bytes in order and says at the end what they prove. One object a digest.

    An ETag is the MD5 of a single PUT, or the MD5 of the parts' MD5s with their number, unless the object is encrypted
    with KMS or a customer's key (S3 API Reference, "Object"; S3 User Guide, "Checking object integrity").
    """

    def __init__(self, item: ObjectMeta, headers: Mapping[str, str]) -> None:
        self._etag = item.etag
        self._whole: _WholeEtag | None = None
        self._parts: list[_PartsEtag] = []
        encryption = headers.get("x-amz-server-side-encryption", "")
        if encryption.startswith("aws:kms") or "x-amz-server-side-encryption-customer-algorithm" in headers:
            return
        if is_md5(item.etag):
            self._whole = _WholeEtag()
        elif multipart := _MULTIPART_ETAG.fullmatch(item.etag):
            self._parts = [_PartsEtag(size) for size in likely_part_sizes(item.size_bytes, int(multipart[2]))]

    def update(self, body: memoryview) -> None:
        """The next bytes."""
        if self._whole is not None:
            self._whole.update(body)
        for guess in self._parts:
            guess.update(body)

    def prove(self) -> Proof:
        """What all the bytes prove. Raises CorruptTransfer when they are certainly not the source's.

        The part size of a multipart object is a guess. That its ETag comes out differently says nothing.
        """
        if self._whole is not None:
            if (md5 := self._whole.etag()) != self._etag:
                said = f"the bytes read have MD5 {md5}, and the ETag says {self._etag}"
                raise CorruptTransfer(said, stage=Stage.DOWNLOAD)
            return Proof.ETAG_MD5
        if any(guess.etag() == self._etag for guess in self._parts):
            return Proof.ETAG_MULTIPART
        return Proof.CRC32C


class _WholeEtag:
    """The ETag of a single PUT."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, body: memoryview) -> None:
        self._md5.update(body)

    def etag(self) -> str:
        return self._md5.hexdigest()


class _PartsEtag:
    """The ETag of an upload in parts of one size, the last one shorter."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._md5s: list[bytes] = []
        self._begin_part()

    def update(self, body: memoryview) -> None:
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
        return f"{hashlib.md5(b''.join(self._md5s), usedforsecurity=False).hexdigest()}-{len(self._md5s)}"

    def _begin_part(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._room_bytes = self._part_bytes

    def _end_part(self) -> None:
        self._md5s.append(self._md5.digest())
        self._begin_part()


def likely_part_sizes(size_bytes: int, parts: int) -> list[int]:
    """The part sizes that a writer may have used for an object of this size and number of parts, the likeliest first."""
    if parts == 1:
        return [max(size_bytes, 1)]
    sizes = (size_mib * MIB for size_mib in COMMON_PART_SIZES_MIB)
    return [size for size in sizes if -(-size_bytes // size) == parts][:MAX_GUESSES]


def source_crc32c(headers: Mapping[str, str]) -> str:
    """S3's own CRC32C of the whole object, base64, when the response carries one; a composite one is of the parts."""
    value = headers.get("x-amz-checksum-crc32c", "")
    is_whole = headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in value
    return value if is_whole else ""
