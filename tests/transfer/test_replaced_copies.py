"""What had to be replaced, changed only in its metadata, or was nothing to copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparison_rig import blob, comparison_rig, emptied, run, stored
from engine_rig import SOURCE, EngineRig, fault
from hooks.selection import selection_of
from large_objects import listed
from transfer.comparison import difference
from transfer.config import Overwrite
from transfer.model import Copied, Failed, Skipped, SkipReason
from transfer.reconciliation.passes import round_name
from transfer.reconciliation.verdicts import Pass
from transfer.records.manifest import read_manifest


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with comparison_rig(tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture
def rig(running: EngineRig) -> EngineRig:
    return emptied(running)


# What had to be replaced, and was not (overwrite=always)


def test_copies_that_were_there_before_are_not_this_runs(rig: EngineRig) -> None:
    for index in range(5):
        rig.put(f"{index}")
    assert run(rig).copied == 5
    before = {name: blob(rig, name).generation for name in rig.names()}
    summary = rig.list(listing="2", overwrite=Overwrite.ALWAYS)
    # And no worker copies any of them.
    report, published = rig.one_pass(Pass.FIRST, listing="2")
    assert (report.matched, report.copied, report.differing, report.is_green) == (0, 0, 5, False)
    assert "still there" in report.reasons[0].message
    assert (summary.counts.objects, published.objects) == (5, 5)
    rig.gcs.faults.replace([])
    rig.worker(published, name="r0", listing=round_name("2", 1, Pass.FIRST)).run()
    final = rig.reconcile(listing="2")
    assert (final.copied, final.is_green) == (5, True)
    assert all(blob(rig, name).generation != generation for name, generation in before.items())


def test_a_second_delivery_of_what_had_to_be_replaced_is_done(rig: EngineRig) -> None:
    """Also after a killed worker: it finds another generation than was listed, with the right content."""
    rig.put("k")
    assert run(rig).is_green
    rig.list(listing="2", overwrite=Overwrite.ALWAYS)
    ((item, _),) = read_manifest(rig.state(), "2")
    assert item.replaces_generation == blob(rig, "k").generation
    assert isinstance(rig.copy(item), Copied)
    outcome = rig.copy(item)
    assert isinstance(outcome, Skipped)
    assert outcome.reason is SkipReason.IDENTICAL
    assert rig.reconcile(listing="2").copied == 1


def test_an_answer_that_contradicts_itself_is_no_copy(rig: EngineRig) -> None:
    """412 for the very generation that is there."""
    rig.put("k")
    assert run(rig).is_green
    item = replace(listed(rig, "k"), replaces_generation=blob(rig, "k").generation)
    rig.gcs.faults.replace([fault("POST /upload", "status", status=412)])
    outcome = rig.copy(item)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "SinkUnavailable"


# Metadata alone


def test_metadata_that_alone_changed_is_copied_again(rig: EngineRig) -> None:
    rig.put("k", b"body", Metadata={"colour": "red"})
    assert run(rig).is_green
    rig.put("same", b"body")
    moved_on = listed(rig, "k").last_modified_s
    while listed(rig, "k").last_modified_s == moved_on:  # S3's clock has whole seconds
        where = {"Bucket": SOURCE, "Key": "k"}
        rig.client.copy_object(**where, CopySource=where, MetadataDirective="REPLACE", Metadata={"colour": "blue"})
    assert difference(stored(rig, "k"), listed(rig, "k")).endswith("its metadata may have changed")
    report = rig.compare(listing="2")
    assert (report.matched, report.differing, report.missing) == (0, 1, 1)
    assert run(rig, listing="3").copied == 2
    assert blob(rig, "k").metadata["colour"] == "blue"
    assert rig.compare(listing="4").is_green


# Nothing to copy


def test_nothing_but_what_no_run_copies_is_no_success(rig: EngineRig) -> None:
    for key in ("a", "b", "c"):
        rig.put(key, StorageClass="DEEP_ARCHIVE")
    rig.put("d.tmp")
    rig.selection = selection_of({"exclude": '["*.tmp"]'}, now_s=0)
    try:
        summary = rig.list()
        assert (summary.counts.listed, summary.counts.left_out, summary.counts.passed_over, summary.is_empty) == (
            4,
            1,
            4,
            True,
        )
        report = rig.compare(listing="2")
        assert (report.skipped, report.is_green) == (4, False)
        assert "none of the 4 listed objects can be copied" in report.why_red(was_copied=False)
        assert replace(report, allows_empty=True).is_green
        rig.put("e")
        assert not rig.list(listing="3").is_empty
        assert run(rig, listing="4").is_green
        assert rig.compare(listing="5").is_green, "mixed with what is there already"
    finally:
        rig.selection = None
