"""The decision on one listed object: whether it has to be copied, or why not."""

from __future__ import annotations

from transfer.comparison import holds
from transfer.config import Overwrite
from transfer.model import ARCHIVE_CLASSES, DestinationObject, ObjectMeta, SkipReason


def decide(
    item: ObjectMeta,
    stored: DestinationObject | None,
    overwrite: Overwrite,
    left_out: SkipReason | None = None,
) -> SkipReason | None:
    """Why this object need not move, or None when it must. `left_out` is what the run's selection says.

    left out by the selection            → NOT_SELECTED, one of them
    named, but not in the source         → ABSENT
    archived and not restored            → ARCHIVED
    nothing at the destination           → move
    something there   overwrite=never    → EXISTS
                      overwrite=always   → move
                      overwrite=changed  → UNCHANGED if it holds the same, else move
    """
    if left_out is not None:
        return left_out
    if item.unreadable is not None:
        return item.unreadable
    if item.storage_class in ARCHIVE_CLASSES and not item.is_restored:
        return SkipReason.ARCHIVED
    if stored is None or overwrite is Overwrite.ALWAYS:
        return None
    if overwrite is Overwrite.NEVER:
        return SkipReason.EXISTS
    return SkipReason.UNCHANGED if holds(stored, item) else None
