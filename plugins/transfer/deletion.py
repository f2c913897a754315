"""What the destination has and the source does not: found, listed, and deleted if a person asked for it.

    manifest ──┐
               ├─ march ──▶ extraneous.csv ──▶ share within the limit? ──▶ conditional deletes, many at a time
    listing  ──┘

Finding is one pass and deleting another, so that nothing is deleted before all of it is counted; memory is constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from transfer.csv_file import CsvFile
from transfer.errors import DeletionRefused, ObjectError, Stage
from transfer.model import Mode
from transfer.naming import Naming
from transfer.ports import GenerationMismatch, ObjectSink
from transfer.reconcile import Judged
from transfer.retry import Retrier
from transfer.steps import Step
from transfer.verdicts import Verdict

LANES = 16
"""Deletes at a time: some hundred a second, below the 1,000 writes a second that a quiet bucket takes."""
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
    generation: int


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

    @property
    def percent(self) -> float:
        """Of all objects under the destination prefix, those extraneous."""
        return 100 * self.extraneous / self.stored if self.stored else 0.0


def find_extraneous(judged: Iterable[Judged], rows: CsvFile, *, naming: Naming, began_at_s: float) -> Found:
    """Write to `rows` what the source does not have. `began_at_s` is before the source was listed.

    What was written since then is left: another run may have copied what came to the source after this run listed it.
    """
    listed = stored = extraneous = extraneous_bytes = new = protected = 0
    for key in judged:
        listed += key.item is not None
        stored += key.stored is not None
        protected += key.verdict is Verdict.PROTECTED
        if key.verdict is not Verdict.EXTRA or key.stored is None:
            continue
        if key.stored.created_at_s >= began_at_s:
            new += 1
            continue
        check_name(key.stored.name, naming)
        rows.add((key.stored.name, key.stored.size_bytes, key.stored.generation))
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
    )


def why_refused(found: Found, *, listed: int, max_percent: float) -> str:
    """Why nothing of what was found may be deleted; empty when all of it may.

    `listed` is what the listing counted; a manifest of any other count is not all of the source.
    """
    if found.listed != listed:
        return (
            f"the manifest names {found.listed:,} objects, and {listed:,} were listed: what the source has cannot be told for"
            " certain; run again"
        )
    if found.percent > max_percent:
        return (
            f"{found.extraneous:,} of the {found.stored:,} objects under the destination prefix ({found.percent:.1f} %) are"
            f" not in the source, and max_delete_percent allows {max_percent:g} %: check both prefixes and extraneous.csv,"
            " which names them, and run again with a higher max_delete_percent if it is right"
        )
    return ""


class Deletion:
    """Deletes what was found, by its generation. Its lanes share one thread."""

    def __init__(self, rows: CsvFile, naming: Naming) -> None:
        self._rows: Iterator[Extraneous] = (
            Extraneous(name=name, generation=int(generation)) for name, _, generation in rows.rows()
        )
        self._naming = naming
        self.deleted = 0
        self.changed = 0
        """Written again since they were found; they stay."""
        self.first_error: ObjectError | None = None

    def lane(self, sink: ObjectSink, retrier: Retrier) -> Step[None]:
        """One object after the other, until none is left. Raises FatalError."""
        for extraneous in self._rows:
            retrier.reset()
            try:
                is_gone = yield from self._delete(extraneous, sink, retrier)
            except ObjectError as error:
                self.first_error = self.first_error or error
            else:
                self.deleted += is_gone
                self.changed += not is_gone

    def _delete(self, extraneous: Extraneous, sink: ObjectSink, retrier: Retrier) -> Step[bool]:
        """Whether it is gone; otherwise something else is there."""
        check_name(extraneous.name, self._naming)
        try:
            yield from retrier.call(lambda: sink.delete(extraneous.name, extraneous.generation))
        except GenerationMismatch:  # also when the answer to a try before was lost
            return (yield from retrier.call(lambda: sink.stat(extraneous.name))) is None
        return True


def check_name(name: str, naming: Naming) -> None:
    """The last line: whatever a listing or a record says, nothing else is ever deleted."""
    if not name.startswith(naming.destination_prefix) or name.startswith(naming.state_prefix):
        raise DeletionRefused(
            f"{name!r} is not under the destination prefix {naming.destination_prefix!r}, or is a run's own record",
            stage=Stage.RECONCILE,
        )
