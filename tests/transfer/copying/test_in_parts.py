"""Objects in parts: servers without such uploads, proofs, metadata, and lanes that help."""

from __future__ import annotations

import gzip
import os
import time
from typing import Any

import pytest

from engine_rig import DESTINATION, EngineRig, fault
from large_objects import MIB, PART, arrived, left_behind, listed, put_in_parts, ranges_asked, refused
from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.backends.crc32c import crc32c_of
from transfer.backends.http.loop import CurlLoop
from transfer.copying.parts import PartsBoard
from transfer.copying.whole import WorkerContext
from transfer.model import Copied, Failed, Proof

KMS = {"x-amz-server-side-encryption": "aws:kms"}


@pytest.mark.parametrize("status", [400, 404, 405, 411, 501])
def test_a_server_without_parts_gets_one_stream_and_is_not_asked_again(large: EngineRig, bodies, status: int) -> None:
    large.gcs.faults.replace([fault(r"POST .*\?uploads$", "status", status=status)])
    outcome = arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts"), lanes=2))
    assert (outcome.proof, outcome.attempts) == (Proof.ETAG_MULTIPART, 1)

    large.storage.bucket(DESTINATION).blob("parts").delete()
    large.gcs.faults.replace([])
    with ranges_asked(large.edge) as asked:
        arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts"), lanes=2))
    assert asked == [""]
    assert (
        large.storage.bucket(DESTINATION).get_blob("parts").md5_hash is not None
    )  # which an upload in parts never has


@pytest.mark.parametrize("cut", [r",?md5=[^,]+", r".*crc32c=.*"])
def test_a_server_that_names_no_md5_of_a_part(large: EngineRig, bodies, cut: str) -> None:
    large.gcs.faults.replace([fault("PUT .*partNumber", "rewrite", cut=cut)])
    with ranges_asked(large.edge) as asked:
        outcome = arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts")))
    assert outcome.proof is Proof.ETAG_MULTIPART
    assert asked == [
        f"bytes=0-{2 * PART - 1}",
        f"bytes=0-{2 * PART - 1}",
        f"bytes={2 * PART}-{len(bodies['parts']) - 1}",
    ]


def test_kms_gives_no_proof_and_costs_no_second_read(large: EngineRig, bodies) -> None:
    etag = "0123456789abcdef0123456789abcdef-3"
    large.edge.faults.replace([fault("GET", "rewrite", headers={**KMS, "ETag": f'"{etag}"'})])
    with ranges_asked(large.edge) as asked:
        outcome = arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts", etag=etag), lanes=4))
    assert outcome.proof is Proof.CRC32C
    assert len(asked) == 2


def test_parts_of_unusual_sizes_are_read_again(large: EngineRig) -> None:
    body = os.urandom(13 * MIB + 11)
    put_in_parts(large, "unusual", body, part_bytes=6 * MIB + 4321)
    with ranges_asked(large.edge) as asked:
        outcome = arrived(large, "unusual", body, large.copy(listed(large, "unusual"), lanes=4))
    assert outcome.proof is Proof.CRC32C
    sizes = [int(end) - int(start) + 1 for start, end in (item[len("bytes=") :].split("-") for item in asked)]
    assert sum(sizes) == 2 * len(body)


def test_a_bit_flipped_in_parts_of_unusual_sizes_is_corrected(large: EngineRig) -> None:
    body = os.urandom(13 * MIB + 11)
    put_in_parts(large, "unusual", body, part_bytes=6 * MIB + 4321)
    large.edge.faults.replace([fault("GET", "corrupt", times=1, at_byte=7 * MIB)])
    assert arrived(large, "unusual", body, large.copy(listed(large, "unusual"))).proof is Proof.CRC32C


@pytest.mark.parametrize("is_right", [True, False])
def test_s3s_own_crc32c_is_compared_before_the_parts_are_joined(large: EngineRig, bodies, is_right: bool) -> None:
    stated = crc32c_of(bodies["parts"] if is_right else b"other")
    headers = {"x-amz-checksum-crc32c": stated, "x-amz-checksum-type": "FULL_OBJECT"}
    large.edge.faults.replace([fault("GET", "rewrite", headers=headers)])
    outcome = large.copy(listed(large, "parts"), lanes=4)
    if is_right:
        arrived(large, "parts", bodies["parts"], outcome)
    else:
        failure = refused(large, outcome)
        assert failure.error_code == "CorruptTransfer"
        assert "S3 says" in failure.message


@pytest.mark.parametrize("kind", [{}, {"x-amz-checksum-type": "COMPOSITE"}])
def test_a_crc32c_of_the_range_or_of_the_parts_is_not_used(large: EngineRig, bodies, kind: dict[str, str]) -> None:
    stated = crc32c_of(bodies["parts"][: 2 * PART])
    large.edge.faults.replace([fault("GET", "rewrite", headers={"x-amz-checksum-crc32c": stated, **kind})])
    arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts"), lanes=4))


