"""Encodes and decodes the messages on the two topics, which docs/messages.md describes. No message is trusted.

A message carries keys and their attributes as S3 listed them. It never carries a host, a URL, a signature or a destination: those
come from the task's own parameters and connections, so a forged message cannot direct a worker to another place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transfer.errors import InvalidMessage, Stage
from transfer.model import ObjectMeta, TransferFailure, TransferRequest
from transfer.plain_text import one_line

VERSION = 1
MAX_BODY_BYTES = 4 * 1024**2
"""The longest message that is decoded: ten times the size of 64 objects with the longest keys."""
MAX_TEXT_CHARACTERS = 16 * 1024
"""The longest key or other text in a message. S3's keys have at most 1,024 bytes; longer keys of other servers are read, so
that they fail under their own name."""
MAX_COUNT = 2**63 - 1
"""The largest number in a message: the largest 64-bit integer of SQLite and Cloud Storage."""
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""The exceptions that decoding raises for invalid JSON, for JSON nested too deeply, and for missing or wrong fields."""
MIN_BILLED_BYTES = 1_000
"""The least that is billed for a publish or pull request (Pub/Sub pricing)."""
MESSAGE_EXTRA_BYTES = 20 + 17
"""Billed for a message besides its body and attributes: the time, and the id of about 17 digits (Pub/Sub pricing)."""
RUN = "run"
LISTING = "listing"


def encode_request(request: TransferRequest) -> tuple[bytes, dict[str, str]]:
    """Body and attributes of a transfer request."""
    body = json.dumps(
        {
            "version": VERSION,
            "number": request.number,
            **({"attempt": request.attempt} if request.attempt > 1 else {}),
            "objects": [object_fields(item) for item in request.objects],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    attributes = {
        RUN: request.run_id,
        LISTING: request.listing,
        "objects": str(len(request.objects)),
        "bytes": str(request.size_bytes),
    }
    return body.encode("utf-8", "surrogatepass"), attributes


def billed_bytes(body: bytes, attributes: Mapping[str, str]) -> int:
    """The bytes that Pub/Sub bills for a message that is published once and delivered once, in a separate request each."""
    attributes_bytes = sum(len(name) + len(value) for name, value in attributes.items())
    return 2 * max(MIN_BILLED_BYTES, len(body) + attributes_bytes + MESSAGE_EXTRA_BYTES)


def decode_request(body: bytes, attributes: Mapping[str, str]) -> TransferRequest:
    """The request in a message. Raises InvalidMessage, which names the problem."""
    try:
        document = _document(body)
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']!r} is not {VERSION}")
        objects = tuple(object_of(fields) for fields in document["objects"])
        if not objects:
            raise ValueError("it names no object")
        return TransferRequest(
            run_id=attributes[RUN],
            listing=attributes[LISTING],
            number=_count(document["number"]),
            objects=objects,
            attempt=_count(document.get("attempt", 1)),
        )
    except UNREADABLE as error:
        raise InvalidMessage(f"not a transfer request: {why_unreadable(error)}", stage=Stage.MESSAGE) from error


def why_unreadable(error: Exception) -> str:
    """A short text about the problem with a document that could not be decoded."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return "it is nested too deep" if isinstance(error, RecursionError) else one_line(str(error), 200)


def _document(body: bytes) -> Any:
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"it has {len(body):,} bytes")
    return json.loads(body.decode("utf-8", "surrogatepass"))


def object_fields(item: ObjectMeta) -> dict[str, object]:
    """The JSON fields of one listed object in messages and manifests."""
    fields: dict[str, object] = {
        "key": item.key,
        "size": item.size_bytes,
        "etag": item.etag,
        "mtime": item.last_modified_s,
    }
    if item.storage_class != "STANDARD":
        fields["class"] = item.storage_class
    if item.version_id:
        fields["version"] = item.version_id
    if item.replaces_generation:
        fields["replaces"] = item.replaces_generation
    return fields


def object_of(fields: Mapping[str, object]) -> ObjectMeta:
    """The object that `object_fields` wrote. Raises one of UNREADABLE for anything else."""
    return ObjectMeta(
        key=_text(fields["key"]),
        size_bytes=_count(fields["size"]),
        etag=_text(fields["etag"]),
        last_modified_s=_count(fields["mtime"]),
        storage_class=_text(fields.get("class", "STANDARD")),
        replaces_generation=_count(fields.get("replaces", 0)),
        version_id=_text(fields["version"]) if "version" in fields else "",
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r:.80} is not a text")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"a text has {len(value):,} characters")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"{value!r:.80} is not a whole number from 0 to {MAX_COUNT}")
    return value


def encode_failure(failure: TransferFailure, *, run_id: str) -> tuple[bytes, dict[str, str]]:
    """Body and attributes of a failure record."""
    fields = {"version": VERSION, **failure_fields(failure)}
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    attributes = {RUN: run_id, "stage": str(failure.stage), "error_code": failure.error_code}
    return body.encode("utf-8", "surrogatepass"), attributes


def decode_failure(body: bytes) -> TransferFailure:
    """The failure record in a message. Raises InvalidMessage."""
    try:
        return failure_of_fields(_document(body))
    except UNREADABLE as error:
        raise InvalidMessage(f"not a failure record: {why_unreadable(error)}", stage=Stage.RECONCILE) from error


def failure_fields(failure: TransferFailure) -> dict[str, object]:
    """The JSON fields of one failure in messages and in the records of failures."""
    return {
        "key": failure.key,
        "stage": failure.stage,
        "error_code": failure.error_code,
        "http_status": failure.http_status,
        "attempts": failure.attempts,
        "message": failure.message,
    }


def failure_of_fields(fields: Mapping[str, object]) -> TransferFailure:
    """The failure in a record's fields. Raises one of UNREADABLE for anything else.

    The fields are not trusted: texts are reduced to one plain line, except for the key, which has to stay exact.
    """
    status, key = fields["http_status"], fields["key"]
    return TransferFailure(
        key=_text(key) if key else "",
        stage=Stage(str(fields["stage"])),
        error_code=one_line(_text(fields["error_code"]), 100),
        http_status=None if status is None else _count(status),
        attempts=_count(fields["attempts"]),
        message=one_line(str(fields["message"])),
    )
