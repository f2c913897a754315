"""The costs of a run, each computed again in the test."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.planning.costs import PAY_AS_YOU_GO, S3_DIRECT, costs_of
from transfer.planning.prices import Tier, load_prices, tiered_usd
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


def test_with_small_objects_the_requests_decide() -> None:
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


def test_when_both_are_free_cloudfront_is_cheapest() -> None:
    assert costs_of(usage(edge_bytes=GB, edge_requests=10), PRICES).cheapest == PAY_AS_YOU_GO


def test_more_traffic_than_any_plan_includes() -> None:
    costs = costs_of(usage(edge_bytes=120 * TB, edge_requests=1_000_000), PRICES)
    assert costs.cheapest == PAY_AS_YOU_GO
    assert {way.way: way.months for way in costs.ways}["CloudFront Pro"] == 3


def test_the_costs_that_are_the_same_for_every_way() -> None:
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
