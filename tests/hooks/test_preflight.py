"""The checks before a run, on the local cloud: what they find when all is well, and in the source and the destination."""

from __future__ import annotations

import re

import pytest

from inventories import Row, put_inventory
from preflight_rig import DESTINATION, NAME, RECORDS, SOURCE, PreflightRig, asking, keep, marks, only, refuse
from transfer.model import SkipReason
from transfer.preflight.checks import Mark


def test_deleting_needs_an_answer_of_what_is_there_and_of_what_is_not(rig: PreflightRig) -> None:
    assert asking(rig.check(deletes=True)).mark is Mark.PASSED
    assert not any("single keys" in finding.check for finding in rig.check())


@pytest.mark.parametrize(
    ("match", "status", "said"),
    [
        ("HEAD .*/a/", 403, "'a/b c' was listed, but S3 does not find it .*allow s3:GetObject on arn:aws:s3:::"),
        ("HEAD ", 404, "'a/b c' was listed, but S3 does not find it when asked for the key"),
        ("HEAD .*edgehaul", 403, r"accounts that may also list \(s3:ListBucket on the bucket\)"),
        ("HEAD .*edgehaul", 200, "S3 reports a key that nobody has written"),
    ],
)
def test_an_answer_that_tells_nothing(rig: PreflightRig, match: str, status: int, said: str) -> None:
    refuse(rig.s3, match, status)
    finding = asking(rig.check(deletes=True))
    assert finding.mark is Mark.FAILED
    assert re.search(said, finding.detail)


