"""Objects copied as one stream: servers that report no MD5, KMS, sessions, signatures that expire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine_rig import DESTINATION, SOURCE, EngineRig, fault
from large_objects import MIB, arrived, listed, ranges_asked, refused
from localcloud.edge import EdgeServer
from transfer.backends.cloudfront.signing import UrlSigner
from transfer.errors import SignatureRejected
from transfer.model import Proof

NO_MD5 = r', "md5Hash": "[^"]*"'
KMS = {"x-amz-server-side-encryption": "aws:kms"}
WAYS = ["stream", "parts"]


def test_an_object_is_copied_by_one_get_and_one_put(large: EngineRig, bodies) -> None:
    before = large.gcs.requests()
    with ranges_asked(large.edge) as asked:
        outcome = arrived(large, "stream", bodies["stream"], large.copy(listed(large, "stream")))
    assert (outcome.proof, outcome.attempts, asked) == (Proof.ETAG_MD5, 1, [""])
    assert outcome.edge_request_id
    sent = {kind: count - before.get(kind, 0) for kind, count in large.gcs.requests().items()}
    assert (sent["objects.insert-initiate 200"], sent["objects.insert-chunk 200"]) == (1, 1)


def test_a_server_that_names_no_md5(large: EngineRig, bodies) -> None:
    """An object stored unproven is removed, and sent again with the MD5 computed here; the next one is sent once."""
    large.gcs.faults.replace([fault("PUT /upload", "rewrite", cut=NO_MD5)])
    outcome = arrived(large, "stream", bodies["stream"], large.copy(listed(large, "stream")))
    assert (outcome.proof, outcome.attempts) == (Proof.ETAG_MD5, 2)

    large.storage.bucket(DESTINATION).blob("stream").delete()
    with ranges_asked(large.edge) as asked:
        arrived(large, "stream", bodies["stream"], large.copy(listed(large, "stream")))
    assert asked == [""]

    large.storage.bucket(DESTINATION).blob("stream").delete()
    large.edge.faults.replace([fault("GET", "corrupt", at_byte=MIB)])
    assert refused(large, large.copy(listed(large, "stream"))).error_code == "CorruptTransfer"


def test_kms_gives_no_proof_and_an_etag_that_looks_like_an_md5_is_not_taken_for_one(large: EngineRig, bodies) -> None:
    etag = "0123456789abcdef0123456789abcdef"
    large.edge.faults.replace([fault("GET", "rewrite", headers={**KMS, "ETag": f'"{etag}"'})])
    with ranges_asked(large.edge) as asked:
        outcome = arrived(large, "stream", bodies["stream"], large.copy(listed(large, "stream", etag=etag)))
    assert (outcome.proof, len(asked)) == (Proof.CRC32C, 1)


def test_a_multipart_object_below_parallel_bytes_is_streamed_and_proven(large: EngineRig, bodies) -> None:
    rig = replace(large, config=replace(large.config, parallel_bytes=64 * MIB))
    assert arrived(rig, "parts", bodies["parts"], rig.copy(listed(rig, "parts"))).proof is Proof.ETAG_MULTIPART


def test_a_response_that_is_not_json_is_retried(large: EngineRig, bodies) -> None:
    large.gcs.faults.replace([fault("PUT /upload", "rewrite", times=1, cut='"}')])
    arrived(large, "stream", bodies["stream"], large.copy(listed(large, "stream")))
    large.gcs.faults.replace([fault("GET /storage.*/o/parts", "status", status=200, body="<html>")])
    failure = refused(large, large.copy(listed(large, "parts", replaces_generation=7)), names=["stream"])
    assert (failure.error_code, failure.http_status) == ("SinkUnavailable", 200)


@pytest.mark.parametrize("at_byte", [0, MIB, 3 * MIB])
def test_bytes_sent_twice_to_a_session_are_hashed_once(large: EngineRig, bodies, at_byte: int) -> None:
    """Bytes that are sent twice are summed up once, where the server names no MD5 and the proof is computed here."""
    large.capabilities.hashes_md5 = False
    broken = [fault("GET", "reset", times=1, at_byte=at_byte), fault("GET", "truncate", times=1, at_byte=100_000)]
    large.edge.faults.replace(broken)
    large.gcs.faults.replace([fault("PUT /upload", "rewrite", cut=NO_MD5), fault("PUT /upload", "reset", times=1)])
    assert arrived(large, "stream", bodies["stream"], large.copy(listed(large, "stream"))).proof is Proof.ETAG_MD5


@pytest.mark.parametrize("times", [1, None])
def test_a_bit_flipped_in_a_multipart_object_copied_in_one_request(large: EngineRig, bodies, times: int | None) -> None:
    rig = replace(large, config=replace(large.config, parallel_bytes=64 * MIB))
    flips = [fault("GET", "corrupt", times=1, at_byte=1000 + index) for index in range(times or 50)]
    rig.edge.faults.replace(flips)
    outcome = rig.copy(listed(rig, "parts"))
    if times:
        assert arrived(rig, "parts", bodies["parts"], outcome).proof is Proof.ETAG_MULTIPART
    else:
        assert refused(rig, outcome).error_code == "CorruptTransfer"


class _Clock:
    """A clock that advances by `step_s` with every request to the edge."""

    def __init__(self) -> None:
        self.now_s = 1_900_000_000.0
        self.step_s = 40.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def _signed(large: EngineRig) -> Iterator[tuple[EngineRig, UrlSigner, _Clock]]:
    """The bucket behind an edge that requires signatures, with URLs that are valid for a minute."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    clock = _Clock()
    edge = EdgeServer(
        large.s3.url,
        SOURCE,
        access_key_id=large.s3.access_key_id,
        secret_access_key=large.s3.secret_access_key,
        key_pairs={"K1": public.decode()},
        clock=clock,
    )
    handler = edge._http._handler

    def ticking(exchange) -> None:
        try:
            handler(exchange)
        finally:
            clock.now_s += clock.step_s

    edge._http._handler = ticking
    edge.start()
    signer = UrlSigner(edge.url, "K1", private, lifetime_s=60, clock=clock, steady=clock)
    try:
        yield replace(large, edge=edge, authorizer=signer), signer, clock
    finally:
        edge.stop()