def test_metadata_and_headers_are_copied_with_the_parts(large: EngineRig) -> None:
    body = gzip.compress(os.urandom(6 * MIB), compresslevel=1)
    fields: dict[str, Any] = {
        "ContentType": "text/html; charset=utf-8",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de-AT",
        "ContentDisposition": 'attachment; filename="page.html"',
        "CacheControl": "max-age=60, private",
        "StorageClass": "STANDARD_IA",
    }
    put_in_parts(large, "page", body, Metadata={"owner": "data team"}, **fields)
    item = listed(large, "page", storage_class="STANDARD_IA")
    arrived(large, "page", body, large.copy(item, lanes=2))
    blob = large.storage.bucket(DESTINATION).get_blob("page")
    assert blob.md5_hash is None  # it was uploaded in parts
    assert (blob.content_type, blob.content_encoding) == (fields["ContentType"], "gzip")
    assert (blob.content_language, blob.content_disposition) == ("de-AT", fields["ContentDisposition"])
    assert (blob.cache_control, blob.storage_class) == ("max-age=60, private", "NEARLINE")
    assert blob.metadata == {
        "owner": "data team",
        "goog-reserved-file-mtime": str(item.last_modified_s),
        "x-goog-source-etag": item.etag,
        "edgehaul-proof": f"crc32c={blob.crc32c}; proof=etag-multipart",
        "s3-storage-class": "STANDARD_IA",
    }


@pytest.mark.parametrize(("value", "kept"), [("=?UTF-8?B?R3LDtsOfZQ==?=", "Größe"), ("", "")])
def test_an_object_whose_metadata_headers_cannot_carry_is_streamed(large: EngineRig, value: str, kept: str) -> None:
    body = os.urandom(6 * MIB)
    put_in_parts(large, "named", body, Metadata={"name": ""})
    if value:  # as S3 gives back a value that is not ASCII, which its client cannot send
        large.edge.faults.replace([fault("GET /named", "rewrite", headers={"x-amz-meta-name": value})])
    outcome = arrived(large, "named", body, large.copy(listed(large, "named"), lanes=2))
    assert outcome.proof is Proof.ETAG_MULTIPART
    blob = large.storage.bucket(DESTINATION).get_blob("named")
    assert blob.metadata["name"] == kept
    assert blob.md5_hash is not None
    assert large.capabilities.takes_parts


def test_every_idle_lane_takes_a_range(large: EngineRig) -> None:
    body = os.urandom(40 * MIB)
    put_in_parts(large, "wide", body)
    large.edge.faults.replace([fault("GET", "delay", seconds=1.0)])
    outcome = arrived(large, "wide", body, large.copy(listed(large, "wide"), lanes=4))
    assert outcome.seconds < 4 * 1.0  # four ranges one after the other would take longer
    large.client.delete_object(Bucket="source-bucket", Key="wide")


def test_a_lane_asks_for_whole_objects_after_it_helped_with_parts(large: EngineRig, bodies) -> None:
    """libcurl handles live on: nothing of one request may be left in the next."""
    share = WorkerContext(progress=Progress(), pacer=Pacer(large.config), board=PartsBoard())
    outcomes = []

    def lane():
        copier = large.copier(share)
        for key in ("parts", "stream"):
            outcomes.append((yield from copier.copy(listed(large, key))))

    CurlLoop(large.stop).run([lane()])
    assert all(isinstance(outcome, Copied) and outcome.attempts == 1 for outcome in outcomes)
    assert large.stored("stream") == bodies["stream"]
    assert share.progress.stats().bytes_copied == sum(map(len, bodies.values()))


@pytest.mark.parametrize(
    "record_request",
    ["POST /upload.*uploadType=multipart", r"GET /download/.*uploads%2F", r"DELETE /storage/v1/.*uploads%2F"],
)
@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("way", ["stream", "parts"])
def test_records_that_fail_never_fail_the_object(
    large: EngineRig, bodies, way: str, record_request: str, status: int
) -> None:
    large.gcs.faults.replace([fault(record_request, "status", status=status)])
    started_at_s = time.monotonic()
    outcome = large.copy(listed(large, way), lanes=2)
    assert isinstance(outcome, Copied)
    assert time.monotonic() - started_at_s < 3
    large.gcs.faults.replace([])
    assert large.stored(way) == bodies[way]
    assert large.progress.stats().bytes_copied == len(bodies[way])
    assert bool(left_behind(large)) == ("DELETE" in record_request)  # the end of the run sees to that


def test_an_unexpected_error_in_a_lane_that_helps_fails_the_object_and_leaves_nothing_behind(
    large, monkeypatch
) -> None:
    def broken(self, part):
        raise ZeroDivisionError("while a part was added")

    monkeypatch.setattr("transfer.copying.parts.PartsInFlight.add", broken)
    outcome = large.copy(listed(large, "parts"), lanes=3)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "UnexpectedError"
    assert "ZeroDivisionError: while a part was added" in outcome.failure.message
    assert left_behind(large) == []
