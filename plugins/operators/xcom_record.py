"""Frozen records that tasks hand to each other through XCom, where they are plain JSON objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self, get_type_hints

from airflow.sdk.exceptions import AirflowFailException

JSON_TYPES: Mapping[type, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}
"""The types that a JSON value may have for a field of each type."""


def plain_json(document: Mapping[str, object]) -> dict[str, Any]:
    """The document as Airflow stores it unchanged: of dicts, lists, texts and numbers alone.

    Airflow wraps tuples and enums with the names of their classes, and refuses lone surrogates, which keys may have: they become
    question marks.
    """
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return dict(json.loads(text))


@dataclass(frozen=True, kw_only=True)
class XComRecord:
    """Base of the records. Their fields are texts, numbers, flags, and records of the same kind."""

    def to_dict(self) -> dict[str, Any]:
        """The record as a JSON object for XCom."""
        return asdict(self)

    @classmethod
    def of(cls, given: object, sender: str) -> Self:
        """The record that the task `sender` handed over.

        Raises AirflowFailException, in one sentence, for anything but such a record: one that is damaged, or that another
        version of Edgehaul wrote.
        """
        if not isinstance(given, Mapping):
            raise _unusable(sender, f"it is {type(given).__name__}, not a {cls.__name__}")
        types = get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in given:
                values[field.name] = _value(given[field.name], field.name, types[field.name], sender)
            elif field.default is MISSING:
                raise _unusable(sender, f"{field.name} is missing")
        if unknown := [repr(name) for name in given if name not in types]:
            raise _unusable(sender, f"{', '.join(unknown)} is unknown to this version of Edgehaul")
        return cls(**values)


def _value(value: object, name: str, wanted: type, sender: str) -> object:
    if issubclass(wanted, XComRecord):
        return wanted.of(value, sender)
    is_flag = isinstance(value, bool)  # in Python, a bool is an int as well
    if not isinstance(value, JSON_TYPES[wanted]) or (is_flag and wanted is not bool):
        raise _unusable(sender, f"{name} is {value!r}")
    return value


def _unusable(sender: str, problem: str) -> AirflowFailException:
    return AirflowFailException(
        f"the XCom of {sender} cannot be used ({problem}): clear {sender} with what is downstream of it"
    )
