"""Counts refusals in a row: when there are many, either those objects are locked, or a permission for all objects is missing.

`refusal_check.py` finds out which of the two it is.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import StrEnum

from transfer.errors import CredentialsRejected, EdgeBlocked, TransferError
from transfer.model import Copied, Failed, ObjectMeta, TransferFailure, TransferOutcome

STREAK = 10
"""Different objects that have to be refused in a row, with no success between, before a worker checks; twice as many after
each check that found single objects locked."""
MAX_STREAK = 1_000
"""The most that STREAK grows to: so many objects at most are recorded as refused when a permission has been lost meanwhile."""


class Side(StrEnum):
    """The side of a copy that refuses an object."""

    SOURCE = "source"
    DESTINATION = "destination"


REFUSALS = {
    "SourceForbidden": Side.SOURCE,
    "SourceEncrypted": Side.SOURCE,
    "EdgeBlocked": Side.SOURCE,
    "EdgeErrorPage": Side.SOURCE,
    "DestinationForbidden": Side.DESTINATION,
}
"""The error codes that may mean that every object is refused, and the side that refuses."""

REFUSAL_ADVICE = {
    "SourceForbidden": (
        "the distribution's origin access must allow s3:GetObject on the bucket, and s3:ListBucket so that a missing object"
        " is not mistaken for a forbidden one"
    ),
    "SourceEncrypted": "let the distribution use the KMS key (kms:Decrypt); objects under a customer's key cannot be copied",
    "EdgeBlocked": "a rule of the distribution's web ACL, or its rate limit, blocks every request: let this machine through",
    "EdgeErrorPage": "remove the distribution's custom error responses, so that the errors behind them can be read",
    "DestinationForbidden": (
        "give the Google connection's account roles/storage.objectUser on the destination bucket: it writes, replaces and"
        " deletes objects there"
    ),
}
"""How to change that every object is refused, by error code."""


class Refusals:
    """Counts refusals in a row on either side, and remembers the object that was copied last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[Side, dict[str, TransferFailure]] = {side: {} for side in Side}
        self._allowed = dict.fromkeys(Side, STREAK)
        self.last_readable: ObjectMeta | None = None
        """The object that this worker last read from the source."""

    def note(self, item: ObjectMeta, outcome: TransferOutcome) -> None:
        """Count how an object ended. Outcomes that show nothing about permissions (missing, archived, damaged) are ignored."""
        with self._lock:
            if isinstance(outcome, Copied):
                self.last_readable = item
                for either in Side:
                    self._refused[either].clear()
                    self._allowed[either] = STREAK
            elif isinstance(outcome, Failed) and (side := REFUSALS.get(outcome.failure.error_code)):
                if side is Side.DESTINATION:  # so the source had allowed it
                    self.last_readable = item
                    self._refused[Side.SOURCE].clear()
                self._refused[side][item.key] = outcome.failure

    @property
    def suspected_side(self) -> Side | None:
        """The side that has refused so many objects in a row that it has to be checked; None when neither has."""
        return next((side for side, refused in self._refused.items() if len(refused) >= self._allowed[side]), None)

    def of(self, side: Side) -> dict[str, TransferFailure]:
        """The refusals in a row on one side, by key."""
        with self._lock:
            return dict(self._refused[side])

    def forgive(self, side: Side) -> None:
        """Count from zero again on one side, and allow twice as many: only those objects were refused."""
        with self._lock:
            self._refused[side].clear()
            self._allowed[side] = min(2 * self._allowed[side], MAX_STREAK)


def systemic_error(refused: Sequence[TransferFailure]) -> TransferError:
    """The error that ends the worker: no object can be copied until a person, or time for a firewall, has changed that."""
    last = refused[-1]
    message = (
        f"{len(refused)} different objects in a row were refused ({last.message}), and so was a test request:"
        f" {REFUSAL_ADVICE[last.error_code]}"
    )
    error = EdgeBlocked if last.error_code == "EdgeBlocked" else CredentialsRejected
    return error(message, stage=last.stage, http_status=last.http_status)
