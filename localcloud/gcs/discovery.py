"""What the discovery document of the JSON API says: which values a parameter takes, and which fields an answer has.

The document is Google's own, as google-api-python-client carries it.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

from localcloud.gcs.errors import ApiError

FieldTree = dict[str, "FieldTree"]


@functools.cache
def _document() -> dict[str, Any]:
    folder = importlib.resources.files("googleapiclient.discovery_cache") / "documents" / "storage.v1.json"
    document: dict[str, Any] = json.loads(folder.read_text(encoding="utf-8"))
    return document


def check_parameters(kind: str, query: dict[str, str]) -> None:
    """Raises ApiError 400 for a value that a method's parameter does not take. `kind` is `objects.list` and so on."""
    resource, _, method = kind.partition(".")
    known = _document()["parameters"] | _document()["resources"][resource]["methods"][method]["parameters"]
    for name, value in query.items():
        allowed = known.get(name, {}).get("enum")
        if allowed and value not in allowed:
            reason = "invalidAltValue" if name == "alt" else "invalidParameter"
            raise ApiError(400, reason, f"Invalid value for {name}: {value!r}. Valid values are: {allowed}")


def check_fields(kind: str, tree: FieldTree) -> None:
    """Raises ApiError 400 for a selection of fields that the method's answer does not have."""
    resource, _, method = kind.partition(".")
    answer = _document()["resources"][resource]["methods"][method].get("response")
    if answer is not None:
        _check(tree, answer)


def _check(tree: FieldTree, schema: dict[str, Any]) -> None:
    schema = _document()["schemas"][schema["$ref"]] if "$ref" in schema else schema
    if "items" in schema:
        _check(tree, schema["items"])
        return
    for name, below in tree.items():
        if name == "*" or "additionalProperties" in schema:
            continue
        if name not in schema.get("properties", {}):
            raise ApiError(400, "invalidParameter", f"Invalid field selection {name}")
        _check(below, schema["properties"][name])
