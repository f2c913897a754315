"""Prefixes with a date or a name in them: a closed set of codes and placeholders, and nothing else is ever evaluated.

>>> DatedPrefix.parse("logs/%Y/%m/%d/").resolve(datetime(2026, 1, 31), {})
'logs/2026/01/31/'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
"""Those of strftime whose text is the same in every locale and on every platform, and some without leading zeros."""

RUN, ROUTE = "{dag_run_id}", "{route}"
PLACEHOLDERS = (RUN, ROUTE)
ESCAPES: Mapping[str, str] = {"%%": "%", "{{": "{", "}}": "}"}

_SPECIAL = re.compile(r"%-?.?|\{\{|\}\}|\{[^{}]*\}?|\}", re.DOTALL)


class InvalidPrefix(ValueError):
    """A prefix with something in it that is neither text, nor a date code, nor a placeholder. The message is for people."""


@dataclass(frozen=True, slots=True)
class DatedPrefix:
    """A prefix cut into its texts and its codes, in order."""

    pieces: tuple[tuple[str, bool], ...]
    """Each with whether it is a code."""

    @classmethod
    def parse(cls, template: str) -> DatedPrefix:
        """Cut a prefix as people write it. Raises InvalidPrefix, naming what is wrong in it and what to write instead."""
        pieces, end = [], 0
        for match in _SPECIAL.finditer(template):
            pieces.append((template[end : match.start()], False))
            pieces.append(_piece(match[0], template))
            end = match.end()
        pieces.append((template[end:], False))
        return cls(tuple((text, is_code) for text, is_code in pieces if text))

    def resolve(self, moment: datetime, names: Mapping[str, str]) -> str:
        """The prefix of a moment, whose date and time are read as they stand. `names` has a text for every placeholder."""
        return "".join(
            text if not is_code else DATE_CODES[text](moment) if text in DATE_CODES else names[text]
            for text, is_code in self.pieces
        )

    @property
    def folder(self) -> str:
        """The whole prefix when it has no codes; what stands before the first one, up to its last slash, when it has."""
        texts = [text for text, _ in takewhile(lambda piece: not piece[1], self.pieces)]
        before = "".join(texts)
        return before if len(texts) == len(self.pieces) else before[: before.rfind("/") + 1]

    @property
    def has_run_in_it(self) -> bool:
        """Whether different runs may get different prefixes."""
        return any(is_code and text != ROUTE for text, is_code in self.pieces)


def prefix_problem(source: str, destination: str, *, deletes: bool) -> str:
    """What is wrong with a pair of prefixes, in a sentence that says what to change; empty when nothing is.

    A prefix is the beginning of a name and not a folder: `team` is that of `team-b/precious` as well. `destination` is as it
    was given: empty keeps the source's. `deletes` is whether what the source does not have is to be deleted, or listed as what
    would be. Prefixes with codes in them may be given as they are written: no code ends in a slash.

    source           destination              deletes  problem
    any              empty                    no       none: names stay as they are
    no leading /     leading /                –        a folder without a name on top
    folder or empty  no folder                –        data/ to backup makes backupa.txt of data/a.txt
    no folder        folder                   –        ten to tenx/ makes tenx/ant.txt of tenant.txt
    no folder        no folder                no       none
    folder or empty  folder                   –        none
    no folder        no folder, or empty      yes      team takes team-b/ in
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
            f" {written + '-b/'!r} and whatever else begins like that; end it in /, or set delete_extraneous to off"
        )
    return ""


def _is_folder(prefix: str) -> bool:
    """The whole bucket is one, too."""
    return not prefix or prefix.endswith("/")


def _piece(found: str, template: str) -> tuple[str, bool]:
    if found in ESCAPES:
        return ESCAPES[found], False
    if found in DATE_CODES or found in PLACEHOLDERS:
        return found, True
    if found.startswith("%"):
        raise InvalidPrefix(
            f"{template!r} has {found!r}, which is no date code here: use {' '.join(DATE_CODES)}, or %% for a percent sign"
        )
    if len(found) > 1 and found.endswith("}"):
        raise InvalidPrefix(
            f"{template!r} has {found!r}, which is no placeholder: use {' or '.join(PLACEHOLDERS)},"
            " or {{ and }} for braces"
        )
    raise InvalidPrefix(f"{template!r} has a single {found[0]}: write {found[0] * 2} for a brace")
