"""What a distribution keeps: objects by the time that they may stay, and errors for a short while.

Lifetimes follow the managed policy CachingOptimized (minimum 1 s, default 24 h, maximum 365 days) and the developer
guide's "Manage how long content stays in the cache". Bodies past 64 KiB stay on disk, in a private directory.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

DEFAULT_TTL_S = 86_400
MINIMUM_TTL_S = 1
MAXIMUM_TTL_S = 31_536_000
IN_MEMORY_BYTES = 64 * 1024
CACHED_ERRORS = frozenset({404, 405, 414, 500, 501, 502, 503, 504})
"""Always cached (developer guide, "HTTP 4xx and 5xx status codes that CloudFront caches")."""

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d+)")
_SHARED_MAX_AGE = re.compile(r"(?:^|[\s,])s-maxage=(\d+)")
_NOT_TO_KEEP = re.compile(r"(?:^|[\s,])(?:no-cache|no-store|private)\b")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer. Times are clock readings in seconds."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | Path
    length_bytes: int
    stored_at_s: float
    ttl_s: float

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Cache:
    """Entries by key. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._directory = Path(tempfile.mkdtemp(prefix="edge-cache-"))

    def get(self, key: str) -> tuple[Entry, bool] | None:
        """The entry and whether it is still fresh."""
        entry = self._entries.get(key)
        return (entry, self._clock() < entry.stored_at_s + entry.ttl_s) if entry else None

    def age_s(self, entry: Entry) -> int:
        """Whole seconds since the origin gave or confirmed this answer."""
        return max(0, int(self._clock() - entry.stored_at_s))

    def put(self, key: str, status: int, headers: list[tuple[str, str]], body: bytes | Path, ttl_s: float) -> Entry:
        """Store an answer in place of any other under this key. A file becomes the cache's own."""
        length_bytes = len(body) if isinstance(body, bytes) else body.stat().st_size
        entry = Entry(status, tuple(headers), body, length_bytes, self._clock(), ttl_s)
        if ttl_s > 0:
            self._store(key, entry)
        return entry

    def renew(self, key: str, entry: Entry, ttl_s: float) -> Entry:
        """Let an entry live again, from now on."""
        entry = replace(entry, stored_at_s=self._clock(), ttl_s=ttl_s)
        self._store(key, entry)
        return entry

    def keep_while_passing(
        self, key: str, headers: list[tuple[str, str]], count: int, ttl_s: float, pieces: Iterator[memoryview]
    ) -> Iterator[memoryview]:
        """The pieces of a 200 of `count` bytes, stored just before the last one: an answer broken off is not kept."""
        if count <= IN_MEMORY_BYTES:
            body = b"".join(bytes(piece) for piece in pieces)
            self.put(key, 200, headers, body, ttl_s)
            yield memoryview(body)
            return
        with tempfile.NamedTemporaryFile(dir=self._directory, delete=False) as file:
            missing = count
            try:
                for piece in pieces:
                    file.write(piece)
                    missing -= len(piece)
                    if not missing:
                        file.flush()
                        self.put(key, 200, headers, Path(file.name), ttl_s)
                    yield piece
            finally:
                if missing:
                    Path(file.name).unlink()

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _store(self, key: str, entry: Entry) -> None:
        # The file of an entry that this one replaces stays until the end: someone may be about to send it.
        with self._lock:
            self._entries[key] = entry


def ttl_s(cache_control: str | None) -> float:
    """How long CachingOptimized keeps an object with this Cache-Control header, in seconds."""
    text = (cache_control or "").lower()
    if _NOT_TO_KEEP.search(text):
        return MINIMUM_TTL_S
    age = _SHARED_MAX_AGE.search(text) or _MAX_AGE.search(text)
    return min(max(int(age[1]), MINIMUM_TTL_S), MAXIMUM_TTL_S) if age else DEFAULT_TTL_S
