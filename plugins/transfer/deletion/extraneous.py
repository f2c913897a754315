"""Finds the objects that the destination has and the source does not, lists them, and decides whether they may be deleted.

    manifest ──┐
               ├─ march ──▶ extraneous.csv ──▶ within both limits? ──▶ transfer/deletion/removal.py
    listing  ──┘

Finding is one pass and deleting another, so that nothing is deleted before everything is counted; memory is constant.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from enum import StrEnum

from transfer.config import Mode
from transfer.errors import DeletionRefused, Stage
from transfer.naming import Naming
from transfer.reconciliation.reconcile import KeyVerdict
from transfer.reconciliation.verdicts import Verdict
from transfer.records.csv_file import CsvFile

IN_MEMORY_BYTES = 16 * 1024 * 1024
"""How much of the candidates is kept in memory; more goes to a temporary file."""
COLUMNS = ("name", "bytes", "generation")
"""Of extraneous.csv."""


class DeleteExtraneous(StrEnum):
    """What a run does with objects under the destination prefix that the source does not have."""

    OFF = "off"
    LIST = "list"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What may be done, and why not more; `why_not` is empty when all that was asked for may be done."""

    action: DeleteExtraneous
    why_not: str = ""


def permission(
    wish: DeleteExtraneous,
    *,
    mode: Mode,
    is_whole_source: bool,
    is_own_listing: bool,
    listed: int,
    is_green: bool,
) -> Permission:
    """What a run may do of what it was asked for. `is_own_listing` is whether it has listed since it was last opened.

    wish          mode      whole source  own listing  listed  green   action
    off           –         –             –            –       –       off
    list, delete  plan      –             –            –       –       off
    list, delete  any else  no            –            –       –       off: the rest of the source was not listed
    list, delete  any else  yes           no           –       –       off: cleared; the listing is an earlier one
    list, delete  any else  yes           yes          0       –       off: more likely a mistake than an empty source
    list, delete  any else  yes           yes          > 0     no      off: not everything was copied
    list          any else  yes           yes          > 0     yes     list
    delete        verify    yes           yes          > 0     yes     list
    delete        transfer  yes           yes          > 0     yes     delete
    """
    off = DeleteExtraneous.OFF
    if wish is off:
        return Permission(action=off, why_not="delete_extraneous is off")
    if mode is Mode.PLAN:
        return Permission(action=off, why_not="a plan deletes nothing; it only counts what a run would delete")
    if not is_whole_source:
        return Permission(action=off, why_not="this run listed only a part of the source")
    if not is_own_listing:
        return Permission(
            action=off,
            why_not="this run was cleared, and the source may have changed since it was listed: start another run",
        )
    if not listed:
        return Permission(
            action=off,
            why_not="the source is empty, and a run never empties the destination: delete its objects yourself",
        )
    if not is_green:
        return Permission(action=off, why_not="not everything was copied")
    if wish is DeleteExtraneous.DELETE and mode is Mode.VERIFY:
        return Permission(action=DeleteExtraneous.LIST, why_not="mode=verify deletes nothing")
    return Permission(action=wish)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraneous:
    """One object to delete, as the destination's listing has it."""

    name: str
    size_bytes: int
    generation: int


class DeletionCandidates:
    """The objects to delete, kept by this process: extraneous.csv is for people, and others may be able to change it."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+", encoding="utf-8")  # noqa: SIM115 - closed with it

    def add(self, each: Extraneous) -> None:
        """Add one object."""
        self._file.write(json.dumps(astuple(each)) + "\n")

    def __iter__(self) -> Iterator[Extraneous]:
        self._file.seek(0)
        for line in self._file:
            name, size_bytes, generation = json.loads(line)
            yield Extraneous(name=name, size_bytes=size_bytes, generation=generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result of comparing both sides, in objects."""

    listed: int
    """Objects in the manifest."""
    stored: int
    """Objects under the destination prefix."""
    extraneous: int
    """Objects to delete."""
    extraneous_bytes: int
    new: int
    """Objects that are not in the source, but were written by somebody else since the run started: they stay."""
    protected: int = 0
    """Objects that are not in the source, but that the run's globs leave out: they stay."""
    witnesses: tuple[str, ...] = ()
    """Some of the listed keys, spread over the whole source."""

    @property
    def percent(self) -> float:
        """The share of the objects under the destination prefix that is extraneous."""
        return 100 * self.extraneous / self.stored if self.stored else 0.0


def find_extraneous(
    verdicts: Iterable[KeyVerdict], rows: CsvFile, candidates: DeletionCandidates, *, naming: Naming, began_at_s: float
) -> Found:
    """Write the objects that the source does not have to `rows` and `candidates`. `began_at_s` is before the source was listed.

    Objects written since then stay: another run may have copied an object that was added to the source after this run listed
    it. Both times are by Cloud Storage's clock.
    """
    listed = stored = extraneous = extraneous_bytes = new = protected = 0
    witnesses: list[str] = []
    for key in verdicts:
        if key.item is not None:
            listed += 1
            if listed & (listed - 1) == 0:  # 1, 2, 4, 8, …: few of any number
                witnesses.append(key.item.key)
        stored += key.stored is not None
        protected += key.verdict is Verdict.PROTECTED
        if key.verdict is not Verdict.EXTRA or key.stored is None:
            continue
        if key.stored.created_at_s >= began_at_s:
            new += 1
            continue
        check_name(key.stored.name, naming)
        rows.add((key.stored.name, key.stored.size_bytes, key.stored.generation))
        candidates.add(
            Extraneous(name=key.stored.name, size_bytes=key.stored.size_bytes, generation=key.stored.generation)
        )
        extraneous += 1
        extraneous_bytes += key.stored.size_bytes
    rows.close()
    return Found(
        listed=listed,
        stored=stored,
        extraneous=extraneous,
        extraneous_bytes=extraneous_bytes,
        new=new,
        protected=protected,
        witnesses=tuple(witnesses),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionLimits:
    """The most that a run may delete; with more to delete it deletes nothing. A limit of 0 allows none."""

    max_percent: float
    """Of the objects under the destination prefix."""
    max_objects: int


def why_refused(found: Found, limits: DeletionLimits, *, listed: int) -> str:
    """Why none of the objects that were found may be deleted; empty when all of them may.

    `listed` is how many objects the listing counted: a manifest with any other number does not have the whole source.
    """
    if found.listed != listed:
        return (
            f"the manifest names {found.listed:,} objects, but {listed:,} were listed, so it is not certain what the source"
            " has; start another run"
        )
    exceeded = [f"max_delete_percent allows {limits.max_percent:g} %"] * (found.percent > limits.max_percent)
    exceeded += [f"max_delete_objects allows {limits.max_objects:,}"] * (found.extraneous > limits.max_objects)
    if exceeded:
        return (
            f"{found.extraneous:,} of the {found.stored:,} objects under the destination prefix ({found.percent:.1f} %) are"
            f" not in the source, but {' and '.join(exceeded)}: check both prefixes and extraneous.csv, which lists the objects;"
            " if they are to be deleted, start another run with a higher limit"
        )
    return ""


def check_name(name: str, naming: Naming) -> str:
    """The name itself. Raises DeletionRefused for any name that may never be deleted, whatever a listing or a record says."""
    if not name.startswith(naming.destination_prefix) or name.startswith(naming.state_prefix):
        raise DeletionRefused(
            f"{name!r} is not under the destination prefix {naming.destination_prefix!r}, or it is a record of a run",
            stage=Stage.RECONCILE,
        )
    return name
