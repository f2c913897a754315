"""The messages on the two topics, as bytes and attributes. docs/messages.md describes them; nothing read is trusted.

A message carries keys and what S3 listed of them. It never carries a host, a URL, a signature or a destination: those
come from the task's own parameters and connections, so a forged message can point a worker nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from transfer.errors import InvalidMessage, Stage
from transfer.model import ObjectMeta, TransferFailure, TransferRequest

VERSION = 1
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


def decode_request(body: bytes, attributes: Mapping[str, str]) -> TransferRequest:
    """The request in a message. Raises InvalidMessage, which names what is wrong with it."""
    try:
        document = json.loads(body.decode("utf-8", "surrogatepass"))
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
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidMessage(f"not a transfer request: {reason[:200]}", stage=Stage.MESSAGE) from error


def object_fields(item: ObjectMeta) -> dict[str, object]:
    """One listed object, as messages and manifests hold it."""
    fields: dict[str, object] = {
        "key": item.key,
        "size": item.size_bytes,
        "etag": item.etag,
        "mtime": item.last_modified,
    }
    if item.storage_class != "STANDARD":
        fields["class"] = item.storage_class
    if item.version_id:
        fields["version"] = item.version_id
    if item.replaces_generation:
        fields["replaces"] = item.replaces_generation
    return fields


def object_of(fields: Mapping[str, object]) -> ObjectMeta:
    """The object that `object_fields` wrote. Raises ValueError, TypeError or KeyError for anything else."""
    return ObjectMeta(
        key=_text(fields["key"]),
        size_bytes=_count(fields["size"]),
        etag=_text(fields["etag"]),
        last_modified=_count(fields["mtime"]),
        storage_class=_text(fields.get("class", "STANDARD")),
        replaces_generation=_count(fields.get("replaces", 0)),
        version_id=_text(fields["version"]) if "version" in fields else "",
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a whole number of at least 0")
    return value


def encode_failure(failure: TransferFailure, *, run_id: str) -> tuple[bytes, dict[str, str]]:
    """Body and attributes of a failure record."""
    body = json.dumps(
        {
            "version": VERSION,
            "key": failure.key,
            "stage": failure.stage,
            "error_code": failure.error_code,
            "http_status": failure.http_status,
            "attempts": failure.attempts,
            "message": failure.message,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    attributes = {RUN: run_id, "stage": str(failure.stage), "error_code": failure.error_code}
    return body.encode("utf-8", "surrogatepass"), attributes


def decode_failure(body: bytes) -> TransferFailure:
    """The failure record in a message. Raises InvalidMessage."""
    try:
        document = json.loads(body.decode("utf-8", "surrogatepass"))
        status = document["http_status"]
        return TransferFailure(
            key=str(document["key"]),
            stage=Stage(document["stage"]),
            error_code=_text(document["error_code"]),
            http_status=None if status is None else _count(status),
            attempts=_count(document["attempts"]),
            message=str(document["message"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidMessage(f"not a failure record: {error!r:.200}", stage=Stage.RECONCILE) from error
