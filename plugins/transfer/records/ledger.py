"""The ledger: the outcomes of the workers, and the messages that these settle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfer.accounting.traffic import WorkerTraffic
from transfer.model import Copied, Failed, Proof, Skipped, TransferFailure, TransferOutcome
from transfer.ports import StateStore
from transfer.records.layout import ledger_shards
from transfer.records.messages import MAX_COUNT, failure_of_fields
from transfer.records.numbers import format_numbers, parse_numbers
from transfer.records.shards import read_shard, write_shard
from transfer.records.sorting import sorted_on_disk

SETTLED = "settled-messages"
FAILURES = "failures"
UNBOUND = "unbound"
EDGE_REQUESTS, EDGE_BYTES, GCS_REQUESTS = "edge-requests", "edge-bytes", "gcs-requests"
"""The names of a shard's metadata."""


class Ledger:
    """Writes the outcomes of one attempt of one worker. `worker` must be unique among all attempts of a run. Not thread-safe."""

    def __init__(self, state: StateStore, *, listing: str, worker: str) -> None:
        self.state = state
        self._listing_prefix = ledger_shards(listing)
        self._worker = worker
        self._shards = 0

    def write(
        self,
        outcomes: Sequence[TransferOutcome],
        settled: Iterable[int],
        *,
        traffic: WorkerTraffic | None = None,
    ) -> None:
        """Store one shard: these outcomes, the numbers of the messages that they settle, and the traffic since the last shard."""
        name = f"{self._listing_prefix}{self._worker}-{self._shards:06d}"
        failures = sum(isinstance(item, Failed) for item in outcomes)
        metadata = {SETTLED: format_numbers(settled), FAILURES: str(failures)}
        if unbound := sum(isinstance(item, Copied) and not item.is_bound for item in outcomes):
            metadata[UNBOUND] = str(unbound)
        if traffic is not None:
            metadata |= {
                EDGE_REQUESTS: str(traffic.edge_requests),
                EDGE_BYTES: str(traffic.edge_bytes),
                GCS_REQUESTS: str(traffic.gcs_requests),
            }
        write_shard(self.state, name, map(outcome_line, outcomes), **metadata)
        self._shards += 1

    def settled(self, below: int = MAX_COUNT) -> set[int]:
        """The numbers below `below` of all messages of this listing that any worker has settled so far."""
        numbers: set[int] = set()
        for entry in self.state.entries(self._listing_prefix):
            numbers.update(parse_numbers(entry.metadata.get(SETTLED, ""), below))
        return numbers


def ledger_traffic(state: StateStore, listings: Iterable[str]) -> WorkerTraffic | None:
    """The traffic of all workers on these listings, up to the last shard of each; None if a shard does not say."""
    found = WorkerTraffic()
    for listing in listings:
        for entry in state.entries(ledger_shards(listing)):
            counts = [entry.metadata.get(name, "") for name in (EDGE_REQUESTS, EDGE_BYTES, GCS_REQUESTS)]
            if not all(re.fullmatch(r"[0-9]{1,18}", count) for count in counts):
                return None  # of an earlier version of Edgehaul
            edge_requests, edge_bytes, gcs_requests = map(int, counts)
            found += WorkerTraffic(edge_requests=edge_requests, edge_bytes=edge_bytes, gcs_requests=gcs_requests)
    return found


def ledger_failures(state: StateStore, listing: str) -> Iterator[TransferFailure]:
    """The failures in the ledger of a listing, without their messages, which only the error topic has."""
    for entry in state.entries(ledger_shards(listing)):
        if entry.metadata.get(FAILURES, "0") != "0":
            yield from filter(None, read_shard(state, entry.name, _failure_in_ledger))


def _failure_in_ledger(line: Mapping[str, Any]) -> TransferFailure | None:
    if line["outcome"] != "failed":
        return None
    return failure_of_fields({**line, "error_code": line["reason"], "http_status": None, "message": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class UnboundCopy:
    """A copy without a proof in its own metadata: only the ledger records its checksum."""

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
        for entry in state.entries(ledger_shards(listing)):
            if entry.metadata.get(UNBOUND, "0") != "0":
                yield from filter(None, read_shard(state, entry.name, _unbound_row))


def _unbound_row(line: Mapping[str, Any]) -> list[object] | None:
    if line["outcome"] != "copied" or line.get("is_bound", True):
        return None
    return [str(line["key"]), int(line["generation"]), str(line["crc32c"]), str(Proof(line["proof"]))]


def outcome_line(outcome: TransferOutcome) -> dict[str, object]:
    """The fields of one line of the ledger, as JSON."""
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
