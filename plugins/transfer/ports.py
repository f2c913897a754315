"""The protocols between the engine and the world. Backends implement them; tests may, too.

Every method may raise `TransferError` and nothing else, but for `Stopped` where a transfer is broken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from transfer.model import DestinationObject, ObjectMeta, TransferFailure, TransferRequest
from transfer.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Bytes of one object and the headers they came with (names in lower case)."""

    body: memoryview
    headers: Mapping[str, str]


class ObjectSource(Protocol):
    """Reads objects through the edge. One instance a lane, for one step at a time."""

    def fetch(self, item: ObjectMeta) -> Step[Fetched]:
        """The whole object in one GET, its length and ETag checked against the listing."""

    def fetch_range(self, item: ObjectMeta, start: int, count: int) -> Step[Fetched]:
        """Exactly `count` bytes from `start`; only a 206 with the very Content-Range asked for is accepted."""


class Upload(Protocol):
    """An upload in progress, made of consecutive parts. Nothing is visible before the last part is accepted."""

    def write(self, part: memoryview, *, is_last: bool) -> Step[DestinationObject | None]:
        """Send the next part; after the last one, what Cloud Storage stored, its CRC32C equal to what was sent."""

    def abort(self) -> Step[None]:
        """Give the upload up and let the other side free what it holds."""


class ObjectSink(Protocol):
    """Writes objects to the destination bucket. One instance a lane, for one step at a time."""

    def put(
        self, name: str, body: memoryview, resource: Mapping[str, object], generation: int
    ) -> Step[DestinationObject]:
        """Store a small object in one request, on condition that the destination's generation is the one given.

        Raises GenerationMismatch when it is not.
        """

    def begin(self, name: str, size_bytes: int, resource: Mapping[str, object], generation: int) -> Step[Upload]:
        """Start the upload of a large object under the same condition."""

    def stat(self, name: str) -> Step[DestinationObject | None]:
        """What is there now, or None."""


class TransferLoop(Protocol):
    """Drives many steps from one thread."""

    def run(self, lanes: Sequence[Step[None]]) -> None:
        """Drive the lanes until all have ended. Raises Stopped after a stop request, or what a lane raises."""


class GenerationMismatch(Exception):
    """The destination is not at the generation the upload was conditional on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was pulled."""

    ack_id: str
    body: bytes
    attributes: Mapping[str, str]


class RequestQueue(Protocol):
    """The run's own subscription. Thread-safe."""

    ack_deadline_s: int

    def pull(self, max_messages: int, wait_s: float) -> Sequence[Delivery]:
        """Up to `max_messages`, waiting at most about `wait_s` for the first; none is a normal answer."""

    def ack(self, ack_ids: Sequence[str]) -> None:
        """These are settled and will not be delivered again."""

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Keep these leased for so many seconds from now; 0 gives them back at once (nack)."""


class RequestPublisher(Protocol):
    """Publishes transfer requests, many at a time."""

    def publish(self, request: TransferRequest) -> None:
        """Hand one over; blocks while too many are on their way."""

    def flush(self) -> None:
        """Return once everything handed over is stored by Pub/Sub."""


class FailureSink(Protocol):
    """The error topic. Thread-safe."""

    def publish(self, failures: Iterable[TransferFailure]) -> None:
        """Return once all of them are stored by Pub/Sub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """One record object under the state prefix."""

    name: str
    metadata: Mapping[str, str]


class StateStore(Protocol):
    """Small record objects under one run's state prefix: manifest, ledger, report. Thread-safe."""

    uri: str

    def write(self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Store a record, replacing one of that name. `name` is relative to the run's prefix."""

    def read(self, name: str) -> bytes:
        """A record's bytes."""

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        """The records whose relative names begin with the prefix, in byte order."""

    def delete(self, name: str) -> None:
        """Remove a record; one that is gone already is no error."""
