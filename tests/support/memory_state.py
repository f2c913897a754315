"""State stores for tests without a server; they keep the same contract as Cloud Storage (`tests/transfer/contracts`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from transfer.errors import InvalidMessage, Stage
from transfer.ports import StateEntry


class MemoryState:
    """Records in a dict."""

    uri = "memory:"
    now_s = 0.0
    """What its clock says."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[bytes, dict[str, str]]] = {}
        self._written_at_s: dict[str, float] = {}

    def write(self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        self.records[name] = (body, dict(metadata or {}))
        self._written_at_s[name] = self.now_s

    def read(self, name: str) -> bytes:
        if name not in self.records:
            raise InvalidMessage(f"the record {name} is gone", stage=Stage.RECONCILE)
        return self.records[name][0]

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        for name in sorted(self.records):
            if name.startswith(prefix):
                yield StateEntry(name=name, metadata=self.records[name][1], created_at_s=self._written_at_s[name])

    def created_at_s(self, name: str) -> float:
        return self._written_at_s[name]

    def delete(self, name: str) -> None:
        self.records.pop(name, None)


class DirectoryState:
    """Records as files, so that none of them is in memory. Metadata stays in memory."""

    uri = "directory:"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metadata: dict[str, dict[str, str]] = {}

    def write(self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        self._path(name).write_bytes(body)
        self._metadata[name] = dict(metadata or {})

    def read(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise InvalidMessage(f"the record {name} is gone", stage=Stage.RECONCILE) from error

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        for name in sorted(unquote(path.name) for path in self._folder.iterdir()):
            if name.startswith(prefix):
                metadata = self._metadata.get(name, {})
                yield StateEntry(name=name, metadata=metadata, created_at_s=self.created_at_s(name))

    def created_at_s(self, name: str) -> float:
        return self._path(name).stat().st_mtime

    def delete(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / quote(name, safe="")
