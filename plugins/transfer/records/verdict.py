"""The word on one opening of a run, among its records: without one that is green, nothing of the run may end well."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from transfer.ports import StateStore
from transfer.records.json_record import find_json, write_json
from transfer.records.layout import VERDICT_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """What a verification, or a plan, came to."""

    transfer_id: str
    """The opening that it is of: one of an earlier opening says nothing about this one."""
    is_plan: bool
    """Whether nothing was to be copied, and nothing was compared."""
    is_green: bool
    said: str
    """For people: one sentence; of one that is not green, what is wrong."""

    def write(self, state: StateStore) -> None:
        """Store it, in the place of an earlier one."""
        write_json(state, VERDICT_JSON, asdict(self))


def read_verdict(state: StateStore, transfer_id: str) -> RunVerdict | None:
    """The verdict of an opening; None when nobody has come to one. A damaged record is none."""
    verdict = find_json(state, VERDICT_JSON, lambda fields: RunVerdict(**fields))
    return verdict if verdict is not None and verdict.transfer_id == transfer_id else None
