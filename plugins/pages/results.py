"""What a report or a plan says, in the parts that the page shows. Both are read leniently: older versions wrote less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pages import numbers
from pages.documents import Document
from pages.records import Amount, Band, CostRow, CostTable, CountRow, ReasonRow, Result
from transfer.accounting.progress import human_bytes
from transfer.planning.sizes import BAND_ENDS_BYTES
from transfer.reconciliation.reasons import SAMPLES

SKIPPED = "skipped"
PROOFS = {
    "etag-md5": "the MD5 of the stored object equals the source's ETag",
    "etag-multipart": "the MD5 of its parts' MD5s equalled the source's ETag when it was copied; its CRC32C is unchanged since",
    "s3-crc32c": "its CRC32C equalled the one that S3 stores for the source; it is unchanged since",
    "label": "its label has the source's ETag, bound to its bytes by their CRC32C",
    "transport": "its CRC32C equals that of the bytes read; the source has no checksum to compare with",
    "name": "an object of that name exists; its content was not compared",
}
PHASES = {"listing": "Listing", "copying": "Copying", "judging": "Judging", "second_pass": "Second pass"}
REQUESTS = {
    "edge": "GET requests to the edge",
    "gcs": "Requests to Cloud Storage by the workers",
    "gcs_class_a": "Cloud Storage, class A (writes, listings)",
    "gcs_class_b": "Cloud Storage, class B (reads)",
    "s3_list": "S3, list requests",
    "pubsub_messages": "Pub/Sub messages",
}
PLAN_ROWS = (
    ("to_copy", "to copy", ""),
    ("unchanged", "unchanged", ""),
    ("exists", "exists", "not replaced, because overwrite=never"),
    ("archived", "archived", "restore them in S3 to copy them"),
    ("not_selected", "not selected", "by name, size, time or storage class"),
    ("absent", "absent", "would fail: in the manifest, but not in the source"),
    ("forbidden", "forbidden", "would fail: in the manifest, but S3 denies access"),
    ("encrypted", "encrypted", "would fail: in the manifest, encrypted with a customer's key"),
    ("illegal_names", "illegal names", "would fail: Cloud Storage does not allow these names"),
    ("too_large", "too large", "would fail: larger than 5 TiB"),
    ("prefix_itself", "prefix itself", "no name would be left at the destination"),
)
COMMON = (
    ("s3_requests_usd", "S3 requests"),
    ("s3_retrieval_usd", "S3 retrieval"),
    ("pubsub_usd", "Pub/Sub"),
    ("gcs_operations_usd", "Cloud Storage operations"),
)


def result_of(report: Document, *, was_copied: bool) -> Result:
    """The result of a copy or a verification, from report.json."""
    reasons = reasons_of(report, "reasons")
    return Result(
        counts=tuple(_counts(report, was_copied=was_copied)),
        extra=tuple(_extra(report)),
        failures=tuple(row for row in reasons if row.verdict != SKIPPED),
        skipped=tuple(row for row in reasons if row.verdict == SKIPPED),
        proof=tuple(
            (claim, PROOFS.get(name, name), count)
            for claim, _ in report.within("evidence").members()
            for name, count in report.within("evidence").counts(claim).items()
        ),
        proof_notes=tuple(_proof_notes(report)),
        sizes=_sizes(report),
        times=tuple(_times(report)),
        facts=tuple(_facts(report)),
        requests=tuple(
            (label, report.within("requests").whole(name))
            for name, label in REQUESTS.items()
            if name in report.within("requests")
        ),
        requests_note=_how_known(report),
        edge_bytes=report.whole("edge_bytes"),
        costs=costs_of(report),
    )


def plan_result(plan: Document) -> Result:
    """The result of a run with `mode=plan`, from plan.json."""
    rows = [
        CountRow(label=label, amount=amount_of(plan.within(name)), note=note)
        for name, label, note in PLAN_ROWS
        if plan.within(name).whole("objects") or name in ("to_copy", "unchanged")
    ]
    listed = CountRow(label="listed", amount=amount_of(plan.within("listed")), is_total=True)
    extra = amount_of(plan.within("extra"))
    note = f"{plan.number('extra_percent'):.1f} % of the objects at the destination, not in the source"
    usage = plan.within("usage")
    return Result(
        counts=(*rows, listed),
        extra=(CountRow(label="to delete, if asked", amount=extra, note=note),) if extra.objects else (),
        sizes=_sizes(plan),
        requests=(
            (REQUESTS["edge"], usage.whole("edge_requests")),
            (REQUESTS["gcs_class_a"], sum(usage.counts("class_a").values())),
            (REQUESTS["gcs_class_b"], sum(usage.counts("class_b").values())),
            (REQUESTS["s3_list"], usage.whole("s3_list_requests")),
        )
        if usage
        else (),
        edge_bytes=usage.whole("edge_bytes"),
        costs=costs_of(plan),
    )


def amount_of(document: Document) -> Amount:
    """A number of objects and their bytes."""
    return Amount(objects=document.whole("objects"), size_bytes=document.whole("bytes"))


def reasons_of(document: Document, name: str) -> tuple[ReasonRow, ...]:
    """A list of reasons, most frequent first."""
    rows = [
        ReasonRow(
            verdict=item.code("verdict"),
            reason=item.code("reason"),
            count=item.whole("count"),
            samples=item.texts("samples", SAMPLES),
            message=item.text("message", 600),
            advice=item.text("advice", 600),
        )
        for item in document.each(name)
    ]
    return tuple(sorted(rows, key=lambda row: -row.count))


def costs_of(document: Document) -> CostTable | None:
    """The costs in a plan or a report; None where it has none."""
    costs = document.within("costs")
    if not costs.each("ways"):
        return None
    cheapest = costs.text("cheapest", 100)
    ways = []
    for way in costs.each("ways"):
        name, months = way.text("way", 100), way.whole("months") or 1
        traffic, requests = way.share("bytes_share"), way.share("requests_share")
        note = ""
        if traffic is not None and requests is not None:
            note = f"{traffic:.1%} of its traffic, {requests:.1%} of its requests"
            note += f": {months:,} months’ worth" if months > 1 else ""
        ways.append(CostRow(way=name, usd=way.number("usd"), note=note, is_cheapest=name == cheapest))
    return CostTable(
        ways=tuple(ways),
        common=tuple((label, costs.number(name)) for name, label in COMMON),
        least_usd=costs.number("least_usd"),
        prices_as_of=document.text("prices_as_of", 40) or costs.text("prices_as_of", 40),
        prices_scope=document.text("prices_scope", 400) or costs.text("prices_scope", 400),
    )


def _counts(report: Document, *, was_copied: bool) -> Iterator[CountRow]:
    """The rows that add up to `listed`."""
    rows = (
        ("matched", "at the destination" if was_copied else "equal on both sides", "", True),
        ("skipped", "skipped", "with the reasons below", True),
        ("failed", "failed", "", was_copied),
        ("missing", "missing", "listed, but not at the destination", False),
        ("differing", "differing", "the destination holds something else", False),
    )
    for name, label, note, is_always in rows:
        if report.whole(name) or is_always:
            count = report.whole(name)
            yield CountRow(label=label, amount=Amount(objects=count), note=note if count else "", has_bytes=False)
    listed = Amount(objects=report.whole("listed"))
    yield CountRow(label="listed", amount=listed, has_bytes=False, is_total=True)


def _extra(report: Document) -> Iterator[CountRow]:
    if report.whole("extra"):
        note = "at the destination only"
        yield CountRow(label="extra", amount=Amount(objects=report.whole("extra")), note=note, has_bytes=False)
    for name, count in report.counts("deletion").items():
        yield CountRow(label=name.replace("-", " "), amount=Amount(objects=count), note="of these", has_bytes=False)
    if why_not := report.text("why_not_deleted", 600):
        yield CountRow(label="not deleted", amount=Amount(), note=why_not, has_bytes=False)
    if report.whole("protected"):
        note = "at the destination only, and left out by the globs: never deleted"
        yield CountRow(label="protected", amount=Amount(objects=report.whole("protected")), note=note, has_bytes=False)


def _how_known(report: Document) -> str:
    computed = set(report.texts("computed"))
    names = [label for name, label in REQUESTS.items() if name in computed]
    return f"Computed from what was listed and copied: {'; '.join(names)}. All others are counted." if names else ""


def _proof_notes(report: Document) -> Iterator[str]:
    if unbound := report.whole("unbound"):
        yield f"{unbound:,} copies bear no proof of their bytes, because Cloud Storage refused the label."
    sample = report.within("sample")
    if sample:
        yield (
            f"Read back from both sides and compared byte for byte: {sample.whole('compared'):,} of"
            f" {sample.whole('chosen'):,} chosen ({sample.number('percent'):g} %); {sample.whole('equal'):,} equal,"
            f" {sample.whole('differing'):,} differing, {sample.whole('unreadable'):,} unreadable,"
            f" {sample.whole('changed'):,} changed in the source since."
        )


def _sizes(document: Document) -> tuple[Band, ...]:
    """The size histogram: a list of bands, or an object with the bands and their ends."""
    inner = document.within("sizes")
    bands = inner.each("bands") or document.each("sizes")
    ends = _ends(inner) or _ends(document) or BAND_ENDS_BYTES
    labels = [f"to {human_bytes(end).replace('.0 ', ' ')}" for end in ends] + ["larger"]
    return tuple(
        Band(label=label, amount=amount_of(band))
        for label, band in zip(labels, bands, strict=False)
        if any(amount_of(other).objects for other in bands)
    )


def _ends(document: Document) -> Sequence[int]:
    ends = document.numbers("band_ends_bytes")
    return [int(end) for end in ends]


def _times(report: Document) -> Iterator[tuple[str, float]]:
    phases = report.within("phases")
    for name, _ in phases.members():
        if (seconds := phases.number(name)) > 0:
            plain = name.removesuffix("_s")
            yield PHASES.get(plain, plain.replace("_", " ")), seconds


def _facts(report: Document) -> Iterator[tuple[str, str]]:
    if seconds := report.number("seconds"):
        yield "Duration", numbers.duration(seconds)
    if copied := report.whole("copied"):
        yield "Copied by this run", f"{copied:,} objects, {human_bytes(report.whole('bytes_copied'))}"
    if rate := report.number("mib_per_s"):
        yield "Average rate", f"{rate:,.1f} MiB/s"
    if rate := report.number("objects_per_s"):
        yield "Average rate in objects", f"{rate:,.1f} objects/s"
    if republished := report.whole("republished"):
        yield "Copied again in the second pass", f"{republished:,} objects"
    if invalid := report.whole("invalid_messages"):
        yield "Invalid messages", f"{invalid:,}"
