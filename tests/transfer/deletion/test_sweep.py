"""One sweep over a real destination: mostly, which objects are never deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from deletion_rig import DELETE, LIST, answers, csv_names, everything, report_of, upload
from engine_rig import DESTINATION, STATE_PREFIX, EngineRig
from hooks.selection import selection_of
from transfer.errors import DeletionRefused
from transfer.model import DestinationObject
from transfer.naming import Naming


def test_objects_that_the_source_does_not_have_are_deleted_and_no_others(rig: EngineRig) -> None:
    before = everything(rig)
    swept = rig.sweep(DELETE, listed=10, max_percent=10)
    assert (swept.found.extraneous, swept.found.stored, swept.deleted) == (1, 11, 1)
    assert before - everything(rig) == {"out/extra"}
    assert csv_names(rig) == ["out/extra"]
    assert answers(rig) == {"out/extra": "deleted"}
    assert (report_of(rig).deleted, report_of(rig).extra, report_of(rig).why_not_deleted) == (1, 1, "")


def test_with_list_it_lists_and_deletes_nothing(rig: EngineRig) -> None:
    before = everything(rig)
    swept = rig.sweep(LIST, listed=10)
    assert (swept.deleted, csv_names(rig)) == (0, ["out/extra"])
    assert everything(rig) - before == {f"{STATE_PREFIX}run-1/extraneous.csv"}
    assert not before - everything(rig)
    assert report_of(rig).why_not_deleted == "only listed, as asked"


def test_above_the_limit_nothing_is_deleted_and_the_error_says_so(rig: EngineRig) -> None:
    upload(rig, "out/more")
    before = everything(rig)
    with pytest.raises(DeletionRefused, match=r"2 of the 12 objects .*\(16\.7 %\).* max_delete_percent allows 10 %"):
        rig.sweep(DELETE, listed=10, max_percent=10)
    assert not before - everything(rig)
    assert csv_names(rig) == ["out/extra", "out/more"], "a person can look at what would have been deleted"
    assert (report_of(rig).deleted, "max_delete_percent" in report_of(rig).why_not_deleted) == (0, True)


def test_a_wrong_destination_prefix_exceeds_the_limit(rig: EngineRig) -> None:
    upload(rig, *(f"precious/p{index}" for index in range(30)))
    rig.naming = Naming(source_prefix="in/", destination_prefix="precious/", state_prefix=STATE_PREFIX)
    rig.worker(rig.list(listing="2"), listing="2").run()
    assert rig.reconcile(listing="2").is_green
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="30 of the 40 objects"):
        rig.sweep(DELETE, listed=10, listing="2", max_percent=10)
    assert not before - everything(rig)


def test_an_incomplete_manifest_deletes_nothing(rig: EngineRig) -> None:
    """A shard of the manifest is gone, so its objects look as if the source did not have them."""
    (shard,) = [entry.name for entry in rig.state().entries("manifest/1-")]
    rig.state().delete(shard)
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="names 0 objects, but 10 were listed"):
        rig.sweep(DELETE, listed=10, max_percent=100)
    assert not before - everything(rig)


def test_archived_objects_are_in_the_source(rig: EngineRig) -> None:
    upload(rig, "out/cold")
    rig.put("in/cold", b"archived", StorageClass="GLACIER")
    rig.list(listing="2")
    assert rig.reconcile(listing="2").is_green
    rig.sweep(DELETE, listed=11, listing="2")
    assert "out/cold" in everything(rig)
    assert "out/extra" not in everything(rig)


def test_objects_that_are_not_selected_are_in_the_source(rig: EngineRig) -> None:
    """Objects that a bound or a glob leaves out are on both sides, and neither side loses any."""
    rig.put("in/large", b"x" * 2_000)
    rig.put("in/cool", b"x", StorageClass="STANDARD_IA")
    rig.put("in/draft.tmp", b"x")
    upload(rig, "out/large", "out/cool", "out/draft.tmp")
    wanted = {"exclude": '["*.tmp"]', "max_size": "1 KiB", "storage_classes": '["STANDARD"]'}
    rig.selection = selection_of(wanted, now_s=time.time())
    rig.worker(rig.list(listing="2"), listing="2").run()
    report = rig.reconcile(listing="2")
    assert report.is_green
    assert {reason.reason: reason.count for reason in report.reasons} == {
        "unchanged": 10, "not-selected-name": 1, "not-selected-size": 1, "not-selected-class": 1,
    }  # fmt: skip
    before = everything(rig)
    assert rig.sweep(DELETE, listed=13, listing="2").deleted == 1
    assert before - everything(rig) == {"out/extra"}
    assert rig.stored("out/large") == b"not in the source"


@pytest.mark.parametrize(
    ("globs", "gone"),
    [
        ({"exclude": '["*.tmp"]'}, {"out/extra", "out/sub/extra"}),
        ({"exclude": '["extra"]'}, {"out/a.tmp", "out/sub/a.tmp"}),
        ({"exclude": '["/extra"]'}, {"out/a.tmp", "out/sub/a.tmp", "out/sub/extra"}),
        ({"exclude": '["sub/"]'}, {"out/extra", "out/a.tmp"}),
        ({"exclude": '["out/"]'}, {"out/extra", "out/a.tmp", "out/sub/extra", "out/sub/a.tmp"}),
        ({"include": '["sub/"]'}, {"out/sub/extra", "out/sub/a.tmp"}),
        ({"include": '["/0"]'}, set()),
        ({"include": '["sub/"]', "exclude": '["*.tmp"]'}, {"out/sub/extra"}),
        ({"exclude": '["*"]'}, set()),
        ({"exclude": '["*", "!/a.tmp"]'}, {"out/a.tmp"}),
        ({"max_size": "1"}, {"out/extra", "out/a.tmp", "out/sub/extra", "out/sub/a.tmp"}),
    ],
    ids=str,
)
def test_names_that_the_globs_leave_out_are_never_deleted(
    rig: EngineRig, globs: dict[str, str], gone: set[str]
) -> None:
    """As with rsync. Bounds on size, time and class do not protect: they are about the objects of the source."""
    upload(rig, "out/a.tmp", "out/sub/a.tmp", "out/sub/extra")
    rig.selection = selection_of(globs, now_s=time.time())
    rig.list(listing="2")
    report = rig.reconcile(listing="2")
    before = everything(rig)
    assert (report.extra, report.protected) == (len(gone), 4 - len(gone))
    swept = rig.sweep(DELETE, listed=10, listing="2")
    assert before - everything(rig) == gone
    assert (swept.deleted, swept.found.extraneous, swept.found.protected) == (len(gone), len(gone), 4 - len(gone))


def test_the_share_is_of_everything_under_the_prefix(rig: EngineRig) -> None:
    """Protected objects count as well: a glob makes the limit neither tighter nor looser."""
    rig.selection = selection_of({"include": '["extra"]'}, now_s=time.time())
    rig.list(listing="2")
    rig.reconcile(listing="2")
    assert rig.sweep(DELETE, listed=10, listing="2", max_percent=9.1).found.percent == pytest.approx(100 / 11)


def test_objects_written_since_the_run_started_stay(rig: EngineRig) -> None:
    """Another run may have copied objects that were added to the source after this run listed it."""
    began_at_s = max(blob.time_created.timestamp() for blob in rig.storage.list_blobs(DESTINATION, prefix="out/extra"))
    upload(rig, "out/fresh")
    swept = rig.sweep(DELETE, listed=10, began_at_s=began_at_s + 1e-6)
    assert (swept.deleted, swept.found.new) == (1, 1)
    assert {"out/fresh"} == everything(rig) & {"out/fresh", "out/extra"}


def test_an_object_that_changes_between_listing_and_delete_stays(rig: EngineRig) -> None:
    upload(rig, "out/other")

    def listing() -> Iterator[DestinationObject]:
        yield from rig.destination_listing().objects("out/", leave_out=STATE_PREFIX)
        upload(rig, "out/extra")  # a new generation

    swept = rig.sweep(DELETE, listed=10, destination=listing())
    assert swept.answers == {"deleted": 1, "changed": 1}
    assert answers(rig) == {"out/extra": "changed", "out/other": "deleted"}
    assert {"out/extra"} == everything(rig) & {"out/extra", "out/other"}
