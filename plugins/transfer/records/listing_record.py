"""What a listing came to, among the run's records: whether its manifest names all of it, and what tasks need of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from transfer.ports import StateStore
from transfer.records.json_record import find_json, write_json
from transfer.records.layout import LISTING_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRecord:
    """One listing of a run."""

    transfer_id: str
    """The opening that it belongs to."""
    mode: str
    listing: str = ""
    """Names its manifest."""
    is_complete: bool = False
    """False from the first request until messages and manifest are stored whole."""
    messages: int = 0
    objects: int = 0
    bytes: int = 0
    skipped_numbers: str = ""
    listed: int = 0
    skipped: int = 0
    began_at_s: float = 0.0
    """When it began, by Cloud Storage's clock."""

    def write(self, state: StateStore) -> None:
        """Store it, in the place of an earlier one."""
        write_json(state, LISTING_JSON, asdict(self))


def read_listing(state: StateStore) -> ListingRecord | None:
    """The record of the run's last listing; None when there is none, or it is damaged."""
    return find_json(state, LISTING_JSON, lambda fields: ListingRecord(**fields))
