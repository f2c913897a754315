"""Which objects are extraneous, and whether a run may delete them."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deletion_rig import NAMING
from memory_state import MemoryState
from transfer.config import Mode
from transfer.deletion.extraneous import (
    COLUMNS,
    DeleteExtraneous,
    DeletionCandidates,
    DeletionLimits,
    Found,
    find_extraneous,
    permission,
    why_refused,
)
from transfer.model import DestinationObject, ObjectMeta, SkipReason
from transfer.reconciliation.reconcile import judge_keys
from transfer.records.csv_file import CsvFile

names = st.text(st.characters(exclude_characters="\r\n"), max_size=5)
reasons = st.sampled_from([None, *SkipReason])


def test_only_one_case_deletes() -> None:
    cases = product(DeleteExtraneous, Mode, (False, True), (False, True), (0, 1), (False, True))
    allowed = {
        case
        for case in cases
        if permission(
            case[0], mode=case[1], is_whole_source=case[2], is_own_listing=case[3], listed=case[4], is_green=case[5]
        ).action
        is DeleteExtraneous.DELETE
    }
    assert allowed == {(DeleteExtraneous.DELETE, Mode.TRANSFER, True, True, 1, True)}


def test_extraneous_objects_are_listed_only_after_a_green_run_of_the_whole_source() -> None:
    cases = product(DeleteExtraneous, Mode, (False, True), (False, True), (0, 1), (False, True))
    listing = set()
    for wish, mode, is_whole, is_own, listed, is_green in cases:
        may = permission(
            wish, mode=mode, is_whole_source=is_whole, is_own_listing=is_own, listed=listed, is_green=is_green
        )
        if may.action is DeleteExtraneous.LIST:
            listing.add((wish, mode, is_whole, is_own, listed, is_green))
        assert may.action is wish or may.why_not, "whatever is not permitted has a reason"
    assert listing == {
        (DeleteExtraneous.LIST, Mode.TRANSFER, True, True, 1, True),
        (DeleteExtraneous.LIST, Mode.VERIFY, True, True, 1, True),
        (DeleteExtraneous.DELETE, Mode.VERIFY, True, True, 1, True),
    }


def found(extraneous: int, stored: int, listed: int = 5) -> Found:
    return Found(listed=listed, stored=stored, extraneous=extraneous, extraneous_bytes=0, new=0)


@pytest.mark.parametrize(
    ("extraneous", "stored", "max_percent", "is_refused"),
    [
        (0, 0, 0, False),
        (0, 10, 0, False),
        (1, 1_000_000, 0, True),
        (10, 100, 10, False),
        (101, 1_000, 10, True),
        (100, 100, 100, False),
        (1, 3, 33.3, True),
        (1, 3, 33.4, False),
    ],
)
def test_the_limit_in_percent(extraneous: int, stored: int, max_percent: float, is_refused: bool) -> None:
    why = why_refused(found(extraneous, stored), DeletionLimits(max_percent=max_percent, max_objects=10_000), listed=5)
    assert bool(why) == is_refused
    if is_refused:
        assert f"{extraneous:,} of the {stored:,} objects" in why
        assert "max_delete_percent" in why


@pytest.mark.parametrize(
    ("extraneous", "max_objects", "is_refused"),
    [(0, 0, False), (1, 0, True), (10_000, 10_000, False), (10_001, 10_000, True)],
)
def test_the_limit_in_objects(extraneous: int, max_objects: int, is_refused: bool) -> None:
    """It does not depend on how many objects stay: a tenth of a hundred million is more than anybody wants to delete."""
    why = why_refused(found(extraneous, 10**8), DeletionLimits(max_percent=100, max_objects=max_objects), listed=5)
    assert (f"max_delete_objects allows {max_objects:,}" in why) == is_refused
    assert "max_delete_percent" not in why


@pytest.mark.parametrize("listed", [0, 4, 6])
def test_a_manifest_with_another_number_of_objects_refuses_everything(listed: int) -> None:
    limits = DeletionLimits(max_percent=100, max_objects=10**9)
    assert "it is not certain what the source has" in why_refused(found(0, 10, listed=5), limits, listed=listed)


@given(
    st.dictionaries(names, reasons),
    st.dictionaries(names, st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=8),
    st.none() | st.sets(names),
)
def test_the_model_finds_the_same_objects(
    keys: dict[str, SkipReason | None], there: dict[str, tuple[int, int]], left_out: set[str] | None
) -> None:
    """Every listed object is in the source, whether it was skipped or not; and names that the globs leave out are protected."""
    manifest = [
        (ObjectMeta(key=f"in/{key}", size_bytes=1, etag="e", last_modified_s=1), keys[key]) for key in sorted(keys)
    ]
    name_filter = None if left_out is None else lambda name: name not in left_out
    stored = [
        DestinationObject(name=f"out/{name}", size_bytes=size, generation=7, created_at_s=created)
        for name, (size, created) in sorted(there.items())
    ]
    rows, candidates = CsvFile(MemoryState(), "extraneous", COLUMNS), DeletionCandidates()
    verdicts = judge_keys(manifest, stored, (), naming=NAMING, name_filter=name_filter)
    result = find_extraneous(verdicts, rows, candidates, naming=NAMING, began_at_s=10)
    alone = {name: there[name] for name in there if name not in keys and name not in (left_out or ())}
    expected = {f"out/{name}": size for name, (size, created) in alone.items() if created < 10}
    assert {name: int(size) for name, size, _ in rows.rows()} == expected
    assert {each.name: each.size_bytes for each in candidates} == expected
    assert set(result.witnesses) <= {f"in/{key}" for key in keys} and bool(result.witnesses) == bool(keys)
    assert replace(result, witnesses=()) == Found(
        listed=len(keys),
        stored=len(there),
        extraneous=len(expected),
        extraneous_bytes=sum(expected.values()),
        new=sum(created >= 10 for _, created in alone.values()),
        protected=sum(name not in keys and name in (left_out or ()) for name in there),
    )


def test_an_object_of_unknown_age_stays() -> None:
    rows = CsvFile(MemoryState(), "extraneous", COLUMNS)
    stored = [DestinationObject(name="out/x", size_bytes=1, generation=1)]
    verdicts = judge_keys((), stored, (), naming=NAMING)
    result = find_extraneous(verdicts, rows, DeletionCandidates(), naming=NAMING, began_at_s=time.time())
    assert (result.extraneous, result.new) == (0, 1)
