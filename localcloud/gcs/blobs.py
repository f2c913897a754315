"""Content files: an object's bytes are one file or several, each with a number for a name, never changed once written.

So composing, copying and completing an upload link files instead of copying bytes.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from localcloud.gcs.checksums import Expected, extend_crc32c

COPY_BYTES = 256 * 1024
NO_MD5 = b""
"""The MD5 of an object that has none, against None for one not yet worked out."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One content file and its size."""

    blob: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Content:
    """An object's bytes and what is known about them."""

    segments: Sequence[Segment]
    size_bytes: int
    crc32c: int
    md5: bytes | None
    components: int | None = None


class BlobWriter:
    """Writes one new content file, checking as it goes. Not thread-safe; leaving it on an error removes the file."""

    def __init__(self, path: Path, blob: int, *, md5: bool) -> None:
        self._path = path
        self._blob = blob
        self._file = path.open("wb")
        self._size_bytes = self._crc32c = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None

    def write(self, piece: bytes | memoryview) -> None:
        """Append."""
        data = bytes(piece)
        self._crc32c = extend_crc32c(self._crc32c, data)
        if self._md5:
            self._md5.update(data)
        self._size_bytes += len(data)
        self._file.write(data)

    def finish(self, expected: Expected) -> Content:
        """Close the file. Raises ApiError 400 when a checksum differs from the client's."""
        self._file.close()
        digest = self._md5.digest() if self._md5 else None
        expected.check(self._crc32c, digest)
        return Content([Segment(self._blob, self._size_bytes)], self._size_bytes, self._crc32c, digest)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        if kind is not None:
            self._path.unlink(missing_ok=True)


class Blobs:
    """The content files under one directory. Thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for number in range(256):
            (directory / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._held: Counter[int] = Counter()
        self._doomed: set[int] = set()
        self._last_tick = 0

    def tick(self) -> int:
        """Microseconds since 1970, never the same twice: generations, upload ids and content file names."""
        with self._lock:
            self._last_tick = max(self._last_tick + 1, time.time_ns() // 1000)
            return self._last_tick

    def path(self, blob: int) -> Path:
        """Where a content file lies."""
        return self._directory / f"{blob & 0xFF:02x}" / f"{blob:x}"

    def writer(self, *, md5: bool) -> BlobWriter:
        """A writer of a new content file."""
        blob = self.tick()
        return BlobWriter(self.path(blob), blob, md5=md5)

    def drop(self, segments: Sequence[Segment]) -> None:
        """Remove content files; one that is held goes when it is released."""
        with self._lock:
            blobs = [segment.blob for segment in segments]
            self._doomed.update(blob for blob in blobs if self._held[blob])
            free = [blob for blob in blobs if not self._held[blob]]
        self._unlink(free)

    def hold(self, segments: Sequence[Segment]) -> None:
        """Keep content files for a reader, until as many calls of `release`."""
        with self._lock:
            self._held.update(segment.blob for segment in segments)

    def release(self, segments: Sequence[Segment]) -> None:
        """End a `hold`."""
        with self._lock:
            self._held.subtract(segment.blob for segment in segments)
            self._held = +self._held  # without those at zero
            free = self._doomed.intersection(segment.blob for segment in segments) - self._held.keys()
            self._doomed -= free
        self._unlink(free)

    def _unlink(self, blobs: Iterable[int]) -> None:
        for blob in blobs:
            self.path(blob).unlink(missing_ok=True)

    def link(self, segments: Sequence[Segment]) -> list[Segment]:
        """The same content under new file names, so that either owner can drop its own."""
        copies = [Segment(self.tick(), segment.size_bytes) for segment in segments]
        for old, new in zip(segments, copies, strict=True):
            os.link(self.path(old.blob), self.path(new.blob))
        return copies

    def read(self, segments: Sequence[Segment], offset: int, count: int) -> Iterator[bytes]:
        """`count` bytes from `offset`, in pieces."""
        for segment in segments:
            if offset < segment.size_bytes and count:
                with self.path(segment.blob).open("rb") as file:
                    file.seek(offset)
                    left = min(count, segment.size_bytes - offset)
                    count -= left
                    while left and (piece := file.read(min(COPY_BYTES, left))):
                        left -= len(piece)
                        yield piece
            offset = max(0, offset - segment.size_bytes)

    def md5(self, segments: Sequence[Segment], size_bytes: int) -> bytes:
        """The MD5 of content files, read once more."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.read(segments, 0, size_bytes):
            digest.update(piece)
        return digest.digest()
