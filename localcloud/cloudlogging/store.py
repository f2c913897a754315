"""Log entries in memory in time order, and on disk as JSON lines.

Rules (Cloud Logging API reference, "LogEntry" and "entries"; quotas page): an entry has at most 256 KiB, a log name
and a monitored resource; a missing timestamp or insert id is filled in; entries of one log with the same timestamp and
insert id are one entry.
"""

from __future__ import annotations

import bisect
import json
import re
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from localcloud.cloudlogging.filters import Predicate, parse_timestamp_ns

MAX_ENTRY_BYTES = 256 * 1024

_LOG_NAME = re.compile(r"(?:projects|organizations|billingAccounts|folders)/[^/]+/logs/[A-Za-z0-9/_.%-]{1,511}")

JsonEntry = dict[str, Any]


class EntryError(ValueError):
    """An entry the service does not take."""


@dataclass(frozen=True, slots=True, order=True)
class StoredEntry:
    """An entry by what orders and identifies it."""

    timestamp_ns: int
    insert_id: str
    log_name: str
    entry: JsonEntry = field(compare=False)

    @property
    def key(self) -> tuple[int, str, str]:
        """What no two stored entries share."""
        return self.timestamp_ns, self.insert_id, self.log_name


def complete(entry: JsonEntry, size_bytes: int, now: datetime) -> JsonEntry:
    """The entry with what the service fills in. Raises EntryError if it does not take it."""
    if size_bytes > MAX_ENTRY_BYTES:
        raise EntryError(f"Log entry with size {size_bytes / 1024:.1f}K exceeds maximum size of 256.0K")
    if not _LOG_NAME.fullmatch(entry.get("logName", "")):
        raise EntryError(f"Invalid log name: {entry.get('logName', '')!r}")
    if not entry.get("resource", {}).get("type"):
        raise EntryError("The monitored resource of the log entry is missing")
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"timestamp": stamp, "insertId": uuid.uuid4().hex[:16]} | entry | {"receiveTimestamp": stamp}


class LogStore:
    """Thread-safe. On disk each line is an entry, or `{"deletedLog": name}` for all entries of that log before it."""

    def __init__(self, path: Path | None) -> None:
        """Loads the file, and rewrites it without what was deleted or torn. Raises OSError."""
        self._lock = threading.Lock()
        self._entries: list[StoredEntry] = []
        self._keys: set[tuple[int, str, str]] = set()
        self._file: FileIO | None = None
        if path is not None:
            self._load(path)

    def _load(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        for line in lines:
            if not line.endswith(b"\n"):
                break  # torn by a kill
            document = json.loads(line)
            if "deletedLog" in document:
                self._forget(document["deletedLog"])
            else:
                self._insert(document)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(b"".join(_line(stored.entry) for stored in self._entries))
        fresh.replace(path)
        self._file = FileIO(path, "ab")

    def write(self, entries: Iterable[JsonEntry]) -> None:
        """Add complete entries; those already there are skipped. Raises OSError, such as on a full disk."""
        with self._lock:
            fresh = [entry for entry in entries if self._insert(entry)]
            self._append(b"".join(map(_line, fresh)))

    def _insert(self, entry: JsonEntry) -> bool:
        stored = StoredEntry(parse_timestamp_ns(entry["timestamp"]), entry["insertId"], entry["logName"], entry)
        if stored.key in self._keys:
            return False
        self._keys.add(stored.key)
        bisect.insort(self._entries, stored)
        return True

    def _append(self, data: bytes) -> None:
        if self._file is not None and data:
            self._file.write(data)

    def find(
        self, parents: Iterable[str], matches: Predicate, *, newest_first: bool, after: tuple[int, str, str] | None
    ) -> list[StoredEntry]:
        """The entries of the parents' logs that match, in time order, beyond the key `after`."""
        prefixes = tuple(f"{parent}/logs/" for parent in parents)
        with self._lock:
            entries = list(reversed(self._entries) if newest_first else self._entries)
        return [
            stored
            for stored in entries
            if stored.log_name.startswith(prefixes)
            and (after is None or (stored.key < after if newest_first else stored.key > after))
            and matches(stored.entry)
        ]

    def log_names(self, parent: str) -> list[str]:
        """The logs of a parent that have entries."""
        with self._lock:
            names = {stored.log_name for stored in self._entries}
        return sorted(name for name in names if name.startswith(f"{parent}/logs/"))

    def delete_log(self, name: str) -> None:
        """Drop a log's entries. Raises KeyError if it has none."""
        with self._lock:
            if not self._forget(name):
                raise KeyError(name)
            self._append(_line({"deletedLog": name}))

    def _forget(self, name: str) -> bool:
        kept = [stored for stored in self._entries if stored.log_name != name]
        found = len(kept) < len(self._entries)
        self._entries = kept
        self._keys = {stored.key for stored in kept}
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def utc_now() -> datetime:
    """The time now, with its zone."""
    return datetime.fromtimestamp(time.time(), UTC)


def _line(document: JsonEntry) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
