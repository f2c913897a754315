"""Records of a run as compressed JSON lines in numbered shards: the manifest of what was listed, the ledger of what was done.

Each ledger shard also names, in its object metadata, the messages that it settles: a worker that lists the shards knows
exactly what the whole run has still to do, without reading one of them.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from transfer.errors import RecordDamaged, Stage
from transfer.model import Copied, Failed, ObjectMeta, Proof, Skipped, SkipReason, TransferFailure, TransferOutcome
from transfer.ports import StateStore
from transfer.records.bounded_lines import Lines
from transfer.records.messages import MAX_COUNT, UNREADABLE, failure_of_fields, object_fields, object_of, why_unreadable
from transfer.records.sorting import sorted_on_disk

T = TypeVar("T")

CONTENT_TYPE = "application/x-ndjson"
SETTLED = "settled-messages"
FAILURES = "failures"
UNBOUND = "unbound"
LINES_AT_ONCE = 500
"""What is text before it is packed."""
MAX_NUMBERS = 1_000_000
"""That one text may name. A shard settles 150 messages, and a worker has some thousand in hand."""
MAX_DIGITS = 18
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


@contextmanager
def readable(state: StateStore, name: str) -> Iterator[None]:
    """While a record is read. Raises RecordDamaged, which names it, for what is not as it was written."""
    try:
        yield
    except (EOFError, OSError, zlib.error, *UNREADABLE) as error:
        is_of_work = name.startswith(("ledger/", "failures/", "begun/"))
        raise RecordDamaged(
            f"the record {state.uri}{name} cannot be read ({why_unreadable(error) or type(error).__name__}): it was"
            + (
                " damaged or overwritten; delete it and clear the task reconcile, which then judges by what is at the"
                " destination"
                if is_of_work
                else " damaged or overwritten, so nothing can be proved by it; start another run"
            ),
            stage=Stage.RECONCILE,
        ) from error


def read_shards(state: StateStore, prefix: str) -> Iterator[Mapping[str, Any]]:
    """The lines of all shards whose names begin with the prefix, shard after shard in order. Raises RecordDamaged."""
    return read_records(state, prefix, lambda line: line)


def read_records(state: StateStore, prefix: str, decode: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """The same, each line as `decode` makes something of it; it may raise UNREADABLE."""
    for entry in state.entries(prefix):
        yield from _lines(state, entry.name, decode)


def _lines(state: StateStore, name: str, decode: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    # Bytes, not text: text lines would also end at U+2028 and the like inside a key. Unpacked as it is read: a manifest
    # shard of long keys has a hundred times its size.
    with readable(state, name), gzip.open(io.BytesIO(state.read(name))) as file:
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


MANIFEST = "manifest"
UNFINISHED = "unfinished"


class Manifest:
    """Writes objects as they were listed, in listing order: all of a listing, or those that a pass left unfinished."""

    def __init__(
        self, state: StateStore, listing: str, *, folder: str = MANIFEST, shard_lines: int = 50_000, shards: int = 0
    ) -> None:
        self.shard_lines = shard_lines
        self._shards = ShardWriter(state, f"{folder}/{listing}-", shard_lines=shard_lines, shards=shards)

    @property
    def shards(self) -> int:
        """How many are stored, those of an earlier try among them."""
        return self._shards.shards

    def add(self, item: ObjectMeta, skipped: SkipReason | None = None, *, replaces: int | None = None) -> None:
        """One listed object, and why it will not be moved, if so. `replaces` is its generation, unless the item knows."""
        line = object_fields(item)
        if replaces is not None:
            line.pop("replaces", None)
            if replaces:
                line["replaces"] = replaces
        if skipped is not None:
            line["skipped"] = skipped
        self._shards.add(line)

    def flush(self) -> None:
        """Store what has not been stored yet."""
        self._shards.flush()


def read_manifest(
    state: StateStore, listing: str, *, folder: str = MANIFEST
) -> Iterator[tuple[ObjectMeta, SkipReason | None]]:
    """What one listing found, in listing order."""
    return read_records(state, f"{folder}/{listing}-", listed_line)


def listed_line(line: Mapping[str, Any]) -> tuple[ObjectMeta, SkipReason | None]:
    """A line of a manifest."""
    return object_of(line), SkipReason(str(line["skipped"])) if "skipped" in line else None


class Ledger:
    """Writes what one try of one worker did. `worker` must be unique among the tries of a run. Not thread-safe."""

    def __init__(self, state: StateStore, *, listing: str, worker: str) -> None:
        self.state = state
        self._listing_prefix = f"ledger/{listing}-"
        self._worker = worker
        self._shards = 0

    def write(self, outcomes: Sequence[TransferOutcome], settled: Iterable[int]) -> None:
        """One shard: these outcomes, which settle the messages of these numbers."""
        name = f"{self._listing_prefix}{self._worker}-{self._shards:06d}"
        failures = sum(isinstance(item, Failed) for item in outcomes)
        told = {SETTLED: format_numbers(settled), FAILURES: str(failures)}
        if unbound := sum(isinstance(item, Copied) and not item.is_bound for item in outcomes):
            told[UNBOUND] = str(unbound)
        write_shard(self.state, name, map(outcome_line, outcomes), **told)
        self._shards += 1

    def settled(self, below: int = MAX_COUNT) -> set[int]:
        """The numbers, below this one, of all messages of this listing that any worker has settled so far."""
        numbers: set[int] = set()
        for entry in self.state.entries(self._listing_prefix):
            numbers.update(parse_numbers(entry.metadata.get(SETTLED, ""), below))
        return numbers


def ledger_failures(state: StateStore, listing: str) -> Iterator[TransferFailure]:
    """The failures in the ledger of a listing, without their messages, which only the error topic has."""
    for entry in state.entries(f"ledger/{listing}-"):
        if entry.metadata.get(FAILURES, "0") != "0":
            yield from filter(None, _lines(state, entry.name, _failure_in_ledger))


def _failure_in_ledger(line: Mapping[str, Any]) -> TransferFailure | None:
    if line["outcome"] != "failed":
        return None
    return failure_of_fields({**line, "error_code": line["reason"], "http_status": None, "message": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class UnboundCopy:
    """A copy of which only the ledger shows what it holds."""

    key: str
    crc32c: str
    generation: int
    proof: Proof


def ledger_unbound(state: StateStore, listings: Iterable[str]) -> Iterator[UnboundCopy]:
    """The copies in the ledgers of these listings whose label could not be bound to their bytes, in byte order of their keys."""
    for key, generation, crc32c, proof in sorted_on_disk(_unbound_rows(state, listings)):
        yield UnboundCopy(key=key, crc32c=crc32c, generation=generation, proof=Proof(proof))


def _unbound_rows(state: StateStore, listings: Iterable[str]) -> Iterator[list[object]]:
    for listing in listings:
        for entry in state.entries(f"ledger/{listing}-"):
            if entry.metadata.get(UNBOUND, "0") != "0":
                yield from filter(None, _lines(state, entry.name, _unbound_row))


def _unbound_row(line: Mapping[str, Any]) -> list[object] | None:
    if line["outcome"] != "copied" or line.get("is_bound", True):
        return None
    return [str(line["key"]), int(line["generation"]), str(line["crc32c"]), str(Proof(line["proof"]))]


def outcome_line(outcome: TransferOutcome) -> dict[str, object]:
    """One line of the ledger."""
    match outcome:
        case Copied():
            return {
                "key": outcome.key,
                "outcome": "copied",
                "bytes": outcome.size_bytes,
                "proof": outcome.proof,
                "crc32c": outcome.crc32c,
                "generation": outcome.generation,
                "attempts": outcome.attempts,
                "seconds": round(outcome.seconds, 6),
                "edge_request_id": outcome.edge_request_id,
                **({} if outcome.is_bound else {"is_bound": False}),
            }
        case Skipped():
            return {"key": outcome.key, "outcome": "skipped", "reason": outcome.reason, "bytes": outcome.size_bytes}
        case Failed(failure=failure):
            return {
                "key": failure.key,
                "outcome": "failed",
                "reason": failure.error_code,
                "stage": failure.stage,
                "attempts": failure.attempts,
            }


def format_numbers(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges, `0-4,7`: metadata has room for few bytes."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_numbers(text: str, below: int = MAX_COUNT) -> Iterator[int]:
    """The numbers of `format_numbers`, below a bound, and no more than MAX_NUMBERS of them.

    What has another form is passed over: nothing read is trusted.
    """
    return islice(_numbers(text, below), MAX_NUMBERS)


def _numbers(text: str, below: int) -> Iterator[int]:
    for numbers in parse_ranges(text):
        yield from range(numbers.start, min(numbers.stop, below))


def parse_ranges(text: str) -> Iterator[range]:
    """The same as ranges."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        bounds = [first, last or first]
        if all(bound.isascii() and bound.isdecimal() and len(bound) <= MAX_DIGITS for bound in bounds):
            yield range(int(first), int(last or first) + 1)
