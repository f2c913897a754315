"""The record of a listing, listing.json: whether its manifest is complete, and the counts that later tasks need."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from transfer.ports import StateStore
from transfer.records.json_record import find_json, write_json
from transfer.records.layout import LISTING_JSON


@dataclass(slots=True, kw_only=True)
class ListingCounts:
    """How much a listing has found and published. Only the listing changes them."""

    listed: int = 0
    listed_bytes: int = 0
    messages: int = 0
    """Messages published."""
    message_bytes: int = 0
    """The bytes that Pub/Sub bills for these messages (`transfer.records.messages.billed_bytes`)."""
    objects: int = 0
    """Objects published: those that have to be copied."""
    size_bytes: int = 0
    """The total size of the objects published."""
    skipped: int = 0
    left_out: int = 0
    """How many of the skipped objects the selection left out."""
    passed_over: int = 0
    """How many of the skipped objects no run copies as they are: left out, archived, or the prefix itself."""

    def to_dict(self) -> dict[str, int]:
        """The counts under their names in JSON, where `size_bytes` is called `bytes`."""
        document: dict[str, int] = asdict(self)
        document["bytes"] = document.pop("size_bytes")
        return document

    @classmethod
    def taken_from(cls, document: dict[str, Any]) -> ListingCounts:
        """The counts among the fields of a JSON object, which are removed from it. A missing count is 0."""
        names = {"bytes" if each.name == "size_bytes" else each.name: each.name for each in fields(cls)}
        return cls(**{name: document.pop(key) for key, name in names.items() if key in document})


_RECORDED = ("messages", "message_bytes", "objects", "bytes", "listed", "skipped")
"""The counts that listing.json holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRecord:
    """One listing of a run, as listing.json holds it."""

    transfer_id: str
    """The opening of the run that the listing belongs to."""
    mode: str
    listing: str = ""
    """The name of the listing, which is part of the names of its records."""
    is_complete: bool = False
    """False from the first request until all messages and the whole manifest are stored."""
    counts: ListingCounts = field(default_factory=ListingCounts)
    """Without `listed_bytes`, `left_out` and `passed_over`, which are not stored."""
    skipped_numbers: str = ""
    """Message numbers, as ranges, that workers must ignore (`transfer.listing.cursor`)."""
    began_at_s: float = 0.0
    """Unix time at which the listing began, by Cloud Storage's clock."""
    ended_at_s: float = 0.0
    """Unix time at which it was complete, by the clock of the machine that listed."""

    def write(self, state: StateStore) -> None:
        """Store this record as listing.json, replacing an earlier one."""
        counts = self.counts.to_dict()
        document = {
            "transfer_id": self.transfer_id,
            "mode": self.mode,
            "listing": self.listing,
            "is_complete": self.is_complete,
            **{key: counts[key] for key in _RECORDED},
            "skipped_numbers": self.skipped_numbers,
            "began_at_s": self.began_at_s,
            "ended_at_s": self.ended_at_s,
        }
        write_json(state, LISTING_JSON, document)


def read_listing(state: StateStore) -> ListingRecord | None:
    """The record of the run's last listing; None when there is none, or it is damaged."""
    return find_json(
        state, LISTING_JSON, lambda document: ListingRecord(counts=ListingCounts.taken_from(document), **document)
    )
