"""Each failed check names the attempt and the change that a person has to make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from hooks.probes import S3Probe
from localcloud.faults import Fault
from preflight_rig import DESTINATION, NAME, SOURCE, PreflightRig, marks, only, refuse
from transfer.preflight.checks import Mark


def s3_refuses(code: str) -> Callable[[PreflightRig], None]:
    return lambda rig: refuse(rig.s3, "GET /.*list-type", 403, f"<Error><Code>{code}</Code></Error>")


FAILURES: list[tuple[str, Callable[[PreflightRig], object], str, str]] = [
    (
        "s3 key",
        lambda rig: rig.aws(login="AKIDNOBODY", password="x"),
        "list s3",
        "does not know the access key id of the AWS connection: correct it",
    ),
    (
        "s3 secret",
        lambda rig: rig.aws(login=rig.s3.access_key_id, password="x"),
        "list s3",
        "secret access key of the AWS connection does not belong to its access key id: correct it",
    ),
    (
        "s3 permission",
        s3_refuses("AccessDenied"),
        "list s3://preflight-source/ with connection 'a'",
        "allow s3:ListBucket on arn:aws:s3:::preflight-source to the user or role of the AWS connection",
    ),
    (
        "s3 token",
        s3_refuses("ExpiredToken"),
        "list s3",
        "session token of the AWS connection is invalid or has expired: renew it",
    ),
    ("s3 clock", s3_refuses("RequestTimeTooSkewed"), "list s3", "set this machine's clock by NTP"),
    ("s3 gone", lambda rig: None, "list s3", "there is no such bucket; correct its name"),
    (
        "key pair",
        lambda rig: rig.cloudfront(login="KNOTTHEONE"),
        "connection 'c'",
        "does not know the connection's Key pair ID",
    ),
    (
        "unsigned",
        lambda rig: rig.cloudfront(extra={"signing": "public"}),
        "connection 'c'",
        "set the connection's Signing to 'signed'",
    ),
    (
        "no PEM",
        lambda rig: rig.cloudfront(password="swordfish"),
        "connection 'c'",
        "Connection 'c', field 'Private key (PEM)': must be an unencrypted PEM key",
    ),
    (
        "no edge",
        lambda rig: rig.cloudfront(host="http://127.0.0.1:9"),
        "connection 'c'",
        "check Distribution domain, Scheme and Port",
    ),
    (
        "origin",
        lambda rig: refuse(rig.edge, "GET", 403, "<Error><Code>AccessDenied</Code></Error>"),
        "connection 'c'",
        "HTTP 403 AccessDenied: CloudFront refused the signature",
    ),
    (
        "object forbidden",
        lambda rig: rig.s3.faults.replace(
            [
                Fault(
                    match=f"GET /{SOURCE}/a/b",
                    action="status",
                    status=403,
                    headers={"x-amz-request-id": "R"},
                    body="<Error><Code>AccessDenied</Code></Error>",
                )
            ]
        ),
        "connection 'c'",
        "allow s3:GetObject to the distribution in the policy of the bucket",
    ),
    (
        "another origin",
        lambda rig: refuse(rig.s3, f"GET /{SOURCE}/a/b", 404, "<Error><Code>NoSuchKey</Code></Error>"),
        "connection 'c'",
        "is s3://preflight-source the origin of this distribution",
    ),
    ("gcs bucket", lambda rig: setattr(rig, "buckets", ("no-such",)), "list gs://no-such", "does gs://no-such exist?"),
    (
        "gcs list",
        lambda rig: refuse(rig.gcs, "GET /storage", 403),
        "list gs://preflight-destination",
        "grant storage.objects.list on gs://preflight-destination (roles/storage.objectUser)"
        " to the account of connection 'g'",
    ),
    (
        "gcs create",
        lambda rig: refuse(rig.gcs, "POST /upload", 403),
        f"create gs://{DESTINATION}/{NAME}",
        "objects.create",
    ),
    ("gcs delete", lambda rig: refuse(rig.gcs, "DELETE /storage", 403), "delete gs://", "grant storage.objects.delete"),
    (
        "publish",
        lambda rig: refuse(rig.pubsub, "Publish .*/requests", 403),
        "publish and subscribe to requests",
        "grant pubsub.topics.publish on it to the account of connection 'g'",
    ),
    (
        "attach",
        lambda rig: refuse(rig.pubsub, "CreateSubscription .*/failures", 403),
        "publish and subscribe to failures",
        "grant pubsub.topics.attachSubscription on it",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "tried", "said"), FAILURES, ids=[case[0] for case in FAILURES])
def test_each_failure_names_what_was_tried_and_what_to_change(
    rig: PreflightRig, name: str, spoil: Callable[[PreflightRig], object], tried: str, said: str
) -> None:
    spoil(rig)
    source = S3Probe("a", "no-such-source", "") if name == "s3 gone" else None
    findings = rig.check(source=source)
    failed = only(findings, Mark.FAILED)
    assert tried in failed.check
    assert said in failed.detail
    assert failed.is_temporary == (name == "no edge")
    assert not re.search(r"Signature=|swordfish|PRIVATE KEY-----\S", str(failed))
    rig.gcs.faults.replace([])
    assert rig.left_behind() == ([NAME] if name == "gcs delete" else [])
    if name == "gcs delete":
        rig.storage.bucket(DESTINATION).blob(NAME).delete()


def test_all_failures_are_told_at_once(rig: PreflightRig, connect) -> None:
    rig.aws(login="AKIDNOBODY", password="x")
    rig.cloudfront(host="")
    rig.buckets = (DESTINATION, "no-such")
    refuse(rig.pubsub, "Publish", 403)
    assert marks(rig.check()) == "✗✗✓✓✓✓✗✗✗✓"


def test_missing_connections_are_named(rig: PreflightRig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ACG":
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}")
    failed = [finding for finding in rig.check() if finding.mark is Mark.FAILED]
    for conn_id, finding in zip("acggg", failed, strict=True):
        assert (
            finding.detail
            == f"there is no connection '{conn_id}': create it under Admin, Connections, or correct its id"
        )


def test_one_object_that_is_refused_does_not_stop_a_run(rig: PreflightRig) -> None:
    """It may have a rule of its own; the run will name it."""
    for number in range(9):
        rig.client.put_object(Bucket=SOURCE, Key=f"a/x{number}", Body=b"x")
    refuse(rig.s3, f"GET /{SOURCE}/a/b", 404, "<Error><Code>NoSuchKey</Code></Error>")
    findings = rig.check()
    assert marks(findings) == "✓" * 11
    assert "'a/x" in findings[1].detail


def test_trouble_that_may_pass_is_told_from_what_a_person_has_to_change(rig: PreflightRig) -> None:
    refuse(rig.gcs, "GET /storage", 503)
    assert only(rig.check(), Mark.FAILED).is_temporary
    rig.gcs.faults.replace([])
    refuse(rig.edge, "GET", 502)
    assert only(rig.check(), Mark.FAILED).is_temporary
    rig.edge.faults.replace([])
    refuse(rig.gcs, "GET /storage", 401, json.dumps({"error": {"message": "who?", "errors": [{"reason": "required"}]}}))
    failed = only(rig.check(), Mark.FAILED)
    assert not failed.is_temporary
    assert "check the Google connection's credentials" in failed.detail


def test_uploads_in_parts_that_are_forbidden_only_make_large_objects_slower(rig: PreflightRig) -> None:
    refuse(rig.gcs, r"POST .*\?uploads", 403)
    found = only(rig.check(), Mark.WARNED)
    assert "begin an upload in parts" in found.check
    assert "grant storage.multipartUploads.create and storage.multipartUploads.abort" in found.detail
    assert found.detail.endswith("until then each large object is uploaded in one stream")


def test_labels_that_may_not_be_bound_only_make_a_later_run_copy_again(rig: PreflightRig) -> None:
    refuse(rig.gcs, "PATCH ", 403)
    found = only(rig.check(), Mark.WARNED)
    assert "change the metadata" in found.check
    assert "grant storage.objects.update on gs://preflight-destination (roles/storage.objectUser)" in found.detail
    assert rig.left_behind() == []


def test_a_sample_needs_to_read_s3_itself(rig: PreflightRig) -> None:
    assert marks(rig.check(samples=True)) == "✓" * 12
    refuse(rig.s3, f"GET /{SOURCE}/a/b", 403)
    found = [finding for finding in rig.check(samples=True) if "verify_sample" in finding.check]
    assert [finding.mark for finding in found] == [Mark.FAILED]
    assert "allow s3:GetObject" in found[0].detail
