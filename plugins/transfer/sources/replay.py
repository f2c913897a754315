"""What an earlier run left unfinished, or planned, so that another moves exactly that without listing the source again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transfer.config import Mode
from transfer.errors import InvalidMessage, RunUnknown, Stage
from transfer.model import UNRESOLVED, ObjectMeta, SkipReason
from transfer.ports import StateStore
from transfer.records.json_record import read_json
from transfer.records.layout import MANIFEST, PLAN_JSON, REPORT_JSON, UNFINISHED
from transfer.records.listing_record import ListingRecord, read_listing
from transfer.records.manifest import read_manifest
from transfer.records.run_record import RunRecord, read_run


def unfinished_objects(state: StateStore, *, run: str, now: RunRecord) -> Iterator[ObjectMeta]:
    """What the run with these records did not bring over, as it listed it, in listing order.

    A run that was ended before its reconciliation has no report of its listing: then all that the listing did not skip is
    taken, and the new run's own look at the destination says what of it is there already. `run` is its name. Raises
    RunUnknown when its listing did not come to an end, when it has no records, or copied something else than this run
    (`now`) does.
    """
    names = f"only_failed names the run {run!r}"
    _check_way(
        state,
        f"{names}, of which {state.uri} has no records: it ended before it listed anything, its records were removed"
        " (keep_runs), or there was no such run; name another, or leave only_failed empty",
        names,
        now,
    )
    judged, listing = _judged(state), read_listing(state)
    if listing is not None and not listing.is_complete:
        raise RunUnknown(
            f"{names}, whose listing did not come to its end, so nobody knows all that it left unfinished: leave only_failed"
            " empty, and what has arrived already is not copied again",
            stage=Stage.LIST,
        )
    if listing is not None and listing.mode == Mode.PLAN:
        raise RunUnknown(f"{names}, which was a plan and copied nothing: name it in plan_run instead", stage=Stage.LIST)
    if judged is not None and (listing is None or judged[0] == listing.listing):
        unfinished = judged[1]
        return _to_copy(state, unfinished, UNFINISHED) if unfinished else iter(())
    if listing is None:
        raise RunUnknown(
            f"{names}, of which {state.uri} has neither a report nor a listing that came to its end: leave only_failed empty",
            stage=Stage.LIST,
        )
    return _listed_to_copy(state, listing, names)


def planned_objects(state: StateStore, *, run: str, now: RunRecord) -> Iterator[ObjectMeta]:
    """What the plan of the run with these records would move, as it was listed then, in listing order.

    Each has the destination's generation that the plan saw. Raises RunUnknown when there is no plan, or one of another way.
    """
    names = f"plan_run names the run {run!r}"
    has_none = (
        f"{names}, of which {state.uri} has no plan: it was no run with mode=plan, it failed, or its records were removed"
        " (keep_runs); name another, or leave plan_run empty"
    )
    _check_way(state, has_none, names, now)
    try:
        listing = read_json(state, PLAN_JSON, lambda plan: str(plan["listing"]))
    except InvalidMessage as error:
        raise RunUnknown(has_none, stage=Stage.LIST) from error
    return _to_copy(state, listing, MANIFEST)


def _check_way(state: StateStore, has_none: str, names_run: str, now: RunRecord) -> None:
    """Raises RunUnknown unless the run copied the same way."""
    try:
        earlier = read_run(state)
    except InvalidMessage as error:
        raise RunUnknown(has_none, stage=Stage.LIST) from error
    if earlier.way != now.way:
        raise RunUnknown(
            f"{names_run}, which was for {earlier.way}, and this run copies {now.way}: give it the same buckets and prefixes",
            stage=Stage.LIST,
        )


def _judged(state: StateStore) -> tuple[str, str] | None:
    """Names of the listing that the run's report judged, and of the manifest of what that left unfinished, if any."""
    try:
        return read_json(state, REPORT_JSON, lambda report: (str(report["listing"]), str(report["unfinished"])))
    except InvalidMessage:
        return None


def _listed_to_copy(state: StateStore, listing: ListingRecord, names_run: str) -> Iterator[ObjectMeta]:
    """What a listing did not skip, and the keys of its manifest of which S3 told nothing, which the run owes too.

    Raises RunUnknown at the end when the manifest does not name all that was listed.
    """
    named = 0
    for item, skipped in read_manifest(state, listing.listing):
        named += 1
        if skipped is None or skipped in UNRESOLVED:
            yield _as_left(item)
    if named != listing.counts.listed:
        raise RunUnknown(
            f"{names_run}, which listed {listing.counts.listed:,} objects, and its manifest names {named:,}: its records were"
            " removed or changed; leave only_failed empty",
            stage=Stage.LIST,
        )


def _to_copy(state: StateStore, listing: str, folder: str) -> Iterator[ObjectMeta]:
    for item, skipped in read_manifest(state, listing, folder=folder):
        if skipped is None:
            yield _as_left(item)


def _as_left(item: ObjectMeta) -> ObjectMeta:
    # Records do not say that an archived object was restored; it would not have been to move otherwise.
    return replace(item, is_restored=True, unreadable=SkipReason(item.etag) if item.etag in UNRESOLVED else None)
