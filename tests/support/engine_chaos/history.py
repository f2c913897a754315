"""What was true when: every version the source had, every write and delete at the destination, every blow and fault.

Times are of this process's monotonic clock. Nothing here asks the engine.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

STATE = ".edgehaul/"


def md5_of(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass(slots=True, kw_only=True)
class Version:
    """One version of a source object, and when it was the current one."""

    key: str
    md5: str
    size_bytes: int
    etag: str
    arguments: dict[str, Any]
    since: float
    written_at: float
    """By the system clock, in seconds since 1970."""
    until: float = math.inf

    def was_current(self, begin: float, end: float) -> bool:
        """At some time between the two."""
        return self.since <= end and self.until >= begin


@dataclass(slots=True, kw_only=True)
class Write:
    """One generation of a destination object, by whom, and when it was the live one."""

    name: str
    generation: int
    md5: str
    size_bytes: int
    attributes: dict[str, Any]
    author: str
    """`before`, `foreign` or `engine`."""
    since: float
    until: float = math.inf
    deleted_by: str = ""
    """Who ended it: a delete by `foreign` or `engine`, `replaced`, or nobody yet."""
    replaced: Write | None = None
    """What was there when it was written."""


@dataclass(slots=True, kw_only=True)
class Strike:
    """One injected fault that a request met."""

    at: float
    server: str
    what: str
    request: str


@dataclass(slots=True, kw_only=True)
class Blow:
    """One process that was killed, stopped, or asked to end."""

    at: float
    way: str
    task: str
    run: str


@dataclass
class History:
    """Of one seed. Thread-safe."""

    versions: defaultdict[str, list[Version]] = field(default_factory=lambda: defaultdict(list))
    writes: defaultdict[str, list[Write]] = field(default_factory=lambda: defaultdict(list))
    strikes: list[Strike] = field(default_factory=list)
    blows: list[Blow] = field(default_factory=list)
    deeds: list[str] = field(default_factory=list)
    author: str = "before"
    """Of writes that do not say whose they are."""
    foreign_deletes: set[str] = field(default_factory=set)
    """Names that the foreign writer is about to delete."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def has_version(self, version: Version) -> None:
        """A key has a new version from now on."""
        with self.lock:
            self.loses(version.key)
            self.versions[version.key].append(version)

    def loses(self, key: str) -> None:
        """A key has no version from now on."""
        with self.lock:
            if (found := self.current(key)) is not None:
                found.until = time.monotonic()

    def current(self, key: str) -> Version | None:
        """What the source has under a key."""
        found = self.versions.get(key)
        return found[-1] if found and found[-1].until == math.inf else None

    def changed_since(self, key: str, begin: float) -> bool:
        """Whether the source's object was replaced, removed or added."""
        return any(item.since > begin or item.until < math.inf for item in self.versions.get(key, ()))

    def wrote(self, write: Write) -> None:
        """A destination object has a new generation."""
        with self.lock:
            before = self.live(write.name)
            if before is not None:
                before.until, before.deleted_by = write.since, "replaced"
            write.replaced = before
            self.writes[write.name].append(write)

    def deleted(self, name: str) -> None:
        """A destination object is gone."""
        with self.lock:
            if (found := self.live(name)) is not None:
                by = "foreign" if name in self.foreign_deletes else self.author
                self.foreign_deletes.discard(name)
                found.until, found.deleted_by = time.monotonic(), by

    def live(self, name: str) -> Write | None:
        """What the destination has under a name."""
        found = self.writes.get(name)
        return found[-1] if found and found[-1].until == math.inf else None

    def user_writes(self) -> Iterator[Write]:
        """All of objects, and none of the runs' own records."""
        for name, found in list(self.writes.items()):
            if not name.startswith(STATE):
                yield from list(found)

    def struck(self, server: str, *, key: str = "", begin: float = 0.0) -> Counter[str]:
        """How often what struck at a server; with a key (escaped, as in URLs) only requests for it."""
        return Counter(
            item.what
            for item in self.strikes
            if item.server == server and item.at >= begin and (not key or f"/{key}" in item.request.split("?")[0])
        )
