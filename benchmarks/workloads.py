"""The workloads: objects of one size, all with the same content, so that an object of 4 GiB needs 4 GiB of memory at most."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

BUCKET = "bench-source"
DESTINATION = "bench-destination"
MIB = 1024**2
BLOCK_BYTES = 4 * MIB
ETAG_PART_BYTES = 8 * MIB
"""The AWS CLI's `multipart_threshold` and `multipart_chunksize`: what most large objects in S3 were uploaded with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`count` objects of `size_bytes` each, under the prefix `<name>/`."""

    name: str
    count: int
    size_bytes: int
    is_large: bool = False

    @property
    def total_bytes(self) -> int:
        """All objects together."""
        return self.count * self.size_bytes

    def key(self, index: int) -> str:
        """The key of one object; byte order is the order of the indexes."""
        return f"{self.name}/{index:07d}.bin"

    def subset(self, count: int) -> Workload:
        """The first objects only, for peers that would take too long over all."""
        if count >= self.count:
            return self
        name = f"{self.name.partition('-')[0]}-{count}"
        return Workload(name=name, count=count, size_bytes=self.size_bytes, is_large=self.is_large)

    def __str__(self) -> str:
        return f"{self.count:,} × {size_text(self.size_bytes)}"


FULL = {
    "small": Workload(name="small", count=20_000, size_bytes=4096),
    "medium": Workload(name="medium", count=2_000, size_bytes=MIB),
    "large": Workload(name="large", count=8, size_bytes=256 * MIB, is_large=True),
    "huge": Workload(name="huge", count=1, size_bytes=4096 * MIB, is_large=True),
}
QUICK = {
    "small": Workload(name="small", count=5_000, size_bytes=4096),
    "medium": Workload(name="medium", count=300, size_bytes=MIB),
    "large": Workload(name="large", count=4, size_bytes=256 * MIB, is_large=True),
    "huge": Workload(name="huge", count=1, size_bytes=1024 * MIB, is_large=True),
}


def size_text(size_bytes: int) -> str:
    """`4 KiB`, `1 MiB`, `4 GiB`."""
    for unit, name in ((1024**3, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} B"


def write_content(path: Path, size_bytes: int) -> str:
    """Fill a file with blocks of random bytes, each with its own first 8, and return the ETag S3 would have for it."""
    block = bytearray(os.urandom(min(size_bytes, BLOCK_BYTES)))
    with path.open("wb") as file:
        for number, at in enumerate(range(0, size_bytes, BLOCK_BYTES)):
            block[:8] = number.to_bytes(8, "big")[: len(block)]
            file.write(memoryview(block)[: min(BLOCK_BYTES, size_bytes - at)])
    return etag_of(path, size_bytes)


def etag_of(path: Path, size_bytes: int) -> str:
    """An MD5 up to 8 MiB, above it the multipart form of 8 MiB parts."""
    digests = [hashlib.md5(part, usedforsecurity=False) for part in _parts(path)]
    if size_bytes <= ETAG_PART_BYTES:
        return digests[0].hexdigest()
    joined = hashlib.md5(b"".join(digest.digest() for digest in digests), usedforsecurity=False)
    return f"{joined.hexdigest()}-{len(digests)}"


def part_hashes(path: Path) -> dict[int, str]:
    """The MD5 (hexadecimal) of each part of a file by its CRC32C, for a server that reports them without computing them."""
    return {google_crc32c.value(part): hashlib.md5(part, usedforsecurity=False).hexdigest() for part in _parts(path)}


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(ETAG_PART_BYTES):
            yield part
