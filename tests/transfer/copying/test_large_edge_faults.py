"""Large objects, as a stream and in parts, through an edge that fails: right in the end, or refused by name."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from engine_rig import EngineRig, fault
from large_objects import MIB, PART, arrived, fresh, listed, put_in_parts, ranges_asked, refused
from localcloud.edge import EdgeServer
from transfer.config import Timeouts
from transfer.errors import BucketMissing
from transfer.model import Proof

WAYS = ["stream", "parts"]
LANES = {"stream": 1, "parts": 4}
PROOFS = {"stream": Proof.ETAG_MD5, "parts": Proof.ETAG_MULTIPART}


def copy(rig: EngineRig, way: str):
    return rig.copy(listed(rig, way), lanes=LANES[way])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("action", ["reset", "truncate"])
@pytest.mark.parametrize("at_byte", [0, 1, 3 * MIB, PART - 1, PART])
def test_a_body_that_breaks_off_is_resumed(large: EngineRig, bodies, way: str, action: str, at_byte: int) -> None:
    large.edge.faults.replace([fault("GET", action, times=1, at_byte=at_byte)])
    outcome = arrived(large, way, bodies[way], copy(large, way))
    assert outcome.proof is PROOFS[way]


@pytest.mark.parametrize("way", WAYS)
def test_bytes_that_arrived_are_not_fetched_again(large: EngineRig, bodies, way: str) -> None:
    large.edge.faults.replace([fault("GET", "truncate", times=1, at_byte=2 * MIB if way == "stream" else PART + 9)])
    with ranges_asked(large.edge) as asked:
        arrived(large, way, bodies[way], large.copy(listed(large, way)))
    size = len(bodies[way])
    if way == "stream":
        first, second = asked
        start, _, end = second.removeprefix("bytes=").partition("-")
        assert (first, end) == ("", str(size - 1))
        # A session keeps multiples of 256 KiB; some bytes were still in flight to it when the body broke off.
        assert 0 < int(start) <= 2 * MIB and int(start) % (256 * 1024) == 0
    else:
        assert asked == [
            f"bytes=0-{2 * PART - 1}",
            f"bytes={PART}-{2 * PART - 1}",
            f"bytes={2 * PART}-{size - 1}",
        ]


def test_a_stall_is_interrupted_and_retried(large: EngineRig, bodies) -> None:
    """Some 5 s after `stall_s`: libcurl looks at the mean of the last five."""
    large.edge.faults.replace([fault(f"GET /{way}", "stall", times=1, at_byte=MIB, seconds=30) for way in WAYS])
    config = replace(large.config, timeouts=Timeouts(connect_s=2, stall_s=1))
    rigs = {way: replace(large, config=config) for way in WAYS}
    with ThreadPoolExecutor() as pool:
        outcomes = dict(zip(WAYS, pool.map(lambda way: copy(rigs[way], way), WAYS), strict=True))
    for way in WAYS:
        assert arrived(rigs[way], way, bodies[way], outcomes[way]).seconds < 15


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fields", [{"status": 500}, {"status": 503}, {"status": 429, "headers": {"Retry-After": "0"}}])
@pytest.mark.parametrize("after", [0, 1])
def test_a_passing_status_is_retried(large: EngineRig, bodies, way: str, fields: dict, after: int) -> None:
    interrupted = [fault("GET", "truncate", times=1, at_byte=MIB)] if after and way == "stream" else []
    large.edge.faults.replace([*interrupted, fault("GET", "status", times=1, **fields)])
    arrived(large, way, bodies[way], copy(large, way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, "<Error><Code>NoSuchKey</Code></Error>", "SourceNotFound"),
        (416, "<Error><Code>InvalidRange</Code></Error>", "SourceChanged"),
        (403, "<Error><Code>InvalidObjectState</Code></Error>", "SourceArchived"),
        (403, "", "EdgeBlocked"),
        (403, "<Error><Code>AccessDenied</Code><HostId>H</HostId></Error>", "SourceForbidden"),
        (429, "", "Throttled"),
        (500, "", "SourceUnavailable"),
        (503, "", "SourceUnavailable"),
    ],
)
@pytest.mark.parametrize("is_midway", [False, True])
def test_a_lasting_status_fails_the_object_by_name(
    large: EngineRig, way: str, status: int, body: str, code: str, is_midway: bool
) -> None:
    first_fault = (
        [fault("GET", "truncate", times=1, at_byte=2 * MIB if way == "stream" else PART + 1)] if is_midway else []
    )
    large.edge.faults.replace([*first_fault, fault("GET", "status", status=status, body=body)])
    failure = refused(large, copy(large, way))
    assert (failure.error_code, failure.http_status, failure.stage) == (code, status, "download")


@pytest.mark.parametrize("way", WAYS)
def test_an_error_that_the_edge_repeats_is_waited_out(large: EngineRig, bodies, monkeypatch, way: str) -> None:
    """CloudFront keeps a 503 for 10 s: a second here, on both sides."""
    monkeypatch.setattr("transfer.backends.cloudfront.source.ERROR_CACHE_S", 1.0)
    monkeypatch.setattr(large.edge, "_error_ttl_s", 1.0)
    large.s3.faults.replace([fault("GET /source-bucket/", "status", times=1, status=503)])
    outcome = arrived(large, way, bodies[way], copy(large, way))
    assert outcome.seconds > 0.9
    assert outcome.attempts == 2
    assert sum(large.s3.faults._hits.values()) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_length_never_becomes_an_object(large: EngineRig, bodies, way: str, change: int) -> None:
    size = len(bodies[way]) if way == "stream" else 2 * PART
    wrong = {"Content-Length": str(size + change)}
    large.edge.faults.replace([fault("GET", "rewrite", headers=wrong)])
    failure = refused(large, copy(large, way))
    assert failure.error_code == ("SourceChanged" if way == "stream" else "CorruptTransfer")


def test_a_wrong_length_of_one_range_is_fetched_again(large: EngineRig, bodies) -> None:
    large.edge.faults.replace([fault("GET", "rewrite", times=1, headers={"Content-Length": str(2 * PART + 1)})])
    arrived(large, "parts", bodies["parts"], copy(large, "parts"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("given", "code"),
    [("bytes 0-9/{size}", "CorruptTransfer"), ("bytes 0-9/99", "SourceChanged"), ("", "SourceChanged")],
)
def test_a_wrong_content_range_never_becomes_an_object(
    large: EngineRig, bodies, way: str, given: str, code: str
) -> None:
    headers = {"Content-Range": given.format(size=len(bodies[way]))}
    first_fault = [fault("GET", "truncate", times=1, at_byte=2 * MIB)] if way == "stream" else []
    large.edge.faults.replace([*first_fault, fault("GET", "rewrite", headers=headers)])
    assert refused(large, copy(large, way)).error_code == code


@pytest.mark.parametrize("at_byte", [0, 1000, PART - 1, PART, 2 * PART - 1])
@pytest.mark.parametrize("way", WAYS)
def test_a_flipped_bit_is_corrected(large: EngineRig, bodies, way: str, at_byte: int) -> None:
    at_byte %= len(bodies[way])
    large.edge.faults.replace([fault("GET", "corrupt", times=1, at_byte=at_byte)])
    with ranges_asked(large.edge) as asked:
        outcome = arrived(large, way, bodies[way], copy(large, way))
    assert outcome.proof is PROOFS[way]
    if way == "parts":  # two GETs, a second read of each of three parts, and the wrong one again
        assert len(asked) == 6


@pytest.mark.parametrize("way", WAYS)
def test_bits_that_flip_in_every_answer_never_become_an_object(large: EngineRig, way: str) -> None:
    large.edge.faults.replace([fault("GET", "corrupt", times=1, at_byte=1000 + index) for index in range(200)])
    failure = refused(large, copy(large, way))
    assert failure.error_code == "CorruptTransfer"


@pytest.mark.parametrize("way", WAYS)
def test_an_object_replaced_while_it_is_copied_is_source_changed(large: EngineRig, way: str) -> None:
    key = f"{way}-replaced"
    put = large.put if way == "stream" else (lambda key, body: put_in_parts(large, key, body))
    put(key, b"1" * (12 * MIB))
    item = listed(large, key)
    first_fault = (
        [fault("GET", "truncate", times=1, at_byte=MIB)] if way == "stream" else [fault("GET", "delay", times=1)]
    )
    large.edge.faults.replace([*first_fault, fault("GET", "delay", seconds=1)])
    before = sum(large.edge.requests().values())

    def replace_it() -> None:
        while sum(large.edge.requests().values()) == before:
            time.sleep(0.01)
        put(key, b"2" * (12 * MIB))

    thread = threading.Thread(target=replace_it)
    thread.start()
    outcome = large.copy(item)
    thread.join()
    failure = refused(large, outcome)
    assert failure.error_code == "SourceChanged"
    assert item.etag in failure.message


def test_a_server_that_ignores_ranges_is_read_nevertheless(large: EngineRig, bodies, monkeypatch) -> None:
    """The bytes asked for are cut out of the whole."""
    monkeypatch.setattr(large.edge, "_forwarded", lambda exchange: {})
    arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts"), lanes=2))


def test_the_body_of_an_error_is_read_to_its_end(large: EngineRig) -> None:
    """Its code may come in a later packet than its status, and says whether the object or the bucket is gone."""
    with_no_bucket = EdgeServer(
        large.s3.url,
        "no-such-bucket",
        access_key_id=large.s3.access_key_id,
        secret_access_key=large.s3.secret_access_key,
        restrict=False,
    )
    with_no_bucket.faults.replace([fault("GET", "stall", at_byte=20, seconds=0.3)])
    with_no_bucket.start()
    rig = replace(large, edge=with_no_bucket)
    try:
        with pytest.raises(BucketMissing, match="NoSuchBucket"):
            rig.copy(listed(large, "stream"))
    finally:
        with_no_bucket.stop()
        fresh(large)
