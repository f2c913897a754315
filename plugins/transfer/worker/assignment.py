"""The work of a worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The work of a worker: one listing of one run."""

    run_id: str
    listing: str
    source_bucket: str
    destination_bucket: str
    messages: int
    """How many messages the listing published."""
    skipped_numbers: tuple[range, ...] = ()
    """Numbers of messages that a lister published but did not count before it died; their objects were published again."""
    objects: int
    """How many objects its messages ask for."""
    size_bytes: int
    """The total size of these objects."""
    is_alone: bool = False
    """Whether no other worker, and no earlier attempt of this one, has copied any of them."""

    @property
    def numbers(self) -> range:
        """The numbers that messages of the listing may have, including those that were published again under other numbers."""
        skipped = self.skipped_numbers
        return range(max([self.messages + sum(map(len, skipped)), *(numbers.stop for numbers in skipped)]))
