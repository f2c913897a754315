"""What the listing decides to copy."""

from __future__ import annotations

import pytest

from compared_objects import ITEM, OTHER, SAME
from transfer.config import Overwrite
from transfer.listing.decision import decide
from transfer.model import SkipReason


@pytest.mark.parametrize(
    ("stored", "overwrite", "reason"),
    [
        (None, Overwrite.CHANGED, None),
        (None, Overwrite.NEVER, None),
        (SAME, Overwrite.CHANGED, SkipReason.UNCHANGED),
        (OTHER, Overwrite.CHANGED, None),
        (OTHER, Overwrite.NEVER, SkipReason.EXISTS),
        (SAME, Overwrite.ALWAYS, None),
    ],
)
def test_what_the_listing_decides(stored, overwrite, reason) -> None:
    assert decide(ITEM, stored, overwrite) is reason
