"""CRC32C and MD5 as Cloud Storage writes, compares and combines them."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable
from dataclasses import dataclass

import google_crc32c

from localcloud.gcs.errors import ApiError, invalid

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed


def extend_crc32c(crc: int, data: bytes) -> int:
    """The CRC32C of what `crc` covers followed by `data`."""
    return int(google_crc32c.extend(crc, data))


def encode_crc32c(crc: int) -> str:
    """Base64 of the big-endian value: the form of `crc32c` and `x-goog-hash`."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def encode_md5(digest: bytes) -> str:
    """Base64 of the digest: the form of `md5Hash`, `x-goog-hash` and `Content-MD5`."""
    return base64.b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class Expected:
    """The checksums a client says its content has; None where it says nothing."""

    crc32c: int | None = None
    md5: bytes | None = None

    @classmethod
    def parse(cls, crc32c: str | None = None, md5: str | None = None) -> Expected:
        """From base64. Raises ApiError 400 on anything else."""
        crc_bytes, digest = _decode(crc32c, 4, "CRC32C"), _decode(md5, 16, "MD5")
        return cls(None if crc_bytes is None else int.from_bytes(crc_bytes, "big"), digest)

    @classmethod
    def from_headers(cls, headers: dict[str, str]) -> Expected:
        """From `x-goog-hash: crc32c=…,md5=…` and `Content-MD5`."""
        parts = (part.strip().partition("=") for part in headers.get("x-goog-hash", "").split(","))
        given = {name: value for name, _, value in parts if name}
        return cls.parse(given.get("crc32c"), given.get("md5") or headers.get("content-md5"))

    def or_else(self, other: Expected) -> Expected:
        """These checksums, and the other's where these say nothing."""
        return Expected(
            other.crc32c if self.crc32c is None else self.crc32c, other.md5 if self.md5 is None else self.md5
        )

    def check(self, crc32c: int, md5: bytes | None) -> None:
        """Raises ApiError 400 when the content's checksums differ from these."""
        if self.crc32c is not None and self.crc32c != crc32c:
            raise _mismatch("CRC32C", encode_crc32c(self.crc32c), encode_crc32c(crc32c))
        if self.md5 is not None and md5 and self.md5 != md5:
            raise _mismatch("MD5 hash", encode_md5(self.md5), encode_md5(md5))


def _decode(text: str | None, size_bytes: int, kind: str) -> bytes | None:
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != size_bytes:
        raise invalid(f"The {kind} you specified is invalid: {text!r}", "InvalidDigest")
    return raw


def _mismatch(kind: str, provided: str, calculated: str) -> ApiError:
    return invalid(f'Provided {kind} "{provided}" doesn\'t match calculated {kind} "{calculated}".', "BadDigest")


def combine_crc32c(parts: Iterable[tuple[int, int]]) -> int:
    """The CRC32C of a concatenation, from each part's `(crc32c, length in bytes)`, without the bytes."""
    total = 0
    for crc, length_bytes in parts:
        total = _apply(_zeros_operator(length_bytes), total) ^ crc
    return total


def _apply(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    for row in matrix:
        if vector & 1:
            result ^= row
        vector >>= 1
    return result


def _square(matrix: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(_apply(matrix, row) for row in matrix)


@functools.lru_cache(maxsize=64)
def _zeros_operator(length_bytes: int) -> tuple[int, ...]:
    """What appending that many zero bytes does to a CRC, as a 32x32 matrix over GF(2) (zlib's crc32_combine)."""
    result = tuple(1 << bit for bit in range(32))
    power = (_POLYNOMIAL, *(1 << bit for bit in range(31)))  # one zero bit
    for _ in range(3):
        power = _square(power)  # one zero byte
    while length_bytes:
        if length_bytes & 1:
            result = tuple(_apply(power, row) for row in result)
        power = _square(power)
        length_bytes >>= 1
    return result
