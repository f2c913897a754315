"""Deleting objects one by one: S3 is asked for each key again, and errors stop nothing that they are not about."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest

from deletion_rig import DELETE, answers, csv_names, everything, report_of, upload
from engine_rig import DESTINATION, SOURCE, STATE_PREFIX, EngineRig, fault
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.http.loop import CurlLoop
from transfer.backends.s3.keys import S3Keys
from transfer.deletion.extraneous import Extraneous
from transfer.deletion.record import DeletionRecord
from transfer.deletion.removal import Deleters, Removal
from transfer.errors import CredentialsRejected, DeletionIncomplete, DeletionRefused, SinkUnavailable, TransferError
from transfer.model import KeyState


@pytest.mark.parametrize("name", ["out-of-it/extra", "in/extra", f"{STATE_PREFIX}run-1/report.json"])
def test_nothing_outside_the_destination_prefix_is_deleted_whatever_a_record_says(rig: EngineRig, name: str) -> None:
    generation = rig.storage.bucket(DESTINATION).get_blob(name).generation
    everywhere = replace(rig.naming, destination_prefix="") if name.startswith(STATE_PREFIX) else rig.naming
    with pytest.raises(DeletionRefused, match="not under the destination prefix"):
        removal = Removal(
            S3Keys(rig.client, SOURCE),
            DeletionRecord(rig.state(), attempt=1),
            naming=everywhere,
            witnesses=["in/0"],
            began_at_s=0,
        )
        deleters = Deleters(lanes=[(GcsSink(rig.gcs_client()), rig.retrier())], new_loop=lambda: CurlLoop(rig.stop))
        removal.run([Extraneous(name=name, size_bytes=1, generation=generation)], deleters)
    assert name in everything(rig)


def test_temporary_errors_are_retried_and_a_lost_answer_is_not_an_error(rig: EngineRig) -> None:
    upload(rig, *(f"out/x{index}" for index in range(9)))
    rig.gcs.faults.replace(
        [
            fault("DELETE /storage", "status", status=503, times=3),
            *(fault(f"DELETE /storage.*x{index}[?]", "lose_answer", times=1) for index in (1, 2)),
        ]
    )
    swept = rig.sweep(DELETE, listed=10)
    assert swept.answers == {"deleted": 8, "gone-already": 2}, "nothing shows whose request deleted them"
    assert Counter(answers(rig).values()) == swept.answers
    assert {name for name in rig.names() if name.startswith("out/")} == {f"out/{index}" for index in range(10)}


def test_an_object_that_cannot_be_deleted_fails_the_attempt_after_all_others_are_deleted(rig: EngineRig) -> None:
    upload(rig, *(f"out/x{index}" for index in range(5)))
    rig.gcs.faults.replace([fault("DELETE /storage.*x3", "status", status=500)])
    with pytest.raises(TransferError) as caught:
        rig.sweep(DELETE, listed=10)
    assert caught.value.code == SinkUnavailable.__name__
    assert answers(rig)["out/x3"] == "asked"
    assert {"out/x3"} == everything(rig) & {"out/extra", *(f"out/x{index}" for index in range(5))}
    assert report_of(rig).deleted == 5

    rig.gcs.faults.replace([])
    assert rig.sweep(DELETE, listed=10, attempt=2).deleted == 1
    assert answers(rig, "deleted.csv", "deleted.try2.csv") == dict.fromkeys(csv_names(rig), "deleted")
    assert report_of(rig).deleted == 6
    assert (len(csv_names(rig)), csv_names(rig, "extraneous.try2.csv")) == (6, ["out/x3"])


def leave_out_of_the_listing(rig: EngineRig, *keys: str) -> None:
    """Put objects on both sides that the listing does not name."""
    upload(rig, *(f"out/{key}" for key in keys))
    for key in keys:
        rig.put(f"in/{key}", b"in the source")


def test_an_object_that_the_listing_left_out_is_not_deleted_and_the_run_fails(rig: EngineRig) -> None:
    """For example because a proxy drops keys from a page."""
    leave_out_of_the_listing(rig, "left-out-1", "left-out-2")
    with pytest.raises(
        DeletionIncomplete, match="S3 has 2 objects that its own listing left out, for example 'in/left-out-1'"
    ):
        rig.sweep(DELETE, listed=10, began_at_s=time.time() + 3600)
    assert answers(rig) == {
        "out/extra": "deleted", "out/left-out-1": "still-in-source", "out/left-out-2": "still-in-source",
    }  # fmt: skip
    assert {"out/left-out-1", "out/left-out-2"} <= everything(rig)


def test_an_object_that_was_added_to_the_source_again_is_not_deleted(rig: EngineRig) -> None:
    leave_out_of_the_listing(rig, "back")
    swept = rig.sweep(DELETE, listed=10, began_at_s=time.time() + 10)
    assert swept.answers == {"deleted": 1, "still-in-source": 1}
    assert swept.to_dict()["still_in_source"] == 1
    assert "out/back" in everything(rig)


def test_an_object_behind_a_delete_marker_is_deleted(rig: EngineRig) -> None:
    rig.client.put_bucket_versioning(Bucket=SOURCE, VersioningConfiguration={"Status": "Enabled"})
    leave_out_of_the_listing(rig, "marked")
    rig.client.delete_object(Bucket=SOURCE, Key="in/marked")
    assert rig.sweep(DELETE, listed=10).deleted == 2


@pytest.mark.parametrize("status", [403, 400, 500])
def test_nothing_is_deleted_when_s3_does_not_say_whether_it_has_the_key(
    rig: EngineRig, monkeypatch, status: int
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    upload(rig, "out/doubted")
    rig.s3.faults.replace([fault("HEAD .*in/doubted", "status", status=status)])
    with pytest.raises(DeletionIncomplete, match="1 source-unsure: S3 did not say") as caught:
        rig.sweep(DELETE, listed=10)
    assert answers(rig) == {"out/doubted": "source-unsure", "out/extra": "deleted"}
    assert f"answered {status}" in caught.value.message
    assert status != 403 or "allow s3:GetObject on arn:aws:s3:::source-bucket/*" in caught.value.message


def test_nothing_is_deleted_when_s3_does_not_have_the_keys_that_it_listed(rig: EngineRig) -> None:
    """A server without HEAD, an endpoint of another bucket, a bucket that was deleted: their 404s prove nothing."""
    rig.s3.faults.replace([fault("HEAD ", "status", status=404)])
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="has none of the listed keys that were tried"):
        rig.sweep(DELETE, listed=10)
    assert not before - everything(rig)


def test_nothing_is_deleted_without_permission_to_ask_s3(rig: EngineRig) -> None:
    rig.s3.faults.replace([fault("HEAD ", "status", status=403)])
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="allow s3:GetObject on arn:aws:s3:::source-bucket"):
        rig.sweep(DELETE, listed=10)
    assert not before - everything(rig)


def test_a_key_that_s3_cannot_have_is_gone(rig: EngineRig) -> None:
    """S3 would always answer 400."""
    keys = S3Keys(rig.client, SOURCE).ask(["", "k" * 1025, "in/0", "in/x"])
    assert [key.state for key in keys] == [KeyState.GONE, KeyState.GONE, KeyState.THERE, KeyState.GONE]


HELD = (
    '{"error": {"code": 403, "message": "Object \'x\' is under active Temporary hold and cannot be deleted.", "errors":'
    ' [{"message": "held", "domain": "global", "reason": "objectUnderActiveHold"}]}}'
)


def test_a_held_object_does_not_end_the_sweep(rig: EngineRig) -> None:
    upload(rig, *(f"out/x{index}" for index in range(5)))
    rig.gcs.faults.replace([fault("DELETE /storage.*x1", "status", status=403, body=HELD)])
    with pytest.raises(DeletionIncomplete, match="5 objects were deleted, but there were problems: 1 held"):
        rig.sweep(DELETE, listed=10)
    assert answers(rig) == {
        "out/extra": "deleted", "out/x1": "held", **{f"out/x{index}": "deleted" for index in (0, 2, 3, 4)},
    }  # fmt: skip


def test_without_permission_to_delete_it_stops_at_once_and_the_record_agrees(rig: EngineRig) -> None:
    before = everything(rig)
    rig.gcs.faults.replace([fault("DELETE /storage", "status", status=401)])
    with pytest.raises(CredentialsRejected):
        rig.sweep(DELETE, listed=10)
    assert not before - everything(rig)
    assert answers(rig) == {"out/extra": "refused"}
