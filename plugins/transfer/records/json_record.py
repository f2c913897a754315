"""Records that are one JSON document each: run.json, listing.json, cursor.json, verdict.json, plan.json and report.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from transfer.errors import InvalidMessage, RecordDamaged
from transfer.ports import StateStore
from transfer.records.damage import damage_reported

T = TypeVar("T")


def write_json(state: StateStore, name: str, document: Mapping[str, object]) -> None:
    """Store a document as the record `name`, replacing an earlier one. Keys of objects in it may hold lone surrogates."""
    body = json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass")
    state.write(name, body, content_type="application/json")


def read_json(state: StateStore, name: str, decode: Callable[[dict[str, Any]], T]) -> T:
    """The record `name`, as `decode` makes it from the document's fields.

    Raises InvalidMessage when there is no such record, and RecordDamaged when it is not JSON or `decode` rejects it.
    """
    body = state.read(name)
    with damage_reported(state, name):
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise TypeError("it is not a JSON object")
        return decode(fields)


def find_json(state: StateStore, name: str, decode: Callable[[dict[str, Any]], T]) -> T | None:
    """Like `read_json`, but None when there is no such record or it is damaged."""
    try:
        return read_json(state, name, decode)
    except (InvalidMessage, RecordDamaged):
        return None
