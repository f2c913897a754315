"""The metadata of a copy, from the headers of the one GET."""

from __future__ import annotations

import pytest

from compared_objects import ITEM
from transfer.copying.metadata import resource_of
from transfer.errors import (
    SourceMetadataWithheld,
)


def test_metadata_comes_from_the_one_get() -> None:
    headers = {
        "content-type": "text/plain",
        "content-encoding": "aws-chunked, gzip",
        "x-amz-meta-plain": "value",
        "x-amz-meta-encoded": "=?UTF-8?B?w6kgw7w=?=",
        "etag": '"x"',
    }
    resource = resource_of(ITEM, headers)
    assert resource["contentType"] == "text/plain"
    assert resource["contentEncoding"] == "gzip"
    assert resource["storageClass"] == "STANDARD"
    assert resource["metadata"] == {
        "plain": "value",
        "encoded": "é ü",
        "goog-reserved-file-mtime": "1700000000",
        "x-goog-source-etag": ITEM.etag,
    }


def test_a_source_that_is_itself_a_copy_brings_no_proof_of_its_own() -> None:
    """It would be believed of whatever bytes arrive."""
    headers = {
        "x-amz-meta-edgehaul-proof": "crc32c=AAAAAA==; proof=etag-md5",
        "x-amz-meta-x-goog-source-etag": "theirs",
    }
    metadata = resource_of(ITEM, headers)["metadata"]
    assert metadata == {"goog-reserved-file-mtime": "1700000000", "x-goog-source-etag": ITEM.etag}
    known = resource_of(ITEM, {**headers, "x-amz-checksum-crc32c": "BBBBBB=="})
    assert known["metadata"] == metadata | {"edgehaul-proof": "crc32c=BBBBBB==; proof=s3-crc32c"}
    assert known["crc32c"] == "BBBBBB=="


def test_metadata_that_s3_withholds_is_not_lost_in_silence() -> None:
    with pytest.raises(SourceMetadataWithheld, match="withholds 2"):
        resource_of(ITEM, {"x-amz-missing-meta": "2"})
