"""Versions that a manifest names: through a signed edge, and accounted for by a whole run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from engine_rig import SOURCE, EngineRig, engine_rig
from localcloud.edge import EdgeServer
from transfer.backends.cloudfront.signing import UrlSigner
from transfer.backends.s3.files import head_all
from transfer.model import Copied, Failed, SkipReason
from transfer.naming import Naming
from transfer.reconciliation.verdicts import Pass
from transfer.records.run_record import RunRecord
from transfer.sources.replay import unfinished_objects


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
        with engine_rig(tmp_path_factory.mktemp("versions"), patch.setenv) as made:
            yield made


@pytest.fixture
def signed(servers: EngineRig) -> Iterator[EngineRig]:
    key = ec.generate_private_key(ec.SECP256R1())
    edge = EdgeServer(
        servers.s3.url,
        SOURCE,
        access_key_id=servers.s3.access_key_id,
        secret_access_key=servers.s3.secret_access_key,
        key_pairs={"K1": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()},
    )
    edge.start()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    yield replace(servers, edge=edge, authorizer=UrlSigner(edge.url, "K1", pem))
    edge.stop()


def versions(rig: EngineRig, key: str, *bodies: bytes) -> list[str]:
    rig.client.put_bucket_versioning(Bucket=SOURCE, VersioningConfiguration={"Status": "Enabled"})
    return [rig.client.put_object(Bucket=SOURCE, Key=key, Body=body)["VersionId"] for body in bodies]


@pytest.mark.parametrize("size_bytes", [10, 300 * 1024])
def test_an_older_version_comes_through_a_signed_edge(signed: EngineRig, size_bytes: int) -> None:
    key = f"old/ü {size_bytes}"
    first, _ = versions(signed, key, b"1" * size_bytes, b"2" * size_bytes)
    (item,) = head_all(signed.client, SOURCE, [(key, first)])
    assert item.version_id == first
    outcome = signed.copy(item)
    assert isinstance(outcome, Copied)
    assert signed.stored(key) == b"1" * size_bytes


def test_a_version_id_cannot_widen_the_request(signed: EngineRig) -> None:
    (first,) = versions(signed, "wide", b"1")
    (item,) = head_all(signed.client, SOURCE, [("wide", first)])
    outcome = signed.copy(replace(item, version_id="x&Policy=y&versionId=z?/../.."))
    assert isinstance(outcome, Failed)
    assert outcome.failure.http_status in (400, 404, 403)


def test_an_edge_that_drops_the_version_is_noticed(servers: EngineRig) -> None:
    """CachingOptimized forwards no query string: what comes is the current version, and has another ETag."""
    first, _ = versions(servers, "dropped", b"1", b"2")
    edge = EdgeServer(
        servers.s3.url,
        SOURCE,
        access_key_id=servers.s3.access_key_id,
        secret_access_key=servers.s3.secret_access_key,
        restrict=False,
        caching="optimized",
    )
    edge.start()
    (item,) = head_all(servers.client, SOURCE, [("dropped", first)])
    outcome = replace(servers, edge=edge).copy(item)
    edge.stop()
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "SourceChanged"


def test_a_deleted_version_and_a_delete_marker_are_absent(servers: EngineRig) -> None:
    (first,) = versions(servers, "gone", b"1")
    marker = servers.client.delete_object(Bucket=SOURCE, Key="gone")["VersionId"]
    found = list(head_all(servers.client, SOURCE, [("gone", ""), ("gone", first), ("gone", marker)]))
    assert [item.unreadable for item in found] == [SkipReason.ABSENT, None, SkipReason.ABSENT]


def test_a_run_of_a_manifest_accounts_for_every_key(servers: EngineRig) -> None:
    rig = replace(
        servers,
        run_id="lists",
        naming=Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/"),
    )
    first, _ = versions(rig, "in/v", b"old", b"new")
    rig.put("in/plain", b"plain")
    rig.put("in/not named", b"no")
    rig.put("in/cold", b"cold", StorageClass="GLACIER")
    asked = [
        ("in/cold", ""),
        ("in/gone", ""),
        ("in/gone too", "no-such-version"),
        ("in/plain", ""),
        ("in/v", first),
    ]
    rig.open()
    rig.worker(rig.list(planned=head_all(rig.client, SOURCE, asked))).run()
    report, again = rig.one_pass(Pass.FIRST)
    assert (report.listed, report.matched, report.skipped, report.failed) == (5, 2, 1, 2)
    assert again.objects == 0
    assert {name: rig.stored(name) for name in rig.names() if name.startswith("out/")} == {
        "out/plain": b"plain",
        "out/v": b"old",
    }
    rows = list(csv.DictReader(io.StringIO(rig.state().read("failures.csv").decode())))
    assert [(row["key"], row["reason"], row["stage"]) for row in rows] == [
        ("in/gone", "SourceNotFound", "list"),
        ("in/gone too", "SourceNotFound", "list"),
    ]
    assert "the manifest names it" in rows[0]["message"]
    assert "version no-such-version" in rows[1]["message"]
    assert {reason.reason for reason in report.reasons} == {"SourceNotFound", "archived"}
    assert rig.state().read("archived.csv").decode().splitlines() == [
        "key,version_id,bytes,class",
        "in/cold,,4,GLACIER",
    ]

    here = RunRecord(
        run_id="lists", source_bucket="s", source_prefix="in/", destination_bucket="d", destination_prefix="out/"
    )
    here.write(rig.state())
    left = list(unfinished_objects(rig.state(), run="lists", now=here))
    assert [item.key for item in left] == ["in/gone", "in/gone too"]
    assert rig.list(listing="2", planned=left).counts.objects == 0
    assert rig.reconcile(listing="2").failed == 2, "objects that do not exist are not requested again, and stay failed"
