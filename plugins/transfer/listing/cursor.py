"""The position up to which a listing is stored, where the next attempt resumes after the lister was killed.

A cursor is taken only when everything that it counts is stored: a whole manifest shard, and every message of its objects.
Objects published after it are published again under other numbers, and workers ignore messages with the skipped numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote

from transfer.records.listing_record import ListingCounts

_KEYS = ("after", "before")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingCursor:
    """A position in a listing, with everything that the next attempt needs to resume there."""

    listing: str
    """The name of the listing, which every later attempt keeps."""
    after: str = ""
    """The last key that is counted: the listing resumes after it."""
    before: str = ""
    """The key listed just before `after`. Listed from there, the server has to return `after` first."""
    began_at_s: float = 0.0
    """Unix time just before the first page of the first attempt was requested, by Cloud Storage's clock; 0 if unknown."""
    shards: int = 0
    """How many shards of the manifest are stored."""
    next_number: int = 0
    """The number of the next message: no attempt has used it or a higher one so far."""
    skipped_numbers: str = ""
    """Numbers of messages that workers must ignore, as ranges: `1234-51233`."""
    counts: ListingCounts = field(default_factory=ListingCounts)

    def skipping(self, numbers: int) -> ListingCursor:
        """The same position for the next attempt, which skips `numbers` message numbers that the last one may have used."""
        next_number = self.next_number + numbers
        skipped_numbers = [*filter(None, [self.skipped_numbers]), f"{self.next_number}-{next_number - 1}"]
        return replace(self, next_number=next_number, skipped_numbers=",".join(skipped_numbers))

    def to_dict(self) -> dict[str, str | float]:
        """The cursor as flat JSON that any store accepts: object keys are percent-encoded to ASCII."""
        fields: dict[str, Any] = asdict(self)
        fields |= {key: quote(fields[key], errors="surrogatepass") for key in _KEYS} | self.counts.to_dict()
        del fields["counts"]
        return fields

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> ListingCursor:
        """The cursor that `to_dict` encoded. Raises TypeError for anything else."""
        fields: dict[str, Any] = dict(stored)
        fields |= {key: unquote(str(fields.get(key, "")), errors="surrogatepass") for key in _KEYS}
        counts = ListingCounts.taken_from(fields)
        return cls(**fields, counts=counts)