@pytest.mark.parametrize("way", WAYS)
def test_a_signature_that_expires_midway_is_renewed(large: EngineRig, bodies, way: str) -> None:
    with _signed(large) as (rig, signer, _):
        first = signer.query("")
        rig.edge.faults.replace([fault("GET", "truncate", times=1, at_byte=MIB)])
        arrived(rig, way, bodies[way], rig.copy(listed(rig, way)))
        assert signer.query("") != first
        assert all(not kind.endswith("403") for kind in rig.edge.requests())


class _Once:
    def __init__(self, query: str) -> None:
        self._query = query

    def query(self, escaped_prefix: str) -> str:
        return self._query

    def renew(self, escaped_prefix: str, refused: str) -> bool:
        return False


@pytest.mark.parametrize("way", WAYS)
def test_a_signature_that_is_not_renewed_is_rejected_by_name(large: EngineRig, way: str) -> None:
    """The counterpart: the edge does check the expiry of every request."""
    with _signed(large) as (rig, signer, clock):
        rig.authorizer = _Once(signer.query(""))
        clock.step_s = 70.0
        rig.edge.faults.replace([fault("GET", "truncate", times=1, at_byte=MIB)])
        with pytest.raises(SignatureRejected, match="AccessDenied"):
            rig.copy(listed(rig, way))
        assert rig.names() == []


def test_a_signature_that_expired_unnoticed_is_renewed_once(large: EngineRig, bodies) -> None:
    """As after a machine slept, or a clock was wrong: the signer takes it for fresh, and the edge does not."""
    with _signed(large) as (rig, signer, clock):
        signer._steady = lambda: 0.0
        stale = signer.query("")
        clock.now_s += 3600
        arrived(rig, "stream", bodies["stream"], rig.copy(listed(rig, "stream")))
        assert signer.query("") != stale
        clock.now_s += 3600
        signer._clock = lambda: clock.now_s - 7200
        with pytest.raises(SignatureRejected):
            rig.copy(listed(rig, "parts"))
        assert sum(count for kind, count in rig.edge.requests().items() if kind.endswith("403")) == 3
