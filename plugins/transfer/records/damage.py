"""The error for a record that cannot be read back as it was written."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from transfer.errors import RecordDamaged, Stage
from transfer.ports import StateStore
from transfer.records.layout import is_of_work
from transfer.records.messages import UNREADABLE, why_unreadable


@contextmanager
def damage_reported(state: StateStore, name: str) -> Iterator[None]:
    """Turn any error of decoding the record `name` in this block into RecordDamaged, which names the record.

    The message says what to do: reconciliation can do without a worker's record, but not without a manifest.
    """
    try:
        yield
    except (EOFError, OSError, zlib.error, *UNREADABLE) as error:
        raise RecordDamaged(
            f"the record {state.uri}{name} cannot be read ({why_unreadable(error) or type(error).__name__}): it was"
            + (
                " damaged or overwritten; delete it and clear the task reconcile, which then compares the destination's"
                " objects instead"
                if is_of_work(name)
                else " damaged or overwritten, so nothing can be proved by it; start another run"
            ),
            stage=Stage.RECONCILE,
        ) from error
