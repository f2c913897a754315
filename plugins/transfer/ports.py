"""The protocols between the engine and the services that it uses. The backends implement them; tests may, too.

A method raises only `TransferError`, the exceptions named in its docstring, and `Stopped` when a stop request interrupts it.
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
    """The bytes of one object and the headers of the response that carried them (names in lower case)."""

    body: memoryview
    headers: Mapping[str, str]


class ByteStream(Protocol):
    """The body of a response in flight. The server is held back until the body is read (flow control)."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the response; names in lower case."""

    def close(self) -> None:
        """Abort the response, or release it if it has ended. Safe to call twice."""


class ObjectSource(Protocol):
    """Reads objects through the edge. Each lane has its own instance, which runs one step at a time."""

    def fetch(self, item: ObjectMeta) -> Step[Fetched]:
        """Read the whole object with one GET; its length and ETag are checked against the listing."""

    def open(self, item: ObjectMeta, start: int, count: int) -> Step[ByteStream]:
        """Open exactly `count` bytes from offset `start` as a stream; length and ETag are checked against the listing.

        The caller closes the stream.
        """

    def checksum(self, item: ObjectMeta, start: int, count: int) -> Step[str]:
        """Read `count` bytes from offset `start` and return their CRC32C in base64.

        Raises SourceUnproven when the response does not identify the content (it has no ETag).
        """

    def read(
        self, item: ObjectMeta, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[Mapping[str, str]]:
        """Read `count` bytes from offset `start`, pass them to `observe`, and return the headers of the response."""


class StreamUpload(Protocol):
    """An upload that takes the bytes of one object in order. The object is not visible until the last byte is accepted."""

    token: str
    """Identifies the upload, so that another worker can resume it; empty if no other worker can."""
    needs_md5: bool
    """Whether the MD5 of the bytes has to be computed by the caller."""

    def position(self) -> Step[int | DestinationObject]:
        """The number of bytes that the server has stored, or the object once it is complete. Raises UploadGone."""

    def send(
        self, stream: Any, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[int | DestinationObject]:
        """Send `count` bytes from offset `start` on, and return the position after them, or the object once it is complete.

        `count` is a multiple of 256 KiB or reaches the end. `observe` gets each byte once, even if it has to be sent
        several times. Raises SinkUnavailable when the server accepted only some of the bytes, CorruptTransfer when the
        stored object differs (it is removed), UploadGone, GenerationMismatch.
        """

    def abort(self) -> Step[None]:
        """Cancel the upload."""


class PartsUpload(Protocol):
    """An upload in parts, which may be sent in any order. The object is not visible until the upload is completed.

    Unlike the other uploads it cannot be made conditional on the destination's generation.
    """

    token: str
    """Identifies the upload, so that another lane or another worker can resume it."""

    def put(self, number: int, stream: Any, count: int, *, wants_md5: bool) -> Step[StoredPart]:
        """Upload the next `count` bytes of the stream as a part. Raises CorruptTransfer, UploadGone.

        The MD5 of the result may be missing even if `wants_md5` is set; the part then has to be uploaded once more.
        """

    def complete(self, parts: Sequence[StoredPart], expected_crc32c: str) -> Step[DestinationObject]:
        """Join all parts in order. `expected_crc32c` (base64) is compared with their CRC32C first, unless it is empty.

        Raises CorruptTransfer when the checksum or the stored object differs (the object is removed), GenerationMismatch
        when another writer has replaced the object, UploadGone.
        """

    def is_open(self) -> Step[bool]:
        """Whether the upload was neither completed nor aborted."""

    def abort(self) -> Step[None]:
        """Abort the upload and delete its parts."""


class ObjectSink(Protocol):
    """Writes objects to the destination bucket. Each lane has its own instance, which runs one step at a time."""

    @property
    def bucket(self) -> str:
        """The name of the destination bucket."""

    @property
    def takes_parts(self) -> bool:
        """False once it is known that the server does not support uploads in parts."""

    def put(
        self,
        name: str,
        body: bytes | memoryview,
        resource: Mapping[str, object],
        generation: int | None,
        *,
        proof: Proof | None = None,
    ) -> Step[DestinationObject]:
        """Store a small object with one request, if the destination object has the given generation (None: any).

        With `proof`, the label in its metadata is bound to the bytes. Raises GenerationMismatch when the destination has
        another generation.
        """

    def set_proof(self, stored: DestinationObject, text: str) -> Step[DestinationObject]:
        """Bind the label of a stored object to its bytes (`transfer/labels.py`). Nothing else of the object changes.

        Safe to call again after a lost response. Raises GenerationMismatch when the destination has another generation.
        """

    @property
    def hashes_md5(self) -> bool:
        """False once it is known that the server does not report the MD5 of stored objects."""

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
        """Like `put`, but the body is a stream. The server checks `md5` (hexadecimal) unless it is empty.

        `observe` gets the bytes sent. Raises CorruptTransfer when the stored object differs (it is removed).
        """

    def stat(self, name: str) -> Step[DestinationObject | None]:
        """The object that has this name now, or None."""

    def read(self, name: str) -> Step[bytes | None]:
        """The bytes of a small object, or None if it does not exist."""

    def delete(self, name: str, generation: int | None = None) -> Step[Removed]:
        """Delete an object if it has this generation (None: any). It is not an error if the object is already gone.

        Raises GenerationMismatch when the object has another generation.
        """

    def remove(self, stored: DestinationObject, why: str) -> Step[DestinationObject]:
        """Delete this generation of an object whose content is wrong, and raise CorruptTransfer with the reason `why`."""

    def begin_stream(
        self, name: str, size_bytes: int, resource: Mapping[str, object], generation: int, *, md5: str
    ) -> Step[StreamUpload]:
        """Start an upload in order, conditional on the destination's generation. The server checks `md5` at its end."""

    def stream_upload(self, name: str, token: str, size_bytes: int, *, md5: str) -> StreamUpload:
        """Return the upload of this name that was started earlier, by its token."""

    def begin_parts(self, name: str, resource: Mapping[str, object]) -> Step[PartsUpload | None]:
        """Start an upload in parts; None if the server does not support it, or not with this metadata."""

    def parts_upload(self, name: str, token: str) -> PartsUpload:
        """Return the upload in parts of this name that was started earlier, by its token."""

    def replaced_versions(self, name: str) -> Step[Sequence[ReplacedVersion]]:
        """The earlier generations of an object that the bucket keeps; the live generation may be among them."""

    def open_parts(self, name: str) -> Step[Sequence[OpenParts]]:
        """The open uploads in parts of exactly this name, including those of other writers."""


class TransferLoop(Protocol):
    """Runs many steps at the same time in one thread."""

    def run(self, lanes: Sequence[Step[None]]) -> None:
        """Run the lanes until all have ended. Raises Stopped after a stop request, or the exception that a lane raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message that was pulled from the subscription."""

    ack_id: str
    body: bytes
    attributes: Mapping[str, str]


class RequestQueue(Protocol):
    """Pulls messages from the run's own subscription. Thread-safe."""

    ack_deadline_s: int
    """The time until an unacknowledged message is delivered again, in seconds."""

    def pull(self, max_messages: int, wait_s: float) -> Sequence[Delivery]:
        """Pull up to `max_messages`, waiting about `wait_s` at most for the first. The result may be empty."""

    def ack(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge messages, so that they are not delivered again."""

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Set the acknowledgement deadline of messages to `seconds` from now; 0 gives them back at once (nack)."""


class RequestPublisher(Protocol):
    """Publishes transfer requests in batches."""

    def publish(self, request: TransferRequest) -> int:
        """Accept a request for publishing; the bytes that are billed for it. Blocks while too many are in flight."""

    def flush(self) -> None:
        """Return once Pub/Sub has stored all accepted requests."""


class FailureSink(Protocol):
    """Publishes failures to the error topic. Thread-safe."""

    def publish(self, failures: Iterable[TransferFailure]) -> None:
        """Publish the failures. Returns once Pub/Sub has stored all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """One record that is stored as an object under the state prefix."""

    name: str
    metadata: Mapping[str, str]
    created_at_s: float = 0.0
    """When it was stored, by Cloud Storage's clock; 0 if it does not report the time."""


class SourceKeys(Protocol):
    """Looks up single keys in the source bucket."""

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        """Look up each key. Errors do not raise; they are in the result, in the order of the keys."""


class StateStore(Protocol):
    """The small record objects under the state prefix of one run: manifest, ledger, report. Thread-safe."""

    uri: str

    def write(self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Store a record, replacing an existing one of that name. `name` is relative to the run's prefix."""

    def read(self, name: str) -> bytes:
        """The bytes of a record."""

    def created_at_s(self, name: str) -> float:
        """When a record was stored, by Cloud Storage's clock; 0 if it does not report the time."""

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        """The records whose relative names start with the prefix, in byte order."""

    def delete(self, name: str) -> None:
        """Delete a record. It is not an error if the record is already gone."""
