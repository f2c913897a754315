"""Columns of a manifest are found by their names, however these are spelled, and unknown ones are refused."""

from __future__ import annotations

import pytest

from transfer.sources.manifest_columns import Meaning, meant_key, normal, positions, values_of


@pytest.mark.parametrize("name", ["VersionId", "version_id", "Version ID", "version-id", " VERSIONID "])
def test_a_name_has_one_normal_form(name: str) -> None:
    assert normal(name) == "versionid"


def test_columns_that_identify_no_object_are_ignored() -> None:
    names = ("Size", "Key", "ETag", "version", "Storage Class")
    assert positions(names) == {Meaning.KEY: 1, Meaning.VERSION: 3}
    assert values_of(names, ["1", "k", "e", "v", ""], "b") == ("k", "v")


def test_a_short_row_has_no_later_values() -> None:
    assert values_of(("key", "version_id"), ["k"], "b") == ("k", None)
    assert values_of(("version_id", "key"), ["v"], "b") == (None, "v")


@pytest.mark.parametrize("bucket", ["b", "", None])
def test_a_row_may_name_its_bucket(bucket: str | None) -> None:
    assert values_of(("bucket", "key"), [bucket, "k"], "b") == ("k", None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("key", "verison_id"), "'verison_id' is not known: did you mean version_id?"),
        (("key", "is_latest"), "'is_latest' is not known: write key and, if wanted, version_id"),
        (("key", "Key"), "'key' and 'Key' both mean the key: keep one"),
    ],
)
def test_an_unknown_or_repeated_column_is_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        positions(names)


def test_a_row_of_another_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="it names the bucket 'other', but source_bucket is 'b'"):
        values_of(("bucket", "key"), ["other", "k"], "b")


def test_a_misspelt_key_is_found() -> None:
    assert meant_key(["size", "Kye"]) == "Kye"
    assert meant_key(["size", "name"]) == ""
