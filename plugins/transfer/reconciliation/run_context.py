"""What every step after the copying has to know of its run."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.naming import NameFilter, Naming
from transfer.ports import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """A listing of a run: where its records are, and how its keys are named at the destination."""

    run_id: str
    """Airflow's id of the run, for people."""
    transfer_id: str
    """This opening of the run, as its messages carry it."""
    state: StateStore
    """The records of the run."""
    naming: Naming
    listing: str
    """Names the manifest of what was listed, and the ledger of what was copied."""
    listed: int
    """How many objects the listing found."""
    attempt: int
    """Which attempt of the Airflow task this is, from 1."""
    name_filter: NameFilter | None = None
    """The run's globs (`transfer/listing/selection.py`); None where it has none."""
