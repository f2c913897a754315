"""How far a listing has come for certain, so that the next try of a lister that was killed goes on from there.

A cursor is taken only when all it counts is stored: a whole manifest shard, and every message of its objects. What was
published behind it is published again under other numbers, and workers drop what has one of those skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingCursor:
    """One place in a listing."""

    listing: str
    """Its name, which every further try keeps."""
    after: str = ""
    """The last key that counts."""
    before: str = ""
    """The key listed before that one: behind it, a server has to give that one first."""
    began_at_s: float = 0.0
    """Before the first page of the first try, by Cloud Storage's clock; 0 where that is not known."""
    shards: int = 0
    """Of the manifest."""
    next_number: int = 0
    """No message of any try so far has this number or a higher one."""
    skipped_numbers: str = ""
    """Numbers that no message has which counts, as ranges: `1234-51233`."""
    messages: int = 0
    objects: int = 0
    """Published."""
    bytes: int = 0
    listed: int = 0
    listed_bytes: int = 0
    skipped: int = 0
    left_out: int = 0
    passed_over: int = 0

    def skipping(self, numbers: int) -> ListingCursor:
        """The same place for another try, when the one before may have used up to so many numbers since."""
        next_number = self.next_number + numbers
        skipped_numbers = [*filter(None, [self.skipped_numbers]), f"{self.next_number}-{next_number - 1}"]
        return replace(self, next_number=next_number, skipped_numbers=",".join(skipped_numbers))

    def to_dict(self) -> dict[str, str | float]:
        """As JSON that any store takes: keys in ASCII."""
        return asdict(self) | {key: quote(getattr(self, key), errors="surrogatepass") for key in _KEYS}

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> ListingCursor:
        """What `to_dict` made. Raises TypeError for anything else."""
        fields: dict[str, object] = dict(stored)
        keys = {key: unquote(str(fields.get(key, "")), errors="surrogatepass") for key in _KEYS}
        return cls(**fields | keys)  # type: ignore[arg-type]


_KEYS = ("after", "before")
