"""Shows a plan as one screen of text."""

from __future__ import annotations

from collections.abc import Iterator

from transfer.accounting.progress import human_bytes
from transfer.planning.costs import WayCost
from transfer.planning.plan import Plan
from transfer.planning.sizes import Amount

BAR_CHARACTERS = 24


def plan_table(plan: Plan) -> str:
    """The plan as text: what would be done, how large the objects are, and what it costs."""
    return "\n".join((*_amounts(plan), "", *_histogram(plan), "", *_costs(plan)))


def plan_line(plan: Plan) -> str:
    """The plan in one sentence."""
    listed, to_copy = plan.listed.objects, plan.to_copy
    return (
        f"a plan: a run would copy {to_copy.objects:,} of {listed:,} objects ({human_bytes(to_copy.size_bytes)}), for"
        f" ${plan.costs.least_usd:,.2f} by {plan.costs.cheapest}"
    )


def _amounts(plan: Plan) -> Iterator[str]:
    extra = f"{plan.extra_percent:.1f} % of the objects at the destination, not in the source"
    rows = (
        ("to copy", plan.to_copy, ""),
        ("unchanged", plan.unchanged, ""),
        ("exists", plan.exists, "not replaced, because overwrite=never"),
        ("archived", plan.archived, "restore them in S3 to copy them"),
        ("not selected", plan.not_selected, "by name, size, time or storage class"),
        ("absent", plan.absent, "would fail: in the manifest, but not in the source"),
        ("forbidden", plan.forbidden, "would fail: in the manifest, but S3 denies access"),
        ("encrypted", plan.encrypted, "would fail: in the manifest, encrypted with a customer's key"),
        ("illegal names", plan.illegal_names, "would fail: Cloud Storage does not allow these names"),
        ("too large", plan.too_large, "would fail: larger than 5 TiB"),
        ("prefix itself", plan.prefix_itself, "no name would be left at the destination"),
        ("listed", plan.listed, ""),
        ("to delete, if asked", plan.extra, extra),
    )
    always = ("to copy", "unchanged", "listed")
    for name, amount, note in rows:
        if amount.objects or name in always:
            yield f"{name:<20}{_amount(amount)}{f'  {note}' if note else ''}"


def _amount(amount: Amount) -> str:
    return f"{amount.objects:>15,} objects {human_bytes(amount.size_bytes):>12}"


def _histogram(plan: Plan) -> Iterator[str]:
    most = max((band.objects for band in plan.sizes), default=0)
    ends = [f"to {_short(end)}" for end in plan.band_ends_bytes] + ["larger"]
    for end, band in zip(ends, plan.sizes, strict=True):
        if band.objects:
            bar = "█" * max(1, round(BAR_CHARACTERS * band.objects / most))
            yield f"  {end:<18}{_amount(band)}  {bar}"


def _short(count: int) -> str:
    return human_bytes(count).replace(".0 ", " ")


def _costs(plan: Plan) -> Iterator[str]:
    usage, costs = plan.usage, plan.costs
    yield f"through CloudFront  {usage.edge_requests:>15,} requests {human_bytes(usage.edge_bytes):>11}"
    yield ""
    yield f"US dollars for the month at the prices of {plan.prices_as_of}, without other traffic in that month:"
    for way in costs.ways:
        yield f"  {way.way:<28}{way.usd:>12,.2f}{_share(way)}{'  ← cheapest' if way.way == costs.cheapest else ''}"
    yield "and in any case:"
    for name, usd in (
        ("S3 requests", costs.s3_requests_usd),
        ("S3 retrieval", costs.s3_retrieval_usd),
        ("Pub/Sub", costs.pubsub_usd),
        ("Cloud Storage operations", costs.gcs_operations_usd),
    ):
        yield f"  {name:<28}{usd:>12,.2f}"
    yield f"  {'total, the cheapest way':<28}{costs.least_usd:>12,.2f}"
    yield f"({plan.prices_scope})"


def _share(way: WayCost) -> str:
    if way.bytes_share is None or way.requests_share is None:
        return ""
    share = f"  {way.bytes_share:.1%} of its traffic, {way.requests_share:.1%} of its requests"
    return share if way.months == 1 else f"{share}: {way.months:,} months' worth"
