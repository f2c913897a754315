"""An append-only file of framed records: how the broker survives a restart.

A record is `kind: u8, length: u32, payload`, written with one system call and no fsync, so it outlives the process
but not the machine. A torn record at the end, left by a killed process, is dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

_HEAD = struct.Struct("<BI")

Record = tuple[int, bytes]


class Journal:
    """Records on disk, or nowhere when `path` is None. Not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: FileIO | None = None

    def replay(self) -> Iterator[Record]:
        """Every whole record, oldest first."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                kind, length = _HEAD.unpack(head)
                payload = file.read(length)
                if len(payload) < length:
                    return
                yield kind, payload

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace the file by these records, atomically, and keep it open for `append`."""
        if self._path is None:
            return
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            for kind, payload in records:
                file.write(_HEAD.pack(kind, len(payload)) + payload)
        fresh.replace(self._path)
        self._file = FileIO(self._path, "ab")

    def append(self, kind: int, payload: bytes) -> None:
        """Add one record. Raises OSError, such as on a full disk."""
        if self._file is not None:
            self._file.write(_HEAD.pack(kind, len(payload)) + payload)

    def close(self) -> None:
        """Close the file; `append` does nothing afterwards."""
        if self._file is not None:
            self._file.close()
            self._file = None
