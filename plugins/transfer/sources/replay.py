"""Reads the objects that an earlier run left unfinished, or planned, so that another run copies exactly these."""

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
    """The objects that an earlier run did not copy, as it listed them, in listing order.

    `state` has the records of that run, `run` is its name, and `now` describes the current run. A run that ended before its
    reconciliation has no report of its listing: then these are all objects that its listing did not skip, and the current run
    finds out which of them are at the destination already. Raises RunUnknown when the earlier run has no records, copied
    between other buckets or prefixes, was a plan, or did not finish its listing.
    """
    names = f"only_failed names the run {run!r}"
    _check_route(
        state,
        f"{names}, of which {state.uri} has no records: it ended before it listed anything, its records were removed"
        " (keep_runs), or there was no such run; name another, or leave only_failed empty",
        names,
        now,
    )
    reported, listing = _reported(state), read_listing(state)
    if listing is not None and not listing.is_complete:
        raise RunUnknown(
            f"{names}, whose listing did not finish, so that it is unknown what else it would have copied: leave only_failed"
            " empty; objects that have been copied already are not copied again",
            stage=Stage.LIST,
        )
    if listing is not None and listing.mode == Mode.PLAN:
        raise RunUnknown(f"{names}, which was a plan and copied nothing: name it in plan_run instead", stage=Stage.LIST)
    if reported is not None and (listing is None or reported[0] == listing.listing):
        unfinished = reported[1]
        return _to_copy(state, unfinished, UNFINISHED) if unfinished else iter(())
    if listing is None:
        raise RunUnknown(
            f"{names}, of which {state.uri} has neither a report nor a finished listing: leave only_failed empty",
            stage=Stage.LIST,
        )
    return _listed_to_copy(state, listing, names)


def planned_objects(state: StateStore, *, run: str, now: RunRecord) -> Iterator[ObjectMeta]:
    """The objects that an earlier run planned to copy, as it listed them, in listing order.

    `state` has the records of that run, `run` is its name, and `now` describes the current run. Each object has the generation
    that the plan saw at the destination. Raises RunUnknown when there is no plan, or one for other buckets or prefixes.
    """
    names = f"plan_run names the run {run!r}"
    has_none = (
        f"{names}, of which {state.uri} has no plan: it did not run with mode=plan, it failed, or its records were removed"
        " (keep_runs); name another, or leave plan_run empty"
    )
    _check_route(state, has_none, names, now)
    try:
        listing = read_json(state, PLAN_JSON, lambda plan: str(plan["listing"]))
    except InvalidMessage as error:
        raise RunUnknown(has_none, stage=Stage.LIST) from error
    return _to_copy(state, listing, MANIFEST)


def _check_route(state: StateStore, has_none: str, names_run: str, now: RunRecord) -> None:
    """Raise RunUnknown unless the earlier run copied between the same buckets and prefixes as the current one."""
    try:
        earlier = read_run(state)
    except InvalidMessage as error:
        raise RunUnknown(has_none, stage=Stage.LIST) from error
    if earlier.endpoints != now.endpoints:
        raise RunUnknown(
            f"{names_run}, which was for {earlier.endpoints}, but this run copies {now.endpoints}:"
            " give it the same buckets and prefixes",
            stage=Stage.LIST,
        )


def _reported(state: StateStore) -> tuple[str, str] | None:
    """The names of the listing that the run's report is about, and of the manifest of what it left unfinished, if any."""
    try:
        return read_json(state, REPORT_JSON, lambda report: (str(report["listing"]), str(report["unfinished"])))
    except InvalidMessage:
        return None


def _listed_to_copy(state: StateStore, listing: ListingRecord, names_run: str) -> Iterator[ObjectMeta]:
    """The objects that a listing did not skip, and the keys of a manifest of which S3 said nothing.

    Raises RunUnknown at the end when the run's manifest does not name all objects that were listed.
    """
    named = 0
    for item, skipped in read_manifest(state, listing.listing):
        named += 1
        if skipped is None or skipped in UNRESOLVED:
            yield _as_left(item)
    if named != listing.counts.listed:
        raise RunUnknown(
            f"{names_run}, which listed {listing.counts.listed:,} objects, but its manifest names {named:,}: its records were"
            " removed or changed; leave only_failed empty",
            stage=Stage.LIST,
        )


def _to_copy(state: StateStore, listing: str, folder: str) -> Iterator[ObjectMeta]:
    for item, skipped in read_manifest(state, listing, folder=folder):
        if skipped is None:
            yield _as_left(item)


def _as_left(item: ObjectMeta) -> ObjectMeta:
    # Records do not say that an archived object was restored, but only restored ones are copied.
    return replace(item, is_restored=True, unreadable=SkipReason(item.etag) if item.etag in UNRESOLVED else None)
