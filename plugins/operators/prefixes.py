"""Prefixes with date codes and placeholders from a fixed set; no other expression is ever evaluated.

>>> DatedPrefix.parse("logs/%Y/%m/%d/").resolve(datetime(2026, 1, 31), {})
'logs/2026/01/31/'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

DATE_CODES: Mapping[str, Callable[[datetime], str]] = {
    "%Y": lambda moment: f"{moment.year:04d}",
    "%y": lambda moment: f"{moment.year % 100:02d}",
    "%m": lambda moment: f"{moment.month:02d}",
    "%-m": lambda moment: str(moment.month),
    "%d": lambda moment: f"{moment.day:02d}",
    "%-d": lambda moment: str(moment.day),
    "%H": lambda moment: f"{moment.hour:02d}",
    "%-H": lambda moment: str(moment.hour),
    "%M": lambda moment: f"{moment.minute:02d}",
    "%S": lambda moment: f"{moment.second:02d}",
    "%j": lambda moment: f"{moment.timetuple().tm_yday:03d}",
    "%G": lambda moment: f"{moment.isocalendar().year:04d}",
    "%V": lambda moment: f"{moment.isocalendar().week:02d}",
    "%u": lambda moment: str(moment.isocalendar().weekday),
}
"""The codes of strftime whose text is the same in every locale and on every platform, and some without leading zeros."""
TIME_CODES = ("%H", "%-H", "%M", "%S")

RUN, ROUTE = "{dag_run_id}", "{route}"
PLACEHOLDERS = (RUN, ROUTE)
ESCAPES: Mapping[str, str] = {"%%": "%", "{{": "{", "}}": "}"}

CODED = rf"^([^%{{}}]|{'|'.join(map(re.escape, (*ESCAPES, *DATE_CODES, *PLACEHOLDERS)))})*$"
"""A pattern of JSON schema that accepts what `DatedPrefix.parse` accepts."""

_SPECIAL = re.compile(r"%-?.?|\{\{|\}\}|\{[^{}]*\}?|\}", re.DOTALL)


class InvalidPrefix(ValueError):
    """A prefix with an unknown date code or placeholder. The message is for people."""


@dataclass(frozen=True, slots=True)
class DatedPrefix:
    """A prefix, split into its texts and its codes, in order."""

    pieces: tuple[tuple[str, bool], ...]
    """Each piece, and whether it is a code."""

    @classmethod
    def parse(cls, template: str) -> DatedPrefix:
        """Split a prefix as a user wrote it. Raises InvalidPrefix, which names the problem and a correction."""
        pieces, end = [], 0
        for match in _SPECIAL.finditer(template):
            pieces.append((template[end : match.start()], False))
            pieces.append(_piece(match[0], template))
            end = match.end()
        pieces.append((template[end:], False))
        return cls(tuple((text, is_code) for text, is_code in pieces if text))

    def resolve(self, moment: datetime, names: Mapping[str, str]) -> str:
        """The prefix for a moment in its own time zone. `names` has a text for every placeholder."""
        return "".join(
            text if not is_code else DATE_CODES[text](moment) if text in DATE_CODES else names[text]
            for text, is_code in self.pieces
        )

    @property
    def folder(self) -> str:
        """The folder that all runs share: the whole prefix without codes, else the text before the first code up to a slash."""
        texts = [text for text, _ in takewhile(lambda piece: not piece[1], self.pieces)]
        before = "".join(texts)
        return before if len(texts) == len(self.pieces) else before[: before.rfind("/") + 1]

    @property
    def has_date_in_it(self) -> bool:
        """Whether it has a date code."""
        return any(is_code and text in DATE_CODES for text, is_code in self.pieces)

    @property
    def has_time_in_it(self) -> bool:
        """Whether it has a code for a part of a day."""
        return any(is_code and text in TIME_CODES for text, is_code in self.pieces)

    @property
    def has_run_in_it(self) -> bool:
        """Whether different runs may get different prefixes."""
        return any(is_code and text != ROUTE for text, is_code in self.pieces)


def prefix_problem(source: str, destination: str, *, deletes: bool) -> str:
    """The problem with a pair of prefixes, in a sentence that says what to change; empty when there is none.

    A prefix is the beginning of a name, not a folder: `team` also matches `team-b/precious`. An empty `destination` keeps the
    source's prefix. `deletes` is whether extraneous objects are to be deleted, or listed for deletion. Prefixes with codes may
    be given as they are written, because no code ends in a slash.

    source           destination              deletes  problem
    any              empty                    no       none: names are unchanged
    no leading /     leading /                –        it makes a folder without a name at the top
    folder or empty  no folder                –        data/ to backup turns data/a.txt into backupa.txt
    no folder        folder                   –        ten to tenx/ turns tenant.txt into tenx/ant.txt
    no folder        no folder                no       none
    folder or empty  folder                   –        none
    no folder        no folder, or empty      yes      team also matches team-b/
    empty            empty                    yes      none: the whole bucket
    """
    if destination.startswith("/") and not source.startswith("/"):
        return (
            f"destination_prefix {destination!r} begins with a slash, which makes a folder without a name at the top of the"
            f" bucket: write {destination.lstrip('/')!r}"
        )
    if destination and _is_folder(source) is not _is_folder(destination):
        name = f"{destination}{'a.txt' if _is_folder(source) else '-b/a.txt'}"
        key = f"{source}{'a.txt' if _is_folder(source) else '-b/a.txt'}"
        return (
            f"destination_prefix {destination!r} takes the place of source_prefix {source!r} letter by letter, and only one of"
            f" them ends in a slash, so {key!r} would become {name!r}: end both in / for folders"
        )
    written, name = (destination, "destination_prefix") if destination else (source, "source_prefix")
    if deletes and not _is_folder(written):
        return (
            f"delete_extraneous needs a folder, and {name} {written!r} is only the beginning of names: it takes in"
            f" {written + '-b/'!r} and everything else that begins with it; end it in /, or set delete_extraneous to off"
        )
    return ""


def prefix_warnings(source: str, destination: str) -> Iterator[str]:
    """A sentence for each thing about the prefixes of a run that is legal and seldom meant."""
    for name, prefix in (("source_prefix", source), ("destination_prefix", destination)):
        if name == "source_prefix" and prefix.startswith("/"):
            yield (
                f"{name} {prefix!r} begins with a slash, and S3 keys seldom do: it takes in no key that begins with"
                f" {prefix.lstrip('/')!r}; take the slash off if that is meant"
            )
        if prefix != prefix.strip():
            yield f"{name} {prefix!r} begins or ends with a blank: take it off unless the keys have it"


def _is_folder(prefix: str) -> bool:
    """Whether it is a folder, or empty, which stands for the whole bucket."""
    return not prefix or prefix.endswith("/")


def _piece(found: str, template: str) -> tuple[str, bool]:
    if found in ESCAPES:
        return ESCAPES[found], False
    if found in DATE_CODES or found in PLACEHOLDERS:
        return found, True
    if found.startswith("%"):
        raise InvalidPrefix(
            f"{template!r} has {found!r}, which is not a date code: use {' '.join(DATE_CODES)}, or %% for a percent sign"
        )
    if len(found) > 1 and found.endswith("}"):
        raise InvalidPrefix(
            f"{template!r} has {found!r}, which is not a placeholder: use {' or '.join(PLACEHOLDERS)},"
            " or {{ and }} for braces"
        )
    raise InvalidPrefix(f"{template!r} has a single {found[0]}: write {found[0] * 2} for a brace")
