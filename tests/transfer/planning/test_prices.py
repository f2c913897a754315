"""The price file: dated, with sources, and checked field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from transfer.errors import PricesInvalid
from transfer.planning.prices import LIST_PRICES, load_prices


def test_every_figure_is_dated_and_has_a_source() -> None:
    document = json.loads(LIST_PRICES.read_text())
    dates = [document["as_of"], *(block["read"] for block in document.values() if isinstance(block, dict))]
    assert len(dates) == 6
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", date) for date in dates)
    assert "third-party" in document["cloudfront_plans"]["source"].lower()


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("as_of",), 2026, "as_of is 2026, and has to be a non-empty string"),
        (("bytes_per_gb",), 0, "bytes_per_gb is 0.* a number above 0"),
        (("s3", "list_usd_per_1000"), "cheap", r"s3\.list_usd_per_1000 is 'cheap'.* a number of at least 0"),
        (("s3", "get_usd_per_1000", "GLACIER_IR"), -1, r"s3\.get_usd_per_1000\.GLACIER_IR is -1"),
        (("s3", "get_usd_per_1000"), {}, r"get_usd_per_1000\.STANDARD is missing"),
        (("s3", "source"), "", r"s3\.source is ''.* a non-empty string"),
        (("cloudfront", "transfer_out", 1, "up_to_gb"), 500, r"transfer_out\[1\]\.up_to_gb is 500.* more than 1,000"),
        (("cloudfront", "requests", 1, "up_to_requests"), 5, r"requests\[1\]\.up_to_requests is 5.* no end"),
        (("cloudfront", "requests"), [], r"cloudfront\.requests is \[\].* a list"),
        (("cloudfront_plans", "plans", 1, "gb"), None, r"plans\[1\]\.gb is None.* above 0"),
        (("pubsub",), "free", "pubsub has to be an object"),
        (("gcs", "class_a_usd_per_1000", "STANDARD"), True, r"STANDARD is True"),
    ],
)
def test_a_bad_field_is_named_in_one_sentence(tmp_path: Path, path: tuple[Any, ...], value: Any, sentence: str) -> None:
    document = json.loads(LIST_PRICES.read_text())
    block = document
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document))
    with pytest.raises(PricesInvalid, match=sentence) as caught:
        load_prices(file)
    assert str(file) in caught.value.message


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    document = json.loads(LIST_PRICES.read_text())
    document["as_of"], document["pubsub"]["free_gib"] = None, "ten"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document))
    with pytest.raises(PricesInvalid, match=r"as_of is None.*; pubsub\.free_gib is 'ten'"):
        load_prices(file)


@pytest.mark.parametrize(("content", "sentence"), [("{", "is not JSON"), ("[]", "the whole file has to be an object")])
def test_a_file_that_is_not_a_price_file(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(PricesInvalid, match=sentence):
        load_prices(file)
    with pytest.raises(PricesInvalid, match="cannot be read: No such file"):
        load_prices(tmp_path / "not-there.json")
