"""The word on one opening of a run, among its records: without one that is green, nothing of the run may end well."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from transfer.errors import InvalidMessage
from transfer.ports import StateStore
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
        body = json.dumps(asdict(self), ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass")
        state.write(VERDICT_JSON, body, content_type="application/json")


def read_verdict(state: StateStore, transfer_id: str) -> RunVerdict | None:
    """The verdict of an opening; None when nobody has come to one. A damaged record is none."""
    try:
        verdict = RunVerdict(**json.loads(state.read(VERDICT_JSON)))
    except (InvalidMessage, ValueError, TypeError, RecursionError):
        return None
    return verdict if verdict.transfer_id == transfer_id else None