def test_an_answer_that_may_come_later(rig: PreflightRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    refuse(rig.s3, "HEAD .*/a/", 503)
    assert asking(rig.check(deletes=True)).is_temporary


def test_all_is_well(rig: PreflightRig) -> None:
    before = rig.pubsub.requests().get("Publish OK", 0)
    findings = rig.check()
    assert marks(findings) == "✓" * 11
    assert [str(finding) for finding in findings][
        1
    ] == "✓ read through the edge with connection 'c': 'a/b c', bytes 0-0"
    assert rig.left_behind() == []
    assert rig.pubsub.requests().get("Publish OK", 0) == before
    assert not any(name.startswith("HEAD") for name in rig.edge.requests())


def test_an_empty_bucket_and_a_server_that_cannot_tell_are_no_failures(rig: PreflightRig) -> None:
    rig.prefix, rig.topics = "none/", ("not-there", "failures")
    refuse(rig.pubsub, "TestIamPermissions .*/failures", 501)
    findings = rig.check()
    assert marks(findings) == "✓✓–✓✓✓✓––✓"
    said = [str(finding) for finding in findings]
    assert said[0].endswith("nothing there")
    assert "no listed object to read" in said[1]
    assert "open_run creates it, with pubsub.topics.create" in said[7]
    assert "does not report permissions; the topic exists" in said[8]


def test_what_an_earlier_run_left_is_moved_without_a_listing(rig: PreflightRig) -> None:
    rig.aws(login="AKIDNOBODY", password="none")
    assert marks(rig.check(has_source=False)) == "–✓–✓✓✓✓✓✓✓"


def test_what_stands_in_place_of_a_listing_is_tried_too(rig: PreflightRig) -> None:
    inventory = put_inventory(rig.client, SOURCE, [[Row(key="a/b c", size=7)]], of_bucket=SOURCE)
    other = put_inventory(rig.client, SOURCE, [], of_bucket="other")
    rig.storage.bucket(RECORDS).blob("keys.csv").upload_from_string("key\na/b c\na/gone\n")
    for uri in (inventory, f"gs://{RECORDS}/keys.csv"):
        findings = rig.check(source_list=uri)
        assert marks(findings) == "✓" * 12
        assert findings[1].check == f"read {uri}"
    for uri, said in (
        (other, "is an inventory of 'other', and source_bucket is 'preflight-source': name its own"),
        (f"gs://{RECORDS}/no.csv", "there is no such file; correct source_listing"),
        (f"s3://{SOURCE}/no.jsonl", "there is no such file; correct source_listing"),
        ("s3://no-such-bucket/keys.csv", "reading s3://no-such-bucket/keys.csv: S3 answered 404"),
    ):
        finding = only(rig.check(source_list=uri), Mark.FAILED)
        assert (finding.check, said in finding.detail) == (f"read {uri}", True), finding.detail

    for name, body in (("wrong.csv", "name,size\na/b c,7\n"), ("wrong.jsonl", '{"name": "a/b c"}\n')):
        rig.storage.bucket(RECORDS).blob(name).upload_from_string(body)
        finding = only(rig.check(source_list=f"gs://{RECORDS}/{name}"), Mark.FAILED)
        assert name in finding.detail
        assert "key" in finding.detail
        rig.storage.bucket(RECORDS).blob(name).delete()

    refuse(rig.s3, "HEAD", 403)
    finding = only(rig.check(source_list=f"gs://{RECORDS}/keys.csv"), Mark.FAILED)
    assert (
        "allow s3:GetObject on arn:aws:s3:::preflight-source/* to the user or role of the AWS connection"
        in finding.detail
    )
    rig.s3.faults.replace([])

    told: list[str] = []
    (found,) = rig.source_list(inventory).objects(told.append)
    assert (found.key, found.size_bytes, found.unreadable) == ("a/b c", 7, None)
    present, absent = rig.source_list(f"gs://{RECORDS}/keys.csv").objects(told.append)
    assert (present.size_bytes, absent.unreadable) == (7, SkipReason.ABSENT)
    assert "file 1 of 1 of the inventory" in told[0]
    assert "asking S3 for each object" in told[1]
    rig.storage.bucket(RECORDS).blob("keys.csv").delete()


def test_another_bucket_for_the_records_is_tried_too(rig: PreflightRig) -> None:
    rig.buckets = (DESTINATION, RECORDS)
    findings = rig.check()
    assert marks(findings) == "✓" * 15
    assert sum(RECORDS in str(finding) for finding in findings) == 4


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize(
    "policy",
    [{"retentionPolicy": {"retentionPeriod": "3600"}}, {"defaultEventBasedHold": True}],
    ids=["policy", "hold"],
)
def test_a_bucket_that_keeps_what_it_has_can_have_no_records(rig: PreflightRig, policy: dict, is_shown: bool) -> None:
    """Where the account may not look at the bucket, an object of it shows the same."""
    rig.buckets = (DESTINATION, RECORDS)
    if not is_shown:
        refuse(rig.gcs, r"GET /storage/v1/b/[^/]*\?fields", 403)
    keep(rig, RECORDS, policy)
    blob = rig.storage.bucket(RECORDS).blob("there")
    blob.upload_from_string(b"x")
    try:
        finding = only(rig.check(), Mark.FAILED)
        assert finding.check == f"replace and delete in gs://{RECORDS}"
        assert "name a bucket without one as state_bucket" in finding.detail
        assert rig.left_behind() == ["there"]
        keep(rig, DESTINATION, policy)
        keep(rig, RECORDS, dict.fromkeys(policy))
        if is_shown:
            assert "neither replaced nor deleted" in only(rig.check(), Mark.WARNED).detail
            assert rig.left_behind() == ["there"]
    finally:
        rig.gcs.faults.replace([])
        for bucket in (DESTINATION, RECORDS):
            keep(rig, bucket, dict.fromkeys(policy))
        blob.event_based_hold = False
        blob.patch()
        blob.delete()


def test_an_object_that_nobody_knew_would_stay_is_named(rig: PreflightRig) -> None:
    held = '{"error": {"message": "held", "errors": [{"reason": "retentionPolicyNotMet"}]}}'
    refuse(rig.gcs, "DELETE /storage", 403, held)
    finding = only(rig.check(), Mark.FAILED)
    assert finding.detail.endswith(f"{NAME} stays there until then")
    assert "state_bucket" in finding.detail
