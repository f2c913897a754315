"""A copy counts only with a label that is bound to its bytes, however its worker ends."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from comparison_rig import blob, comparison_rig, emptied, overwrite_bytes, run, stored
from engine_rig import DESTINATION, EngineRig, fault
from large_objects import MIB, left_behind, listed, put_in_parts
from transfer.backends.gcs.verification import Capabilities
from transfer.comparison import evidence_of
from transfer.config import Overwrite
from transfer.model import Copied, Evidence, Failed, Skipped, SkipReason

REFUSED = {"status": 403, "body": '{"error": {"message": "no", "errors": [{"reason": "forbidden"}]}}'}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with comparison_rig(tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture
def rig(running: EngineRig) -> EngineRig:
    return emptied(running)


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
