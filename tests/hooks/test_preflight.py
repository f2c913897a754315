"""The checks before a run, on the local cloud: what each says when all is well, and when each single thing is not."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage

from hooks.probes import CloudfrontProbe, GcsProbe, PubSubProbe, S3Probe, SourceListProbe
from hooks.source import SourceList
from inventories import Row, put_inventory
from localcloud.edge import EdgeServer, ErrorPage, Settings
from localcloud.faults import Fault
from localcloud.gcs import GcsServer
from localcloud.pubsub import PubSubServer
from localcloud.s3 import S3Server
from localcloud.supervisor import KEY_PAIR_ID, signing_key
from transfer.model import SkipReason
from transfer.preflight.checks import Finding, Mark, Preflight

SOURCE, DESTINATION, RECORDS, PROJECT = "preflight-source", "preflight-destination", "preflight-records", "p1"
NAME = ".edgehaul/preflight/run-1"


@dataclass
class Rig:
    """A bucket on each side, a distribution, two topics, and the connections to them."""

    s3: S3Server
    edge: EdgeServer
    gcs: GcsServer
    pubsub: PubSubServer
    private_key: str
    connect: Callable[..., str]
    prefix: str = ""
    topics: tuple[str, ...] = ("requests", "failures")
    buckets: tuple[str, ...] = (DESTINATION,)
    clock_ahead_s: float = 0

    def __post_init__(self) -> None:
        key, secret = self.s3.access_key_id, self.s3.secret_access_key
        self.client = boto3.client(
            "s3", endpoint_url=self.s3.url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
        )
        self.storage = storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.gcs.url}
        )
        self.aws(login=key, password=secret)
        self.cloudfront()
        self.connect("g", conn_type="google_cloud_platform", extra={"is_anonymous": True, "project": PROJECT})

    def aws(self, **fields: object) -> None:
        extra = {"region_name": "us-east-1", "endpoint_url": self.s3.url}
        self.connect("a", conn_type="aws", extra=extra, **fields)

    def cloudfront(self, **fields: object) -> None:
        fields = {"host": self.edge.url, "login": KEY_PAIR_ID, "password": self.private_key} | fields
        self.connect("c", conn_type="cloudfront", **fields)

    def check(
        self,
        *,
        source: S3Probe | None = None,
        has_source: bool = True,
        source_list: str = "",
        deletes: bool = False,
        samples: bool = False,
    ) -> list[Finding]:
        preflight = Preflight(
            source=(source or S3Probe("a", SOURCE, self.prefix)) if has_source else None,
            source_list=SourceListProbe(self.source_list(source_list)) if source_list else None,
            deletes=deletes,
            samples=samples,
            edge=CloudfrontProbe("c", self.prefix),
            buckets=[GcsProbe("g", bucket) for bucket in self.buckets],
            topics=[PubSubProbe("g", topic, None) for topic in self.topics],
            object_name=NAME,
            clock=lambda: time.time() + self.clock_ahead_s,
        )
        return list(preflight.findings())

    def source_list(self, uri: str) -> SourceList:
        return SourceList(
            uri=uri, aws_conn_id="a", gcp_conn_id="g", bucket=SOURCE, prefix=self.prefix, stop=threading.Event()
        )

    def left_behind(self) -> list[str]:
        return [blob.name for bucket in (DESTINATION, RECORDS) for blob in self.storage.list_blobs(bucket)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, GcsServer, PubSubServer, str, Path]]:
    folder = tmp_path_factory.mktemp("preflight")
    private_key, public_key = signing_key(folder / "key")
    s3, pubsub = S3Server(buckets=[SOURCE]), PubSubServer(None)
    gcs = GcsServer(folder / "gcs", buckets=[DESTINATION, RECORDS])
    for server in (s3, gcs, pubsub):
        server.start()
    yield s3, gcs, pubsub, private_key, public_key
    for server in (pubsub, gcs, s3):
        server.stop()


@pytest.fixture
def start_edge(servers) -> Iterator[Callable[..., EdgeServer]]:
    s3, _, _, _, public_key = servers
    started = []

    def start(**options: object) -> EdgeServer:
        key_pairs = {KEY_PAIR_ID: public_key.read_text()}
        identity = {"access_key_id": s3.access_key_id, "secret_access_key": s3.secret_access_key}
        edge = EdgeServer(s3.url, SOURCE, **{"key_pairs": key_pairs} | identity | options)
        edge.start()
        started.append(edge)
        return edge

    yield start
    for edge in started:
        edge.stop()


@pytest.fixture
def rig(servers, start_edge, connect, monkeypatch: pytest.MonkeyPatch) -> Rig:
    s3, gcs, pubsub, private_key, _ = servers
    for server in (s3, gcs, pubsub):
        server.faults.replace([])
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.url)
    made = Rig(s3, start_edge(), gcs, pubsub, private_key, connect)
    for topic in made.topics:
        with pubsub_v1.PublisherClient() as publisher:
            path = f"projects/{PROJECT}/topics/{topic}"
            if path not in pubsub._broker.store.topics:
                publisher.create_topic(name=path)
    for page in made.client.get_paginator("list_objects_v2").paginate(Bucket=SOURCE):
        for item in page.get("Contents", ()):
            made.client.delete_object(Bucket=SOURCE, Key=item["Key"])
    made.client.put_object(Bucket=SOURCE, Key="a/empty", Body=b"")
    made.client.put_object(Bucket=SOURCE, Key="a/b c", Body=b"content")
    return made


def refuse(server: S3Server | GcsServer | PubSubServer | EdgeServer, match: str, status: int, body: str = "") -> None:
    server.faults.replace([Fault(match=match, action="status", status=status, body=body)])


def asking(findings: list[Finding]) -> Finding:
    (finding,) = [finding for finding in findings if "single keys" in finding.tried]
    return finding


def test_deleting_needs_an_answer_of_what_is_there_and_of_what_is_not(rig: Rig) -> None:
    assert asking(rig.check(deletes=True)).mark is Mark.PASSED
    assert not any("single keys" in finding.tried for finding in rig.check())


@pytest.mark.parametrize(
    ("match", "status", "said"),
    [
        ("HEAD .*/a/", 403, "'a/b c' was listed, and S3 does not give it back .*allow s3:GetObject on arn:aws:s3:::"),
        ("HEAD ", 404, "'a/b c' was listed, and S3 does not give it back when it is asked for it"),
        ("HEAD .*edgehaul", 403, r"who may also list \(s3:ListBucket on the bucket\)"),
        ("HEAD .*edgehaul", 200, "it says that it has a key which nobody has written"),
    ],
)
def test_an_answer_that_tells_nothing(rig: Rig, match: str, status: int, said: str) -> None:
    refuse(rig.s3, match, status)
    finding = asking(rig.check(deletes=True))
    assert finding.mark is Mark.FAILED
    assert re.search(said, finding.said)


def test_an_answer_that_may_come_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    refuse(rig.s3, "HEAD .*/a/", 503)
    assert asking(rig.check(deletes=True)).is_passing


def marks(findings: list[Finding]) -> str:
    return "".join(finding.mark for finding in findings)


def only(findings: list[Finding], mark: Mark) -> Finding:
    (found,) = [finding for finding in findings if finding.mark is mark]
    return found


def test_all_is_well(rig: Rig) -> None:
    before = rig.pubsub.requests().get("Publish OK", 0)
    findings = rig.check()
    assert marks(findings) == "✓" * 11
    assert [str(finding) for finding in findings][
        1
    ] == "✓ read through the edge with connection 'c': 'a/b c', bytes 0-0"
    assert rig.left_behind() == []
    assert rig.pubsub.requests().get("Publish OK", 0) == before
    assert not any(name.startswith("HEAD") for name in rig.edge.requests())


def test_an_empty_bucket_and_a_server_that_cannot_tell_are_no_failures(rig: Rig) -> None:
    rig.prefix, rig.topics = "none/", ("not-there", "failures")
    refuse(rig.pubsub, "TestIamPermissions .*/failures", 501)
    findings = rig.check()
    assert marks(findings) == "✓✓–✓✓✓✓––✓"
    said = [str(finding) for finding in findings]
    assert said[0].endswith("nothing there")
    assert "no listed object to read" in said[1]
    assert "open_run creates it, with pubsub.topics.create" in said[7]
    assert "does not tell permissions; the topic is there" in said[8]


def test_what_an_earlier_run_left_is_moved_without_a_listing(rig: Rig) -> None:
    rig.aws(login="AKIDNOBODY", password="none")
    assert marks(rig.check(has_source=False)) == "–✓–✓✓✓✓✓✓✓"


def test_what_stands_in_place_of_a_listing_is_tried_too(rig: Rig) -> None:
    inventory = put_inventory(rig.client, SOURCE, [[Row(key="a/b c", size=7)]], of_bucket=SOURCE)
    other = put_inventory(rig.client, SOURCE, [], of_bucket="other")
    rig.storage.bucket(RECORDS).blob("keys.csv").upload_from_string("key\na/b c\na/gone\n")
    for uri in (inventory, f"gs://{RECORDS}/keys.csv"):
        findings = rig.check(source_list=uri)
        assert marks(findings) == "✓" * 12
        assert findings[1].tried == f"read {uri}"
    for uri, said in (
        (other, "is an inventory of 'other', and source_bucket is 'preflight-source': name its own"),
        (f"gs://{RECORDS}/no.csv", "there is no such file; correct source_listing"),
        (f"s3://{SOURCE}/no.jsonl", "there is no such file; correct source_listing"),
        ("s3://no-such-bucket/keys.csv", "reading s3://no-such-bucket/keys.csv: S3 answered 404"),
    ):
        finding = only(rig.check(source_list=uri), Mark.FAILED)
        assert (finding.tried, said in finding.said) == (f"read {uri}", True), finding.said

    for name, body in (("wrong.csv", "name,size\na/b c,7\n"), ("wrong.jsonl", '{"name": "a/b c"}\n')):
        rig.storage.bucket(RECORDS).blob(name).upload_from_string(body)
        finding = only(rig.check(source_list=f"gs://{RECORDS}/{name}"), Mark.FAILED)
        assert name in finding.said
        assert "key" in finding.said
        rig.storage.bucket(RECORDS).blob(name).delete()

    refuse(rig.s3, "HEAD", 403)
    finding = only(rig.check(source_list=f"gs://{RECORDS}/keys.csv"), Mark.FAILED)
    assert (
        "allow s3:GetObject on arn:aws:s3:::preflight-source/* to the user or role of the AWS connection"
        in finding.said
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


def test_another_bucket_for_the_records_is_tried_too(rig: Rig) -> None:
    rig.buckets = (DESTINATION, RECORDS)
    findings = rig.check()
    assert marks(findings) == "✓" * 15
    assert sum(RECORDS in str(finding) for finding in findings) == 4


def keep(rig: Rig, bucket: str, changes: dict) -> None:
    rig.storage._connection.api_request(method="PATCH", path=f"/b/{bucket}", data=changes)


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize(
    "policy",
    [{"retentionPolicy": {"retentionPeriod": "3600"}}, {"defaultEventBasedHold": True}],
    ids=["policy", "hold"],
)
def test_a_bucket_that_keeps_what_it_has_can_have_no_records(rig: Rig, policy: dict, is_shown: bool) -> None:
    """Where the account may not look at the bucket, an object of it shows the same."""
    rig.buckets = (DESTINATION, RECORDS)
    if not is_shown:
        refuse(rig.gcs, r"GET /storage/v1/b/[^/]*\?fields", 403)
    keep(rig, RECORDS, policy)
    blob = rig.storage.bucket(RECORDS).blob("there")
    blob.upload_from_string(b"x")
    try:
        finding = only(rig.check(), Mark.FAILED)
        assert finding.tried == f"replace and delete in gs://{RECORDS}"
        assert "name a bucket without one as state_bucket" in finding.said
        assert rig.left_behind() == ["there"]
        keep(rig, DESTINATION, policy)
        keep(rig, RECORDS, dict.fromkeys(policy))
        if is_shown:
            assert "neither replaced nor deleted" in only(rig.check(), Mark.WARNED).said
            assert rig.left_behind() == ["there"]
    finally:
        rig.gcs.faults.replace([])
        for bucket in (DESTINATION, RECORDS):
            keep(rig, bucket, dict.fromkeys(policy))
        blob.event_based_hold = False
        blob.patch()
        blob.delete()


def test_an_object_that_nobody_knew_would_stay_is_named(rig: Rig) -> None:
    held = '{"error": {"message": "held", "errors": [{"reason": "retentionPolicyNotMet"}]}}'
    refuse(rig.gcs, "DELETE /storage", 403, held)
    finding = only(rig.check(), Mark.FAILED)
    assert finding.said.endswith(f"{NAME} stays there until then")
    assert "state_bucket" in finding.said


def test_an_edge_that_caches_is_a_warning_and_a_stale_copy_is_named(rig: Rig, start_edge) -> None:
    rig.edge = start_edge(caching="optimized")
    rig.cloudfront()
    finding = only(rig.check(), Mark.WARNED)
    assert "so a copy may be stale" in finding.said
    assert "CachingDisabled" in finding.said
    rig.client.put_object(Bucket=SOURCE, Key="a/b c", Body=b"replaced")
    assert "its copy of 'a/b c' is stale" in only(rig.check(), Mark.WARNED).said


@pytest.mark.parametrize(
    ("settings", "tried", "said"),
    [
        (Settings(blocked=r"\.log$"), "odd names", "not names with '.log'"),
        (Settings(blocked="<script|union select"), "odd names", "count signed requests instead of blocking"),
        (Settings(error_pages={404: ErrorPage(status=200, body=b"sorry")}), "odd names", "custom error responses"),
        (Settings(removed_headers=frozenset({"etag"})), "read through the edge", "came without its ETag"),
    ],
)
def test_what_an_owner_set_on_the_distribution_is_a_warning(
    rig: Rig, start_edge, settings: Settings, tried: str, said: str
) -> None:
    rig.edge = start_edge(settings=settings)
    rig.cloudfront()
    found = only(rig.check(), Mark.WARNED)
    assert tried in found.tried
    assert said in found.said


def test_a_listed_object_that_a_firewall_blocks_for_its_name_fails_no_run(rig: Rig, start_edge) -> None:
    rig.client.put_object(Bucket=SOURCE, Key="a/a.log", Body=b"the first of all")
    rig.edge = start_edge(settings=Settings(blocked=r"\.log$"))
    rig.cloudfront()
    assert "not names with '.log'" in only(rig.check(), Mark.WARNED).said


def test_a_locked_folder_that_fills_the_first_page_fails_no_run(rig: Rig) -> None:
    for number in range(13):  # so that no object but these is among the three that are read of a page
        rig.client.put_object(Bucket=SOURCE, Key=f"a/0/locked/{number:02d}", Body=b"x")
    denied = "<Error><Code>AccessDenied</Code><HostId>h</HostId></Error>"
    refuse(rig.edge, "GET /a/0/locked/", 403, denied)
    assert not any(finding.mark is Mark.FAILED for finding in rig.check())
    refuse(rig.edge, "GET /a/", 403, denied)
    assert "s3:GetObject" in only(rig.check(), Mark.FAILED).said


def test_a_firewall_that_blocks_everything_is_a_failure(rig: Rig, start_edge) -> None:
    rig.edge = start_edge(settings=Settings(blocked="a"))
    rig.cloudfront()
    found = only(rig.check(), Mark.FAILED)
    assert "web ACL" in found.said


@pytest.mark.parametrize(
    ("ahead_s", "lifetime_s", "mark", "said"),
    [
        (20, 3600, None, ""),
        (40, 3600, Mark.WARNED, "40 s ahead of"),
        (-40, 3600, Mark.WARNED, "40 s behind"),
        (-40, 60, Mark.FAILED, "40 s behind"),
        (400, 3600, Mark.FAILED, "400 s ahead of"),
    ],
)
def test_the_clock(rig: Rig, ahead_s: float, lifetime_s: int, mark: Mark | None, said: str) -> None:
    rig.clock_ahead_s = ahead_s + 0.5
    rig.cloudfront(extra={"url_lifetime_s": lifetime_s})
    findings = rig.check()
    assert marks(findings) == "✓" * 10 + (mark or "✓")
    assert re.sub(r"\b(39|41)\b", "40", findings[-1].said).replace("401", "400").find(said) >= 0
    assert not said or findings[-1].said.endswith(": set it by NTP")


def s3_refuses(code: str) -> Callable[[Rig], None]:
    return lambda rig: refuse(rig.s3, "GET /.*list-type", 403, f"<Error><Code>{code}</Code></Error>")


FAILURES: list[tuple[str, Callable[[Rig], object], str, str]] = [
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
    ("key pair", lambda rig: rig.cloudfront(login="KNOTTHEONE"), "connection 'c'", "does not know the key pair id"),
    ("unsigned", lambda rig: rig.cloudfront(extra={"signing": "public"}), "connection 'c'", "set signing to 'signed'"),
    (
        "no PEM",
        lambda rig: rig.cloudfront(password="swordfish"),
        "connection 'c'",
        "Connection 'c', field 'password (private key)': must be an unencrypted PEM key",
    ),
    ("no edge", lambda rig: rig.cloudfront(host="http://127.0.0.1:9"), "connection 'c'", "check host, schema and port"),
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
    rig: Rig, name: str, spoil: Callable[[Rig], object], tried: str, said: str
) -> None:
    spoil(rig)
    source = S3Probe("a", "no-such-source", "") if name == "s3 gone" else None
    findings = rig.check(source=source)
    failed = only(findings, Mark.FAILED)
    assert tried in failed.tried
    assert said in failed.said
    assert failed.is_passing == (name == "no edge")
    assert not re.search(r"Signature=|swordfish|PRIVATE KEY-----\S", str(failed))
    rig.gcs.faults.replace([])
    assert rig.left_behind() == ([NAME] if name == "gcs delete" else [])
    if name == "gcs delete":
        rig.storage.bucket(DESTINATION).blob(NAME).delete()


def test_all_failures_are_told_at_once(rig: Rig, connect) -> None:
    rig.aws(login="AKIDNOBODY", password="x")
    rig.cloudfront(host="")
    rig.buckets = (DESTINATION, "no-such")
    refuse(rig.pubsub, "Publish", 403)
    assert marks(rig.check()) == "✗✗✓✓✓✓✗✗✗✓"


def test_missing_connections_are_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ACG":
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}")
    failed = [finding for finding in rig.check() if finding.mark is Mark.FAILED]
    for conn_id, finding in zip("acggg", failed, strict=True):
        assert (
            finding.said == f"there is no connection '{conn_id}': create it under Admin, Connections, or correct its id"
        )


def test_one_object_that_is_refused_does_not_stop_a_run(rig: Rig) -> None:
    """It may have a rule of its own; the run will name it."""
    for number in range(9):
        rig.client.put_object(Bucket=SOURCE, Key=f"a/x{number}", Body=b"x")
    refuse(rig.s3, f"GET /{SOURCE}/a/b", 404, "<Error><Code>NoSuchKey</Code></Error>")
    findings = rig.check()
    assert marks(findings) == "✓" * 11
    assert "'a/x" in findings[1].said


def test_trouble_that_may_pass_is_told_from_what_a_person_has_to_change(rig: Rig) -> None:
    refuse(rig.gcs, "GET /storage", 503)
    assert only(rig.check(), Mark.FAILED).is_passing
    rig.gcs.faults.replace([])
    refuse(rig.edge, "GET", 502)
    assert only(rig.check(), Mark.FAILED).is_passing
    rig.edge.faults.replace([])
    refuse(rig.gcs, "GET /storage", 401, json.dumps({"error": {"message": "who?", "errors": [{"reason": "required"}]}}))
    failed = only(rig.check(), Mark.FAILED)
    assert not failed.is_passing
    assert "check the Google connection's credentials" in failed.said


def test_uploads_in_parts_that_are_forbidden_only_make_large_objects_slower(rig: Rig) -> None:
    refuse(rig.gcs, r"POST .*\?uploads", 403)
    found = only(rig.check(), Mark.WARNED)
    assert "begin an upload in parts" in found.tried
    assert "grant storage.multipartUploads.create and storage.multipartUploads.abort" in found.said
    assert found.said.endswith("until then large objects go in one stream each")


def test_labels_that_may_not_be_bound_only_make_a_later_run_copy_again(rig: Rig) -> None:
    refuse(rig.gcs, "PATCH ", 403)
    found = only(rig.check(), Mark.WARNED)
    assert "change the metadata" in found.tried
    assert "grant storage.objects.update on gs://preflight-destination (roles/storage.objectUser)" in found.said
    assert rig.left_behind() == []


def test_a_sample_needs_to_read_s3_itself(rig: Rig) -> None:
    assert marks(rig.check(samples=True)) == "✓" * 12
    refuse(rig.s3, f"GET /{SOURCE}/a/b", 403)
    found = [finding for finding in rig.check(samples=True) if "verify_sample" in finding.tried]
    assert [finding.mark for finding in found] == [Mark.FAILED]
    assert "allow s3:GetObject" in found[0].said
