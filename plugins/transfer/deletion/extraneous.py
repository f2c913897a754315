"""What the destination has and the source does not: found, listed, and whether it may be deleted.

    manifest ──┐
               ├─ march ──▶ extraneous.csv ──▶ within both limits? ──▶ transfer/deletion/removal.py
    listing  ──┘

Finding is one pass and deleting another, so that nothing is deleted before all of it is counted; memory is constant.
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
"""Of what is to be deleted; more goes to a temporary file."""
COLUMNS = ("name", "bytes", "generation")


class DeleteExtraneous(StrEnum):
    """What to do with objects under the destination prefix that the source does not have."""

    OFF = "off"
    LIST = "list"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What may be done, and why no more than that."""

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
    """What a wish comes to. `is_own_listing` is whether the run has listed since it was last opened.

    wish          mode      whole source  own listing  listed  green   action
    off           –         –             –            –       –       off
    list, delete  plan      –             –            –       –       off
    list, delete  any else  no            –            –       –       off: the rest of the source was not looked at
    list, delete  any else  yes           no           –       –       off: cleared; the listing is of another time
    list, delete  any else  yes           yes          0       –       off: more likely a mistake than an empty source
    list, delete  any else  yes           yes          > 0     no      off: objects did not arrive
    list          any else  yes           yes          > 0     yes     list
    delete        verify    yes           yes          > 0     yes     list
    delete        transfer  yes           yes          > 0     yes     delete
    """
    off = DeleteExtraneous.OFF
    if wish is off:
        return Permission(action=off, why_not="delete_extraneous is off")
    if mode is Mode.PLAN:
        return Permission(action=off, why_not="a plan deletes nothing; it counts what a run would delete")
    if not is_whole_source:
        return Permission(action=off, why_not="this run looked at a part of the source only")
    if not is_own_listing:
        return Permission(
            action=off, why_not="this run was cleared, and the source may have changed since it was listed"
        )
    if not listed:
        return Permission(
            action=off, why_not="the source is empty, which deletes nothing: empty the destination yourself"
        )
    if not is_green:
        return Permission(action=off, why_not="not everything has arrived")
    if wish is DeleteExtraneous.DELETE and mode is Mode.VERIFY:
        return Permission(action=DeleteExtraneous.LIST, why_not="mode=verify deletes nothing")
    return Permission(action=wish)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraneous:
    """One object to delete, as it was seen."""

    name: str
    size_bytes: int
    generation: int


class DeletionCandidates:
    """Objects to delete, in this process's own hands: extraneous.csv is for people, and whoever may write there may change it."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, "w+", encoding="utf-8")  # noqa: SIM115 - closed with it

    def add(self, each: Extraneous) -> None:
        """One more."""
        self._file.write(json.dumps(astuple(each)) + "\n")

    def __iter__(self) -> Iterator[Extraneous]:
        self._file.seek(0)
        for line in self._file:
            name, size_bytes, generation = json.loads(line)
            yield Extraneous(name=name, size_bytes=size_bytes, generation=generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look at both sides came to."""

    listed: int
    """Of the manifest."""
    stored: int
    """Objects under the destination prefix."""
    extraneous: int
    extraneous_bytes: int
    new: int
    """Not in the source either, but written since the run began, by somebody else: they are left."""
    protected: int = 0
    """Not in the source either, but left out by the run's globs: they are left."""
    witnesses: tuple[str, ...] = ()
    """Some of the keys listed, from all over the source."""

    @property
    def percent(self) -> float:
        """Of all objects under the destination prefix, those extraneous."""
        return 100 * self.extraneous / self.stored if self.stored else 0.0


def find_extraneous(
    judged: Iterable[KeyVerdict], rows: CsvFile, shortlist: DeletionCandidates, *, naming: Naming, began_at_s: float
) -> Found:
    """Write to `rows` and `shortlist` what the source does not have. `began_at_s` is before the source was listed.

    What was written since then is left: another run may have copied what came to the source after this run listed it. Both
    times are Cloud Storage's own: no other clock counts.
    """
    listed = stored = extraneous = extraneous_bytes = new = protected = 0
    witnesses: list[str] = []
    for key in judged:
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
        shortlist.add(
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


def why_refused(found: Found, *, listed: int, max_percent: float, max_objects: int) -> str:
    """Why nothing of what was found may be deleted; empty when all of it may.

    `listed` is what the listing counted; a manifest of any other count is not all of the source. A limit of 0 is for none.
    """
    if found.listed != listed:
        return (
            f"the manifest names {found.listed:,} objects, and {listed:,} were listed: what the source has cannot be told for"
            " certain; run again"
        )
    passed = [f"max_delete_percent allows {max_percent:g} %"] * (found.percent > max_percent)
    passed += [f"max_delete_objects allows {max_objects:,}"] * (found.extraneous > max_objects)
    if passed:
        return (
            f"{found.extraneous:,} of the {found.stored:,} objects under the destination prefix ({found.percent:.1f} %) are"
            f" not in the source, and {' and '.join(passed)}: check both prefixes and extraneous.csv, which names them, and run"
            " again with a higher limit if it is right"
        )
    return ""


def check_name(name: str, naming: Naming) -> str:
    """The name itself. The last line: whatever a listing or a record says, nothing else is ever deleted."""
    if not name.startswith(naming.destination_prefix) or name.startswith(naming.state_prefix):
        raise DeletionRefused(
            f"{name!r} is not under the destination prefix {naming.destination_prefix!r}, or is a run's own record",
            stage=Stage.RECONCILE,
        )
    return name
