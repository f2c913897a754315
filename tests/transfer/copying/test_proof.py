"""Source checksums computed again: single-part and multipart ETags, S3's own CRC32C."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import SOURCE, EngineRig, engine_rig
from transfer.backends.crc32c import crc32c_of
from transfer.backends.http import exchange
from transfer.copying.proof import MIB, SourceDigest, likely_part_sizes, require_identity, source_crc32c
from transfer.errors import CorruptTransfer, SourceUnproven
from transfer.model import Copied, Failed, ObjectMeta, Proof

KMS = {"x-amz-server-side-encryption": "aws:kms"}


def item(etag: str, size_bytes: int) -> ObjectMeta:
    return ObjectMeta(key="k", size_bytes=size_bytes, etag=etag, last_modified_s=0)


def proof_of(body: bytes, etag: str, step: int = 1000, headers: dict | None = None) -> Proof:
    digest = SourceDigest(item(etag, len(body)), headers or {})
    for at in range(0, len(body), step):
        digest.update(memoryview(body)[at : at + step])
    return digest.prove()


def multipart_etag(body: bytes, part_bytes: int) -> str:
    parts = [hashlib.md5(body[at : at + part_bytes]).digest() for at in range(0, max(len(body), 1), part_bytes)]
    return f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


@given(st.binary(max_size=3000), st.integers(1, 1500))
def test_a_single_part_etag(body: bytes, step: int) -> None:
    etag = hashlib.md5(body).hexdigest()
    assert proof_of(body, etag, step) is Proof.ETAG_MD5
    assert proof_of(body, "0" * 32, step, KMS) is Proof.CRC32C
    with pytest.raises(CorruptTransfer, match="MD5"):
        proof_of(body + b"x", etag, step)


@pytest.mark.parametrize("part_mib", [5, 8, 16])
@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("step", [MIB, 3_000_001])
def test_a_multipart_etag(part_mib: int, extra: int, step: int) -> None:
    body = bytes(2 * part_mib * MIB + extra)
    assert proof_of(body, multipart_etag(body, part_mib * MIB), step) is Proof.ETAG_MULTIPART


@pytest.mark.parametrize("body", [b"", b"one part"])
def test_a_multipart_etag_of_one_part(body: bytes) -> None:
    assert proof_of(body, multipart_etag(body, 8 * MIB)) is Proof.ETAG_MULTIPART


def test_an_unusual_part_size_proves_nothing_and_refuses_nothing() -> None:
    body = os.urandom(3 * MIB)
    assert proof_of(body, multipart_etag(body, 1_234_567)) is Proof.CRC32C


def test_the_likely_part_sizes() -> None:
    assert likely_part_sizes(100 * MIB, 13) == [8 * MIB]
    assert likely_part_sizes(1024 * MIB, 16) == [64 * MIB]
    assert likely_part_sizes(10 * MIB, 2) == [8 * MIB, 5 * MIB, 6 * MIB]
    assert likely_part_sizes(10, 1) == [10]

    assert likely_part_sizes(270_000_000, 10) == [26 * MIB, 27 * MIB, 28 * MIB]
    assert likely_part_sizes(1000 * MIB, 90) == []


def test_s3s_own_checksum() -> None:
    assert source_crc32c({"x-amz-checksum-crc32c": "AAAAAA=="}) == "AAAAAA=="
    assert source_crc32c({"x-amz-checksum-crc32c": "AAAAAA==-3"}) == ""
    assert source_crc32c({"x-amz-checksum-crc32c": "AAAAAA==", "x-amz-checksum-type": "COMPOSITE"}) == ""


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def copy(rig: EngineRig, key: str):
    head = rig.client.head_object(Bucket=SOURCE, Key=key)
    etag = head["ETag"].strip('"')
    listed = ObjectMeta(key=key, size_bytes=head["ContentLength"], etag=etag, last_modified_s=0)
    return rig.copy(listed)


def test_a_real_multipart_object_is_proven(rig: EngineRig) -> None:
    body = os.urandom(12 * MIB)
    upload = rig.client.create_multipart_upload(Bucket=SOURCE, Key="big")["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(body), 5 * MIB), start=1):
        answer = rig.client.upload_part(
            Bucket=SOURCE, Key="big", UploadId=upload, PartNumber=number, Body=body[at : at + 5 * MIB]
        )
        parts.append({"ETag": answer["ETag"], "PartNumber": number})
    rig.client.complete_multipart_upload(Bucket=SOURCE, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    outcome = copy(rig, "big")
    assert isinstance(outcome, Copied)
    assert outcome.proof is Proof.ETAG_MULTIPART
    assert rig.stored("big") == body


@pytest.mark.parametrize("size", [1000, 2 * MIB])
@pytest.mark.parametrize("is_right", [True, False])
def test_s3s_crc32c_is_compared_before_anything_is_stored(
    rig: EngineRig, monkeypatch, size: int, is_right: bool
) -> None:
    body = os.urandom(size)
    rig.put("summed", body)
    stated = crc32c_of(body if is_right else b"other")
    parsed = vars(exchange.Answer)["headers"].fget
    monkeypatch.setattr(  # our S3 does not send it unasked, and CloudFront does not ask
        exchange.Answer,
        "headers",
        property(
            lambda answer: {**parsed(answer), **({"x-amz-checksum-crc32c": stated} if answer.status == 200 else {})}
        ),
    )
    outcome = copy(rig, "summed")
    if is_right:
        assert isinstance(outcome, Copied)
        assert rig.stored("summed") == body
    else:
        assert isinstance(outcome, Failed)
        assert outcome.failure.error_code == "CorruptTransfer"
        assert rig.names() == []


@pytest.mark.parametrize("proof", [Proof.CRC32C, Proof.S3_CRC32C])
def test_s3s_checksum_does_not_show_which_object_the_response_is_of(proof: Proof) -> None:
    """It came with the bytes: both may be of another object, or of a later version of the same size."""
    with pytest.raises(SourceUnproven):
        require_identity(proof, {"x-amz-checksum-crc32c": "AAAAAA=="})
    require_identity(proof, {"etag": '"e"'})
    require_identity(Proof.ETAG_MULTIPART, {})
