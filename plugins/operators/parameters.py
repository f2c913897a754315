"""The rules for a run's parameters: for the form, for preflight, which reports all problems at once, and for the tasks that
use the parameters. No function here sends a request.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hooks.selection import BOUNDS, LISTS, selection_of
from operators.prefixes import DatedPrefix, InvalidPrefix, prefix_problem
from transfer.config import Mode, Overwrite
from transfer.deletion.extraneous import DeleteExtraneous
from transfer.errors import InvalidSelection
from transfer.limits import (
    KEEP_RUNS,
    MAX_DELETE_OBJECTS,
    MAX_DELETE_PERCENT,
    PART_SIZE_MIB,
    THREADS,
    VERIFY_SAMPLE_PERCENT,
    WORKERS,
    Limits,
)


class InvalidParameter(ValueError):
    """A value that no task can use. The message names the parameter and the value, and says what to choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number that a person may set."""

    limits: Limits | None = None
    """None for a rate, which may be any positive number; empty and 0 mean that there is no limit."""
    unit: str = ""
    is_whole: bool = True

    @property
    def choice(self) -> str:
        """A phrase that says which values are allowed."""
        if self.limits is None:
            return f"a number of {self.unit} per second, or leave the field empty for no limit"
        return f"{self.limits} {self.unit}".rstrip()

    @property
    def default(self) -> int | None:
        """The value of a parameter that is not set; None for a rate, which then has no limit."""
        return None if self.limits is None else self.limits.default

    @property
    def schema(self) -> dict[str, Any]:
        """The limits as JSON schema, for a field of the form, which may always be empty."""
        kind = "integer" if self.is_whole else "number"
        low, high = (0, None) if self.limits is None else (self.limits.low, self.limits.high)
        return {"type": ["null", kind], "minimum": low, **({} if high is None else {"maximum": high})}


NUMBERS: Mapping[str, Number] = {
    "max_delete_percent": Number(limits=MAX_DELETE_PERCENT, is_whole=False),
    "max_delete_objects": Number(limits=MAX_DELETE_OBJECTS),
    "verify_sample": Number(limits=VERIFY_SAMPLE_PERCENT, is_whole=False),
    "workers": Number(limits=WORKERS),
    "threads": Number(limits=THREADS),
    "part_size_mib": Number(limits=PART_SIZE_MIB, unit="MiB"),
    "bandwidth_limit_mib_s": Number(unit="MiB", is_whole=False),
    "max_requests_per_s": Number(unit="requests", is_whole=False),
    "keep_runs": Number(limits=KEEP_RUNS),
}
CHOICES: Mapping[str, Sequence[str]] = {
    "overwrite": tuple(each.value for each in Overwrite),
    "delete_extraneous": tuple(each.value for each in DeleteExtraneous),
    "mode": tuple(each.value for each in Mode),
}
STORAGE_CLASSES = (
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
)
"""Storage classes of S3 (API reference, `Object`), without those of directory buckets and devices, which have no distribution."""
FLAGS = ("ramp_up", "allow_empty", "verbose")
TRUE, FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no", "none", ""})
PREFIXES = ("source_prefix", "destination_prefix", "source_listing")
"""Parameters with date codes and placeholders, which are filled in for each task."""
WHAT_TO_COPY = ("only_failed", "plan_run", "source_listing")
"""Parameters that name the objects to copy, in place of a listing of S3."""
CHECKED = (*NUMBERS, *CHOICES, *FLAGS, *PREFIXES, "only_failed", "plan_run")
"""The parameters that `value_problems` checks, besides the selection."""


def number(name: str, value: float | str | None) -> float | None:
    """A number as a template renders it; None for no limit. Raises InvalidParameter."""
    rule = NUMBERS[name]
    if rule.limits is None and value in (None, "", 0):
        return None
    try:
        found = int(str(value)) if rule.is_whole else float(str(value))
    except ValueError:
        if rule.is_whole:
            raise InvalidParameter(f"{name} is {value!r}: choose a whole number, {rule.choice}") from None
        found = math.nan
    is_allowed = 0 <= found < math.inf if rule.limits is None else rule.limits.has(found)
    if not is_allowed:
        raise InvalidParameter(f"{name} is {found if rule.is_whole else repr(value)}: choose {rule.choice}")
    return None if rule.limits is None and not found else found


def whole(name: str, value: int | str) -> int:
    """A whole number as a template renders it. Raises InvalidParameter."""
    found = number(name, value)
    assert found is not None, f"{name} has no limit"
    return int(found)


def choice(name: str, value: str) -> str:
    """The value, if it is one of the choices of this parameter. Raises InvalidParameter."""
    if value not in CHOICES[name]:
        raise InvalidParameter(f"{name} is {value!r}: choose {_either(CHOICES[name])}")
    return value


def as_bool(value: bool | str) -> bool:
    """A flag as a template renders it: `True`, `true`, `False`, ``. Any other text is false, and preflight refuses it."""
    return value if isinstance(value, bool) else value.strip().lower() in TRUE


def value_problems(
    values: Mapping[str, Any], selection: Mapping[str, str], *, now_s: float
) -> Iterator[tuple[str, str]]:
    """All problems with the values that are given: the parameter to change, and a sentence.

    `selection` has the fields that `hooks.selection` reads. A value that is missing is not checked.
    """
    for name, value in values.items():
        try:
            _check(name, value)
        except InvalidParameter as error:
            yield name, str(error)
    yield from selection_problems(selection, now_s=now_s)
    named = [name for name in WHAT_TO_COPY if values.get(name)]
    if len(named) > 1:
        yield named[0], f"{' and '.join(named)} each name the objects to copy: set only one of them"
    wish = values.get("delete_extraneous") or DeleteExtraneous.OFF
    if values.get("source_listing") and wish != DeleteExtraneous.OFF:
        yield (
            "delete_extraneous",
            f"delete_extraneous is {wish!r} and source_listing {values['source_listing']!r}: an inventory or a manifest may"
            " not name every object of the source, so choose off, or leave source_listing empty",
        )
    if problem := prefix_problem(
        values.get("source_prefix") or "", values.get("destination_prefix") or "", deletes=wish != DeleteExtraneous.OFF
    ):
        yield "source_prefix", problem
    if values.get("mode") == Mode.VERIFY and wish == DeleteExtraneous.DELETE:
        yield (
            "delete_extraneous",
            "delete_extraneous is 'delete' and mode 'verify': a verification deletes nothing, so choose list or off, or the"
            " mode transfer",
        )


def _check(name: str, value: Any) -> None:
    if name in NUMBERS:
        number(name, value)
    elif name in CHOICES:
        choice(name, value)
    elif name in FLAGS and not isinstance(value, bool) and value.strip().lower() not in TRUE | FALSE:
        raise InvalidParameter(f"{name} is {value!r}: choose true or false")


def code_problems(templates: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """All problems with the date codes and placeholders in the prefixes as a person wrote them."""
    for name in PREFIXES:
        try:
            DatedPrefix.parse(templates.get(name) or "")
        except InvalidPrefix as error:
            yield name, f"{name}: {error}"


def selection_problems(wanted: Mapping[str, str], *, now_s: float) -> Iterator[tuple[str, str]]:
    """All problems with a selection: each field by itself, then all fields together."""
    problems: list[tuple[str, str]] = []
    for names in (*([name] for name in (*BOUNDS, *LISTS)), (*BOUNDS, *LISTS)):
        try:
            if problems and len(names) > 1:
                break
            selection_of({name: wanted[name] for name in names if wanted.get(name)}, now_s=now_s)
            if names == ["storage_classes"]:
                problems += _class_problems(json.loads(wanted.get("storage_classes") or "[]"))
        except InvalidSelection as error:
            problems.append((error.field, str(error)))
        except (ValueError, TypeError):  # invalid JSON
            problems.append((names[0], f"{names[0]} is {wanted[names[0]]!r}: give a list of texts"))
    yield from problems


def _class_problems(classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in classes:
        if name not in STORAGE_CLASSES:
            yield "storage_classes", f"storage_classes has {name!r}: {did_you_mean(str(name), STORAGE_CLASSES)}"


def name_problems(conf: Mapping[str, Any] | None, known: Collection[str]) -> Iterator[str]:
    """A sentence for each name in a run's conf that is not a parameter. Airflow itself ignores such names.

    A DAG that declares no parameters may use its conf in its own way.
    """
    for name in conf or ():
        if known and name not in known:
            yield f"there is no parameter {name}; {did_you_mean(str(name), sorted(known))}"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Advice on an unknown name: the name that was probably meant, or all known names."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"use {_either(known)}, or remove it"


def _either(choices: Sequence[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
