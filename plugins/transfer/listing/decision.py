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
    """Why this object need not be copied, or None when it must be. `left_out` is the answer of the run's selection.

    left out by the selection            → one of NOT_SELECTED
    named, but not in the source         → ABSENT
    archived and not restored            → ARCHIVED
    no object at the destination         → copy
    an object there   overwrite=never    → EXISTS
                      overwrite=always   → copy
                      overwrite=changed  → UNCHANGED if it is an equal copy, else copy
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
