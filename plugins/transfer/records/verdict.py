"""The record verdict.json: the result of one opening of a run, without which the run may not succeed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from transfer.ports import StateStore
from transfer.records.json_record import find_json, write_json
from transfer.records.layout import VERDICT_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """The result of verifying a run, or of a plan."""

    transfer_id: str
    """The opening of the run that the verdict is about: the verdict of an earlier opening does not count for this one."""
    is_plan: bool
    """Whether the run was a plan, which copies and compares nothing."""
    is_green: bool
    said: str
    """One sentence for people; when the verdict is not green, it names the problem."""

    def write(self, state: StateStore) -> None:
        """Store this verdict, replacing an earlier one."""
        write_json(state, VERDICT_JSON, asdict(self))


def read_verdict(state: StateStore, transfer_id: str) -> RunVerdict | None:
    """The verdict on an opening; None when there is none, or its record is damaged."""
    verdict = find_json(state, VERDICT_JSON, lambda fields: RunVerdict(**fields))
    return verdict if verdict is not None and verdict.transfer_id == transfer_id else None
