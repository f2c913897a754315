"""What may be called copied, unchanged or matched, and on what it rests: labels, their bytes, and generations."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from engine_rig import DESTINATION, SOURCE, EngineRig, fault
from hooks.selection import selection_of
from large_objects import MIB, fresh, large_rig, left_behind, listed, put_in_parts
from transfer.backends.gcs.verification import Capabilities
from transfer.comparison import difference, evidence_of
from transfer.config import Overwrite
from transfer.model import Copied, Evidence, Failed, Skipped, SkipReason
from transfer.reconciliation.passes import round_name
from transfer.reconciliation.verdicts import Pass
from transfer.records.manifest import read_manifest

REFUSED = {"status": 403, "body": '{"error": {"message": "no", "errors": [{"reason": "forbidden"}]}}'}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
        patch.setattr("transfer.reconciliation.failures.PULL_WAIT_S", 0.3)
        with large_rig(tmp_path_factory.mktemp("rig"), patch.setenv) as made:
            yield made


@pytest.fixture
def rig(running: EngineRig) -> EngineRig:
    """With an empty source, too, and subscriptions that hold nothing."""
    for listed_object in running.client.list_objects_v2(Bucket=SOURCE).get("Contents", []):
        running.client.delete_object(Bucket=SOURCE, Key=listed_object["Key"])
    for subscription in (running.subscription, running.error_subscription):
        if any(
            found.name == subscription
            for found in running.subscriber.list_subscriptions(project="projects/test-project")
        ):
            running.subscriber.delete_subscription(subscription=subscription)
    running.open()
    return fresh(running)


def run(rig: EngineRig, listing: str = "1", **arguments):
    """One whole run, with its second pass."""
    rig.worker(rig.list(listing=listing, **arguments), listing=listing).run()
    report, published = rig.one_pass(Pass.FIRST, listing=listing)
    if not published.objects:
        return report
    rig.worker(published, name="r0", listing=round_name(listing, 1, Pass.FIRST)).run()
    return rig.reconcile(listing=listing)


def blob(rig: EngineRig, name: str):
    return rig.storage.bucket(DESTINATION).get_blob(name)


def stored(rig: EngineRig, name: str):
    (found,) = rig.destination_listing().objects(name, leave_out=".edgehaul/")
    return found


def overwrite_bytes(rig: EngineRig, name: str, body: bytes) -> None:
    """As somebody does who keeps the metadata."""
    before = blob(rig, name)
    after = rig.storage.bucket(DESTINATION).blob(name)
    after.metadata = before.metadata
    after.upload_from_string(body)


# A label is bound to its bytes


@pytest.mark.parametrize("is_in_parts", [False, True])
def test_bytes_replaced_under_a_kept_label_are_neither_unchanged_nor_matched(rig: EngineRig, is_in_parts: bool) -> None:
    body = os.urandom(6 * MIB)
    if is_in_parts:
        put_in_parts(rig, "k", body)
    else:
        rig.put("k", body)
    assert run(rig).is_green
    overwrite_bytes(rig, "k", b"X" * len(body))
    report = rig.compare(listing="2")
    assert (report.matched, report.differing) == (0, 1)
    assert "CRC32C" in report.reasons[0].message or "MD5" in report.reasons[0].message
    summary = rig.list(listing="3")
    assert (summary.counts.objects, summary.counts.skipped) == (1, 0)
    rig.worker(summary, listing="3").run()
    assert rig.stored("k") == body
    assert rig.reconcile(listing="3").is_green


def test_what_each_claim_rests_on_is_counted(rig: EngineRig) -> None:
    rig.put("a-md5", b"one")
    rig.put("b-md5", os.urandom(MIB))
    put_in_parts(rig, "c-parts", os.urandom(6 * MIB))
    put_in_parts(rig, "d-unusual-parts", os.urandom(11 * MIB + 7), part_bytes=5 * MIB + 3)
    report = run(rig)
    assert report.evidence["copied"] == {"etag-md5": 2, "etag-multipart": 1, "transport": 1}
    assert report.evidence["matched"] == report.evidence["copied"]
    report = run(rig, listing="2")
    assert (report.copied, report.skipped) == (0, 4)
    assert report.evidence == {"unchanged": {"etag-md5": 2, "etag-multipart": 1, "transport": 1}}
    assert rig.compare(listing="3").evidence["verified"] == {"etag-md5": 2, "etag-multipart": 1, "transport": 1}
    overwrite_bytes(rig, "c-parts", b"X")
    report = run(rig, listing="4", overwrite=Overwrite.NEVER)
    assert report.is_green
    assert report.evidence == {"exists": {"name": 4}}


def test_s3s_own_checksum_goes_with_the_upload_as_its_proof(rig: EngineRig) -> None:
    for key, body in (("small", b"x" * 50_000), ("large", os.urandom(6 * MIB))):
        put_in_parts(rig, key, body, part_bytes=5 * MIB + 1)
        item = replace(listed(rig, key), etag="0" * 31 + "1-7")  # of parts that nobody can guess
        crc32c = blob_crc32c(rig, body)
        added = {"ETag": f'"{item.etag}"', "x-amz-checksum-crc32c": crc32c, "x-amz-checksum-type": "FULL_OBJECT"}
        rig.edge.faults.replace([fault("GET", "rewrite", headers=added)])
        patches = rig.gcs.requests().get("objects.patch 200", 0)
        outcome = rig.copy(item)
        assert isinstance(outcome, Copied), outcome
        assert (outcome.proof, outcome.is_bound) == ("s3-crc32c", True)
        assert evidence_of(stored(rig, key), item) is Evidence.S3_CRC32C
        assert rig.gcs.requests().get("objects.patch 200", 0) == patches


def blob_crc32c(rig: EngineRig, body: bytes) -> str:
    made = rig.storage.bucket(DESTINATION).blob("crc")
    made.upload_from_string(body)
    made.delete()
    return made.crc32c


def test_a_label_of_another_tools_proves_nothing_and_the_object_is_copied_again(rig: EngineRig) -> None:
    put_in_parts(rig, "k", b"x" * (5 * MIB + 1))
    made = rig.storage.bucket(DESTINATION).blob("k")
    made.metadata = {"x-goog-source-etag": listed(rig, "k").etag}
    made.upload_from_string(b"y" * (5 * MIB + 1))
    report = rig.compare()
    assert (report.matched, report.differing) == (0, 1)
    assert "nothing binds that label" in report.reasons[0].message
    assert run(rig, listing="2").copied == 1
    assert rig.stored("k") == b"x" * (5 * MIB + 1)


@pytest.mark.parametrize(
    "faults",
    [
        {"action": "lose_answer", "times": 1},
        {"action": "status", "times": 2, "status": 503},
    ],
)
def test_the_proof_is_added_whatever_becomes_of_the_answer(rig: EngineRig, faults) -> None:
    put_in_parts(rig, "k", os.urandom(6 * MIB))
    item = listed(rig, "k")
    rig.gcs.faults.replace([fault("PATCH", **faults)])
    outcome = rig.copy(item)
    assert isinstance(outcome, Copied), outcome
    assert outcome.is_bound
    assert evidence_of(stored(rig, "k"), item) is Evidence.MULTIPART_ETAG
    assert left_behind(rig) == []


def test_metadata_that_somebody_changes_meanwhile_stays(rig: EngineRig) -> None:
    put_in_parts(rig, "k", os.urandom(6 * MIB), Metadata={"owner": "me"})
    item = listed(rig, "k")
    changed: list[bool] = []

    def change(exchange):
        if exchange.method == "PATCH" and not changed:
            changed.append(True)
            theirs = blob(rig, "k")
            theirs.metadata = {"theirs": "too"}
            theirs.patch()
        handler(exchange)

    handler = rig.gcs._http._handler
    rig.gcs._http._handler = change
    try:
        outcome = rig.copy(item)
    finally:
        rig.gcs._http._handler = handler
    assert isinstance(outcome, Copied), outcome
    assert outcome.is_bound
    kept = blob(rig, "k").metadata
    assert (kept["owner"], kept["theirs"]) == ("me", "too")
    assert evidence_of(stored(rig, "k"), item) is Evidence.MULTIPART_ETAG


@pytest.mark.parametrize("refusal", [REFUSED, {"status": 405}, {"status": 501}, {"status": 503}])
def test_a_copy_whose_label_may_not_be_bound_is_right_and_counted_and_copied_again(rig: EngineRig, refusal) -> None:
    put_in_parts(rig, "k", os.urandom(6 * MIB))
    put_in_parts(rig, "k2", os.urandom(6 * MIB))
    rig.put("small")
    rig.gcs.faults.replace([fault("PATCH.*/k2?\\?", "status", **refusal)])
    report = run(rig)
    assert report.is_green
    assert (report.copied, report.unbound) == (3, 2)
    assert report.evidence["copied"] == {"etag-md5": 1, "etag-multipart": 2}
    rig.gcs.faults.replace([])
    assert rig.compare(listing="2").differing == 2, "another run sees the object alone"
    rig.capabilities = Capabilities()  # of another worker
    again = run(rig, listing="3")
    assert (again.copied, again.unbound, again.skipped) == (2, 0, 1)


def test_an_unbound_copy_of_an_earlier_generation_proves_nothing(rig: EngineRig) -> None:
    body = os.urandom(6 * MIB)
    put_in_parts(rig, "k", body)
    rig.gcs.faults.replace([fault("PATCH", "status", **REFUSED)])
    rig.worker(rig.list()).run()
    overwrite_bytes(rig, "k", b"X" * len(body))
    report = rig.reconcile()
    assert (report.matched, report.differing) == (0, 1)


# A worker that ends between an upload and its label


@pytest.mark.parametrize(("size_bytes", "is_in_parts"), [(6 * MIB, True), (MIB, False)])
def test_a_copy_without_its_proof_is_compared_and_taken_up(rig: EngineRig, size_bytes: int, is_in_parts: bool) -> None:
    body = os.urandom(size_bytes)
    put_in_parts(rig, "k", body)
    item = listed(rig, "k")
    made = rig.storage.bucket(DESTINATION).blob("k")
    made.metadata = {"x-goog-source-etag": item.etag, "goog-reserved-file-mtime": str(item.last_modified_s)}
    made.upload_from_string(body)
    outcome = rig.copy(item)
    assert isinstance(outcome, Copied), outcome
    assert (outcome.proof, outcome.is_bound, outcome.generation) == ("crc32c", True, made.generation)
    assert evidence_of(stored(rig, "k"), item) is Evidence.TRANSPORT
    outcome = rig.copy(item)
    assert isinstance(outcome, Skipped)
    assert outcome.reason is SkipReason.IDENTICAL


def test_something_else_under_the_same_label_is_a_conflict(rig: EngineRig) -> None:
    put_in_parts(rig, "k", os.urandom(6 * MIB))
    item = listed(rig, "k")
    made = rig.storage.bucket(DESTINATION).blob("k")
    made.metadata = {"x-goog-source-etag": item.etag}
    made.upload_from_string(b"X" * 6 * MIB)
    outcome = rig.copy(item)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "DestinationConflict"
    assert rig.stored("k") == b"X" * 6 * MIB


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
