"""Computes the costs of a run in a month without other traffic: of every way out of S3, and of everything else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from transfer.planning.prices import STANDARD, FlatPlan, Prices, tiered_usd
from transfer.planning.usage import Usage

GIB = 1024**3
TIB = 1024**4
S3_DIRECT = "S3 direct"
PAY_AS_YOU_GO = "CloudFront pay-as-you-go"


@dataclass(frozen=True, slots=True, kw_only=True)
class WayCost:
    """The costs of one way out of S3."""

    way: str
    usd: float
    """For the whole month."""
    bytes_share: float | None = None
    """The part of a flat-rate plan's traffic that the run uses; 1 is all of it. None without a flat rate."""
    requests_share: float | None = None
    """The part of a flat-rate plan's requests that the run uses; 1 is all of them. None without a flat rate."""

    @property
    def months(self) -> int:
        """The number of months, or of distributions, over which the run has to be spread to fit the allowance; 1 if it fits."""
        return max(1, math.ceil(max(self.bytes_share or 0.0, self.requests_share or 0.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of a run, in US dollars."""

    ways: tuple[WayCost, ...]
    cheapest: str
    """The cheapest way that fits the run into one month; at equal cost, one through CloudFront."""
    s3_requests_usd: float
    s3_retrieval_usd: float
    pubsub_usd: float
    gcs_operations_usd: float

    @property
    def common_usd(self) -> float:
        """The costs that are the same for every way out of S3."""
        return self.s3_requests_usd + self.s3_retrieval_usd + self.pubsub_usd + self.gcs_operations_usd

    def to_dict(self) -> dict[str, object]:
        """The JSON object in plan.json and report.json."""
        ways = [asdict(way) | {"months": way.months} for way in self.ways]
        return asdict(self) | {"ways": ways, "common_usd": self.common_usd, "least_usd": self.least_usd}

    @property
    def least_usd(self) -> float:
        """The total cost with the cheapest way."""
        return self.common_usd + next(way.usd for way in self.ways if way.way == self.cheapest)


def costs_of(usage: Usage, prices: Prices) -> Costs:
    """The costs of this usage at these prices."""
    edge_gb = usage.edge_bytes / prices.bytes_per_gb
    ways = (
        WayCost(
            way=PAY_AS_YOU_GO,
            usd=tiered_usd(edge_gb, prices.edge_out_gb) + tiered_usd(usage.edge_requests, prices.edge_requests),
        ),
        *(_flat(plan, edge_gb, usage.edge_requests) for plan in prices.plans),
        WayCost(way=S3_DIRECT, usd=tiered_usd(edge_gb, prices.s3_out_gb)),
    )
    fitting = [way for way in ways if way.months == 1]
    # Compared in cents; `min` takes the first of equals, and S3 direct comes last.
    cheapest = min(fitting, key=lambda way: round(way.usd, 2))
    billed_pubsub_bytes = max(0.0, usage.pubsub_bytes - prices.pubsub_free_gib * GIB)
    return Costs(
        ways=ways,
        cheapest=cheapest.way,
        s3_requests_usd=usage.s3_list_requests / 1000 * prices.s3_list_usd_per_1000
        + _by_class(usage.s3_gets, prices.s3_get_usd_per_1000, 1000),
        s3_retrieval_usd=_by_class(usage.s3_read_bytes, prices.s3_retrieval_usd_per_gb, prices.bytes_per_gb),
        pubsub_usd=billed_pubsub_bytes / TIB * prices.pubsub_usd_per_tib,
        gcs_operations_usd=_by_class(usage.class_a, prices.class_a_usd_per_1000, 1000)
        + _by_class(usage.class_b, prices.class_b_usd_per_1000, 1000),
    )


def _flat(plan: FlatPlan, edge_gb: float, edge_requests: int) -> WayCost:
    return WayCost(
        way=f"CloudFront {plan.name}",
        usd=plan.usd_per_month,
        bytes_share=edge_gb / plan.gb,
        requests_share=edge_requests / plan.requests,
    )


def _by_class(counts: Mapping[str, int], usd: Mapping[str, float], units: float) -> float:
    return sum(count / units * usd.get(storage_class, usd[STANDARD]) for storage_class, count in counts.items())
