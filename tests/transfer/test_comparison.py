"""Whether an object holds another, and what shows it: never the name alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compared_objects import BOUND, ITEM
from transfer.comparison import evidence_of, holds
from transfer.config import Overwrite
from transfer.listing.decision import decide
from transfer.model import DestinationObject, Evidence, SkipReason

KEPT = DestinationObject(name="n", size_bytes=5, generation=1, source_etag=ITEM.etag, **BOUND)
BARE = DestinationObject(name="n", size_bytes=5, generation=1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (KEPT, Evidence.MULTIPART_ETAG),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=s3-crc32c"), Evidence.S3_CRC32C),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=crc32c"), Evidence.TRANSPORT),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=etag-md5"), Evidence.MD5),  # a server that names no MD5
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=of-another-version"), Evidence.LABEL),
        (replace(KEPT, proof="crc32c=AAAAAA=="), Evidence.LABEL),
        (
            replace(KEPT, proof="crc32c=AAAAAA==; proof=crc32c", md5="0" * 32),
            Evidence.TRANSPORT,
        ),  # KMS: an ETag like an MD5
        (replace(BARE, md5=ITEM.etag), Evidence.MD5),
        (replace(KEPT, md5=ITEM.etag, crc32c="BBBBBB=="), Evidence.MD5),  # the strongest of all
        (replace(KEPT, crc32c="BBBBBB=="), None),  # other bytes under a kept label
        (replace(KEPT, crc32c=""), None),  # nobody asked what is stored
        (replace(KEPT, proof=""), None),  # a label of another tool's
        (replace(KEPT, proof="crc32c=; proof=crc32c", crc32c=""), None),
        (replace(KEPT, proof=" crc32c=AAAAAA=="), None),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=etag-md5", md5="0" * 32), None),  # it contradicts itself
        (replace(KEPT, source_etag="f" * 32), None),
        (replace(KEPT, size_bytes=6), None),
        (replace(BARE, md5="0" * 32), None),
        (BARE, None),
    ],
)
def test_what_shows_that_an_object_holds_another_and_never_the_name_alone(stored, expected) -> None:
    assert evidence_of(stored, ITEM) is expected
    assert holds(stored, ITEM) is (expected is not None)


@pytest.mark.parametrize(
    ("kept", "listed", "expected"),
    [
        (str(ITEM.last_modified_s), ITEM.last_modified_s, True),
        (f"{ITEM.last_modified_s}.75", ITEM.last_modified_s, True),  # of a tool that keeps fractions
        (str(ITEM.last_modified_s - 1), ITEM.last_modified_s, False),
        (str(ITEM.last_modified_s + 1), ITEM.last_modified_s, False),
        ("", ITEM.last_modified_s, True),  # not kept
        ("yesterday", ITEM.last_modified_s, True),
        ("nan", ITEM.last_modified_s, True),
        ("inf", ITEM.last_modified_s, True),
        ("1", 0, True),  # not listed
    ],
)
def test_metadata_alone_that_changed_is_a_change(kept: str, listed: int, expected: bool) -> None:
    """S3 leaves the ETag of an object whose metadata alone is replaced as it is."""
    item = replace(ITEM, last_modified_s=listed)
    for stored in (replace(KEPT, source_mtime=kept), replace(BARE, md5=ITEM.etag, source_mtime=kept)):
        assert holds(stored, item) is expected
        assert decide(item, stored, Overwrite.CHANGED) is (SkipReason.UNCHANGED if expected else None)
