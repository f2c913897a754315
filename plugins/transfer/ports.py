"""The protocols between the engine and the world. Backends implement them; tests may, too.

Every method may raise `TransferError` and nothing else, but for `Stopped` where a transfer is broken off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transfer.model import (
    DestinationObject,
    ObjectMeta,
    OpenParts,
    Proof,
    Removed,
    ReplacedVersion,
    SourceKey,
    StoredPart,
    TransferFailure,
    TransferRequest,
)
from transfer.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Bytes of one object and the headers they came with (names in lower case)."""

    body: memoryview
    headers: Mapping[str, str]


class ByteStream(Protocol):
    """A body on its way, held back until it is taken."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the answer; names in lower case."""

    def close(self) -> None:
        """Break it off, or let go of one that has ended. Safe to call twice."""


class ObjectSource(Protocol):
    """Reads objects through the edge. One instance a lane, for one step at a time."""

    def fetch(self, item: ObjectMeta) -> Step[Fetched]:
        """The whole object in one GET, its length and ETag checked against the listing."""

    def open(self, item: ObjectMeta, start: int, count: int) -> Step[ByteStream]:
        """Exactly `count` bytes from `start` as a stream, likewise checked. The caller closes it."""

    def checksum(self, item: ObjectMeta, start: int, count: int) -> Step[str]:
        """The CRC32C (base64) of those bytes, read once more. Raises SourceUnproven when nothing says of what they are."""

    def read(
        self, item: ObjectMeta, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[Mapping[str, str]]:
        """Read those bytes for `observe` alone; the headers that they came with."""


class StreamUpload(Protocol):
    """An upload that takes one object's bytes in order. Nothing is visible before the last of them is accepted."""

    token: str
    """What another worker needs to go on with it; empty where no other worker can."""
    needs_md5: bool
    """Whether what proves the bytes has to be computed here."""

    def position(self) -> Step[int | DestinationObject]:
        """How many bytes it holds for good, or the object once it is complete. Raises UploadGone."""

    def send(
        self, stream: Any, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[int | DestinationObject]:
        """`count` bytes from byte `start` on: the position after them, or the object once it is complete.

        `count` is a multiple of 256 KiB or reaches the end. `observe` gets each byte once, however often it has to be
        sent. Raises SinkUnavailable when only some were taken, CorruptTransfer when something else was stored (it is
        removed), UploadGone, GenerationMismatch.
        """

    def abort(self) -> Step[None]:
        """Give it up."""


class PartsUpload(Protocol):
    """An upload in parts, in any order. Nothing is visible before it is completed. It knows no conditions."""

    token: str
    """What another lane or another worker needs to go on with it."""

    def put(self, number: int, stream: Any, count: int, *, wants_md5: bool) -> Step[StoredPart]:
        """The next `count` bytes of the stream as a part. Raises CorruptTransfer, UploadGone.

        The MD5 may be missing though it is wanted; the part then has to be put once more.
        """

    def complete(self, parts: Sequence[StoredPart], expected_crc32c: str) -> Step[DestinationObject]:
        """Join all parts, in order, unless their CRC32C (base64) is not the one expected, if one is.

        Raises CorruptTransfer when something else was stored (it is removed), GenerationMismatch when what is there now
        is somebody else's, UploadGone.
        """

    def is_open(self) -> Step[bool]:
        """Whether it was neither completed nor ended."""

    def abort(self) -> Step[None]:
        """Give it up, and free its parts."""


class ObjectSink(Protocol):
    """Writes objects to the destination bucket. One instance a lane, for one step at a time."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""

    @property
    def takes_parts(self) -> bool:
        """False once it is known that the server has no uploads in parts."""

    def put(
        self,
        name: str,
        body: bytes | memoryview,
        resource: Mapping[str, object],
        generation: int | None,
        *,
        proof: Proof | None = None,
    ) -> Step[DestinationObject]:
        """Store a small object in one request, on condition that the destination's generation is the one given.

        None is no condition. `proof` binds the label in its metadata to the bytes. Raises GenerationMismatch when another
        generation is there.
        """

    def set_proof(self, stored: DestinationObject, text: str) -> Step[DestinationObject]:
        """Bind the label of an object, as it is stored, to its bytes (`transfer/labels.py`): nothing else of it changes.

        Safe to call again after an answer that was lost. Raises GenerationMismatch when another generation is there.
        """

    @property
    def hashes_md5(self) -> bool:
        """False once it is known that the server names no MD5 of what it stored."""

    def put_stream(
        self,
        name: str,
        stream: Any,
        size_bytes: int,
        resource: Mapping[str, object],
        generation: int,
        *,
        md5: str,
        observe: Callable[[bytes], None],
    ) -> Step[DestinationObject]:
        """The same with a body that comes as a stream. `md5`, hexadecimal or empty, is checked by the server.

        `observe` gets what is sent. Raises CorruptTransfer when something else was stored, which is removed then.
        """

    def stat(self, name: str) -> Step[DestinationObject | None]:
        """What is there now, or None."""

    def read(self, name: str) -> Step[bytes | None]:
        """The bytes of a small object, or None."""

    def delete(self, name: str, generation: int | None = None) -> Step[Removed]:
        """Remove an object, if it is at this generation (None: any); one that is gone already is no error.

        Raises GenerationMismatch when something else is there.
        """

    def remove(self, stored: DestinationObject, why: str) -> Step[DestinationObject]:
        """Remove an object that is not what it should be, by its generation, and raise CorruptTransfer."""

    def begin_stream(
        self, name: str, size_bytes: int, resource: Mapping[str, object], generation: int, *, md5: str
    ) -> Step[StreamUpload]:
        """Begin an upload in order, under the same condition. `md5` (hexadecimal) is checked by the server at the end."""

    def stream_upload(self, name: str, token: str, size_bytes: int, *, md5: str) -> StreamUpload:
        """One begun earlier, to this name, by its token."""

    def begin_parts(self, name: str, resource: Mapping[str, object]) -> Step[PartsUpload | None]:
        """Begin an upload in parts; None where there is no such thing, or not for this metadata."""

    def parts_upload(self, name: str, token: str) -> PartsUpload:
        """One begun earlier."""

    def replaced_versions(self, name: str) -> Step[Sequence[ReplacedVersion]]:
        """What was the object of a name once, as far as the bucket keeps that; perhaps with what is there now."""

    def open_parts(self, name: str) -> Step[Sequence[OpenParts]]:
        """The uploads in parts of exactly this name that are open, whoever began them."""


class TransferLoop(Protocol):
    """Drives many steps from one thread."""

    def run(self, lanes: Sequence[Step[None]]) -> None:
        """Drive the lanes until all have ended. Raises Stopped after a stop request, or what a lane raises."""


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
    created_at_s: float = 0.0
    """By Cloud Storage's clock; 0 where it does not say."""


class SourceKeys(Protocol):
    """Single keys of the source bucket."""

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        """Of each key, whether the bucket has it now. Raises nothing."""


class StateStore(Protocol):
    """Small record objects under one run's state prefix: manifest, ledger, report. Thread-safe."""

    uri: str

    def write(self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Store a record, replacing one of that name. `name` is relative to the run's prefix."""

    def read(self, name: str) -> bytes:
        """A record's bytes."""

    def created_at_s(self, name: str) -> float:
        """When a record was stored, by Cloud Storage's clock; 0 where it does not say."""

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        """The records whose relative names begin with the prefix, in byte order."""

    def delete(self, name: str) -> None:
        """Remove a record; one that is gone already is no error."""
