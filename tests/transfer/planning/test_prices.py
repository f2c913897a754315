"""The price file, and each figure made from it computed again by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import PricesInvalid
from transfer.planning.costs import PAY_AS_YOU_GO, S3_DIRECT, costs_of
from transfer.planning.prices import LIST_PRICES, Tier, load_prices, tiered_usd
from transfer.planning.usage import Usage

GB, TB = 10**9, 10**12
PRICES = load_prices()


def usage(**fields: Any) -> Usage:
    nothing: dict[str, Any] = {
        "edge_requests": 0,
        "edge_bytes": 0,
        "s3_list_requests": 0,
        "s3_gets": {},
        "s3_read_bytes": {},
        "pubsub_bytes": 0,
        "class_a": {},
        "class_b": {},
    }
    return Usage(**nothing | fields)


def ways(**fields: Any) -> dict[str, float]:
    return {way.way: way.usd for way in costs_of(usage(**fields), PRICES).ways}


def test_fifty_terabytes_of_large_objects() -> None:
    costs = costs_of(usage(edge_bytes=50 * TB, edge_requests=5_000_000), PRICES)
    by_way = {way.way: way for way in costs.ways}
    # 1 TB free, then 9 TB at 0.085 and 40 TB at 0.080; the 5 million requests are free.
    assert by_way[PAY_AS_YOU_GO].usd == pytest.approx(9_000 * 0.085 + 40_000 * 0.080) == pytest.approx(3_965)
    # 100 GB free, then up to 10 TB at 0.09 and 40 TB at 0.085.
    assert by_way[S3_DIRECT].usd == pytest.approx(9_900 * 0.09 + 40_000 * 0.085) == pytest.approx(4_291)
    assert [by_way[f"CloudFront {name}"].usd for name in ("Free", "Pro", "Business", "Premium")] == [0, 15, 200, 1_000]
    assert (by_way["CloudFront Pro"].bytes_share, by_way["CloudFront Pro"].requests_share) == (1.0, 0.5)
    assert by_way["CloudFront Pro"].months == 1
    assert (by_way["CloudFront Free"].bytes_share, by_way["CloudFront Free"].months) == (500, 500)
    assert costs.cheapest == "CloudFront Pro"


def test_small_objects_make_requests_the_budget() -> None:
    """2 TB as 200 million objects of 10 KB."""
    costs = costs_of(usage(edge_bytes=2 * TB, edge_requests=200_000_000), PRICES)
    by_way = {way.way: way for way in costs.ways}
    # 1 TB at 0.085 and 190 million requests at 0.01 for 10,000.
    assert by_way[PAY_AS_YOU_GO].usd == pytest.approx(85 + 190)
    assert by_way[S3_DIRECT].usd == pytest.approx(1_900 * 0.09) == pytest.approx(171)
    assert (by_way["CloudFront Pro"].requests_share, by_way["CloudFront Pro"].months) == (20.0, 20)
    assert by_way["CloudFront Business"].months == 2
    assert by_way["CloudFront Premium"].requests_share == pytest.approx(0.4)
    assert costs.cheapest == S3_DIRECT


@pytest.mark.parametrize(
    ("terabytes", "edge_usd", "s3_usd"),
    [
        (0, 0, 0),
        (1, 0, 81),  # 900 GB at 0.09
        (10, 765, 891),
        (150, 765 + 3_200 + 6_000, 891 + 3_400 + 7_000),
        (200, 765 + 3_200 + 6_000 + 50_000 * 0.04, 891 + 3_400 + 7_000 + 50_000 * 0.05),
    ],
)
def test_the_tiers_of_traffic(terabytes: int, edge_usd: float, s3_usd: float) -> None:
    found = ways(edge_bytes=terabytes * TB)
    assert found[PAY_AS_YOU_GO] == pytest.approx(edge_usd)
    assert found[S3_DIRECT] == pytest.approx(s3_usd)


def test_what_is_free_either_way_goes_through_cloudfront() -> None:
    assert costs_of(usage(edge_bytes=GB, edge_requests=10), PRICES).cheapest == PAY_AS_YOU_GO


def test_more_than_any_plan_carries() -> None:
    costs = costs_of(usage(edge_bytes=120 * TB, edge_requests=1_000_000), PRICES)
    assert costs.cheapest == PAY_AS_YOU_GO
    assert {way.way: way.months for way in costs.ways}["CloudFront Pro"] == 3


def test_what_all_ways_have_in_common() -> None:
    costs = costs_of(
        usage(
            s3_list_requests=1_000,
            s3_gets={"STANDARD": 1_000_000, "STANDARD_IA": 1_000_000, "INTELLIGENT_TIERING": 500_000},
            s3_read_bytes={"STANDARD": TB, "STANDARD_IA": TB, "GLACIER_IR": 100 * GB},
            pubsub_bytes=10 * 1024**3 + 1024**4 // 4,
            class_a={"STANDARD": 1_000_000, "NEARLINE": 1_000_000},
            class_b={"STANDARD": 500_000, "ARCHIVE": 1_000},
        ),
        PRICES,
    )
    assert costs.s3_requests_usd == pytest.approx(0.005 + 0.40 + 1.00 + 0.20)
    assert costs.s3_retrieval_usd == pytest.approx(1_000 * 0.01 + 100 * 0.03)
    assert costs.pubsub_usd == pytest.approx(10)
    assert costs.gcs_operations_usd == pytest.approx(5 + 10 + 0.2 + 0.05)
    assert costs.common_usd == pytest.approx(1.605 + 13 + 10 + 15.25)
    assert costs.least_usd == costs.common_usd  # nothing goes through the edge


@given(st.floats(0, 1e9), st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 100)), min_size=1, max_size=6))
def test_tiers_add_up_unit_by_unit(units: float, widths: list[tuple[int, int]]) -> None:
    units = float(int(units) % 3_000)
    ends = [sum(width for width, _ in widths[: number + 1]) for number in range(len(widths))]
    tiers = [Tier(up_to=end, usd_per_unit=usd) for end, (_, usd) in zip(ends, widths, strict=True)]
    tiers[-1] = Tier(up_to=float("inf"), usd_per_unit=tiers[-1].usd_per_unit)
    one_by_one = sum(next(tier.usd_per_unit for tier in tiers if unit < tier.up_to) for unit in range(int(units)))
    assert tiered_usd(units, tiers) == pytest.approx(one_by_one)


# The file


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


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    document = json.loads(LIST_PRICES.read_text())
    document["as_of"], document["pubsub"]["free_gib"] = None, "ten"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document))
    with pytest.raises(PricesInvalid, match=r"as_of is None.*; pubsub\.free_gib is 'ten'"):
        load_prices(file)


@pytest.mark.parametrize(("content", "sentence"), [("{", "is not JSON"), ("[]", "the whole file has to be an object")])
def test_what_is_no_price_file_at_all(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(PricesInvalid, match=sentence):
        load_prices(file)
    with pytest.raises(PricesInvalid, match="cannot be read: No such file"):
        load_prices(tmp_path / "not-there.json")
