"""Reads and writes records as compressed JSON lines in numbered shards: the manifest, the ledger, and failures.

Each ledger shard also names, in its object metadata, the messages that it settles: a worker that lists the shards knows
exactly which messages of the run are still unsettled, without reading any shard.
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
"""How many lines are kept as text before they are compressed."""
GZIP = 31
"""zlib's `wbits` for a gzip header and the largest window."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Encodes one line as JSON, without a line end. Created once, because json.dumps creates an encoder for every call."""


class _Packed:
    """The lines of a shard, compressed while they are added, so that it takes little more memory than its compressed bytes."""

    def __init__(self) -> None:
        # Level 1, so that records take little CPU beside copying. zlib writes no time, so equal lines give equal bytes.
        self._packer = zlib.compressobj(1, wbits=GZIP)
        self._bytes = bytearray()
        self._text: list[str] = []
        self.lines = 0

    def add(self, line: Mapping[str, object]) -> None:
        """Add one line."""
        self._text.append(_encode(line) + "\n")
        self.lines += 1
        if len(self._text) >= LINES_AT_ONCE:
            self._pack()

    def write(self, state: StateStore, name: str, **metadata: str) -> None:
        """Store all lines as the shard `<name>.jsonl.gz`; no more lines can be added afterwards."""
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
    """The lines of all shards under a name prefix, each decoded by `decode`, which may raise UNREADABLE.

    Raises RecordDamaged.
    """
    for entry in state.entries(prefix):
        yield from read_shard(state, entry.name, decode)


def read_shard(state: StateStore, name: str, decode: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """The lines of one shard, each decoded by `decode`, which may raise UNREADABLE. Raises RecordDamaged."""
    # Lines of bytes, because lines of text would also end at U+2028 and the like inside a key. Decompressed while reading,
    # because a manifest shard of long keys may grow a hundredfold.
    with damage_reported(state, name), gzip.open(io.BytesIO(state.read(name))) as file:
        lines = Lines(file)
        for line in lines:
            lines.row()
            yield decode(json.loads(line))


class ShardWriter:
    """Writes lines under a name prefix, as numbered shards of at most `shard_lines`. Use from one thread; flush it.

    `shards` is the number that an earlier attempt is known to have stored; one more, which it may have stored, is deleted.
    """

    def __init__(self, state: StateStore, prefix: str, *, shard_lines: int = 50_000, shards: int = 0) -> None:
        self._state = state
        self._prefix = prefix
        self._shard_lines = shard_lines
        self._packed = _Packed()
        self.shards = shards
        """The number of stored shards."""
        if shards:
            state.delete(f"{self._name}.jsonl.gz")

    @property
    def _name(self) -> str:
        return f"{self._prefix}{self.shards:06d}"

    def add(self, line: Mapping[str, object]) -> None:
        """Add one line; it is certainly stored only after `flush`."""
        self._packed.add(line)
        if self._packed.lines >= self._shard_lines:
            self.flush()

    def flush(self) -> None:
        """Store the lines that have not been stored yet."""
        if self._packed.lines:
            self._packed.write(self._state, self._name)
            self.shards += 1
            self._packed = _Packed()
