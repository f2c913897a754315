"""Records of a run as compressed JSON lines in numbered shards: the manifest of what was listed, the ledger of what was done.

Each ledger shard also names, in its object metadata, the messages that it settles: a worker that lists the shards knows
exactly what the whole run has still to do, without reading one of them.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from transfer.ports import StateStore
from transfer.records.bounded_lines import Lines
from transfer.records.damage import damage_reported

T = TypeVar("T")

CONTENT_TYPE = "application/x-ndjson"
LINES_AT_ONCE = 500
"""What is text before it is packed."""
GZIP = 31
"""zlib's `wbits` for a gzip header and the largest window."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""One line as JSON, without its end. Made once: json.dumps makes an encoder for every line."""


class _Packed:
    """Lines of a shard, packed as they come: one of any length takes little memory besides its packed bytes."""

    def __init__(self) -> None:
        # Level 1: the ledger must not cost more CPU than the copying. zlib writes no time, so the same lines give the same bytes.
        self._packer = zlib.compressobj(1, wbits=GZIP)
        self._bytes = bytearray()
        self._text: list[str] = []
        self.lines = 0

    def add(self, line: Mapping[str, object]) -> None:
        """One more."""
        self._text.append(_encode(line) + "\n")
        self.lines += 1
        if len(self._text) >= LINES_AT_ONCE:
            self._pack()

    def write(self, state: StateStore, name: str, **metadata: str) -> None:
        """Store all of them as the shard `<name>.jsonl.gz`; nothing can be added then."""
        self._pack()
        self._bytes += self._packer.flush()
        state.write(f"{name}.jsonl.gz", bytes(self._bytes), content_type=CONTENT_TYPE, metadata=metadata)

    def _pack(self) -> None:
        self._bytes += self._packer.compress("".join(self._text).encode("utf-8", "surrogatepass"))
        self._text.clear()


def write_shard(state: StateStore, name: str, lines: Iterable[Mapping[str, object]], **metadata: str) -> None:
    """Store the lines as one gzip-compressed shard `<name>.jsonl.gz`."""
    packed = _Packed()
    for line in lines:
        packed.add(line)
    packed.write(state, name, **metadata)


def read_shards(state: StateStore, prefix: str) -> Iterator[Mapping[str, Any]]:
    """The lines of all shards whose names begin with the prefix, shard after shard in order. Raises RecordDamaged."""
    return read_records(state, prefix, lambda line: line)


def read_records(state: StateStore, prefix: str, decode: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """The same, each line as `decode` makes something of it; it may raise UNREADABLE."""
    for entry in state.entries(prefix):
        yield from read_shard(state, entry.name, decode)


def read_shard(state: StateStore, name: str, decode: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """The lines of one shard, each as `decode` reads it. Raises RecordDamaged."""
    # Bytes, not text: text lines would also end at U+2028 and the like inside a key. Unpacked as it is read: a manifest
    # shard of long keys has a hundred times its size.
    with damage_reported(state, name), gzip.open(io.BytesIO(state.read(name))) as file:
        lines = Lines(file)
        for line in lines:
            lines.row()
            yield decode(json.loads(line))


class ShardWriter:
    """Writes lines under a name prefix, as numbered shards of at most `shard_lines`. Use from one thread; flush it.

    `shards` are those that another try wrote; one more, of which nobody is sure, is removed.
    """

    def __init__(self, state: StateStore, prefix: str, *, shard_lines: int = 50_000, shards: int = 0) -> None:
        self._state = state
        self._prefix = prefix
        self._shard_lines = shard_lines
        self._packed = _Packed()
        self.shards = shards
        """How many are stored."""
        if shards:
            state.delete(f"{self._name}.jsonl.gz")

    @property
    def _name(self) -> str:
        return f"{self._prefix}{self.shards:06d}"

    def add(self, line: Mapping[str, object]) -> None:
        """One line; it is stored for certain only after `flush`."""
        self._packed.add(line)
        if self._packed.lines >= self._shard_lines:
            self.flush()

    def flush(self) -> None:
        """Store what has not been stored yet."""
        if self._packed.lines:
            self._packed.write(self._state, self._name)
            self.shards += 1
            self._packed = _Packed()
