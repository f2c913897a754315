"""The requests and bytes that a plan counts are those that the engine uses."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import SOURCE, EngineRig, engine_rig
from transfer.config import TransferConfig
from transfer.model import Copied, ObjectMeta, TransferRequest
from transfer.planning.usage import ObjectRequests, UsageMeter, requests_of
from transfer.records.messages import MIN_BILLED_BYTES, billed_bytes, encode_request

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
MD5, PARTS_ETAG = "0" * 32, "0" * 32 + "-4"
CLASSES = ("STANDARD", "STANDARD_IA", "GLACIER_IR")
SMALL = TransferConfig(whole_bytes=100_000, parallel_bytes=8 * MIB, part_size_bytes=6 * MIB)
CLASS_A = (
    "objects.insert 200",
    "objects.insert-initiate 200",
    "xml.initiate 200",
    "xml.put-part 200",
    "xml.complete 200",
    "objects.patch 200",
)
CLASS_B = ("objects.get 200", "objects.get 404", "objects.get-media 200", "objects.get-media 404")


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv, config=SMALL) as made:
        yield made


def item(size_bytes: int = 1, etag: str = MD5, **fields: object) -> ObjectMeta:
    return ObjectMeta(**{"key": "in/k", "size_bytes": size_bytes, "etag": etag, "last_modified_s": 1} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size_bytes", "etag", "expected"),
    [
        (0, MD5, (1, 1, 0)),
        (256 * KIB, PARTS_ETAG, (1, 1, 0)),
        (MIB, PARTS_ETAG, (1, 2, 0)),  # one more for its proof
        (MIB + 1, MD5, (1, 1, 0)),
        (64 * MIB - 1, PARTS_ETAG, (1, 2, 0)),
        (64 * MIB, MD5, (1, 2, 2)),
        (64 * GIB, MD5, (2, 2, 2)),  # no more than 32 GiB in one GET
        (64 * MIB, "f" * 32 + "-8", (2, 8 + 5, 4)),  # the source's parts of 8 MiB, four to a GET
        (400 * MIB, "f" * 32 + "-4", (4, 4 + 5, 4)),  # of 100 MiB: one to a GET
        (100 * MIB, "kms", (4, 4 + 5, 4)),  # unknown part size: 32 MiB
        (5 * TIB, "kms", (9_987, 9_987 + 5, 4)),  # 10,000 parts at most: of 525 MiB
    ],
)
def test_the_requests_of_an_object(size_bytes: int, etag: str, expected: tuple[int, int, int]) -> None:
    found = requests_of(item(size_bytes, etag), TransferConfig())
    assert (found.edge_gets, found.class_a, found.class_b) == expected


@pytest.mark.parametrize("way", ["whole", "stream", "stream-of-parts", "stream-on-record", "parts"])
def test_the_engine_sends_the_requests_that_a_plan_counts(rig: EngineRig, way: str) -> None:
    size_bytes = {
        "whole": 5_000,
        "stream": MIB,
        "stream-of-parts": 7 * MIB,
        "stream-on-record": 9 * MIB,
        "parts": 17 * MIB,
    }[way]
    body = os.urandom(size_bytes)
    if way.endswith("parts"):
        upload = rig.client.create_multipart_upload(Bucket=SOURCE, Key="k")["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": rig.client.upload_part(
                    Bucket=SOURCE,
                    Key="k",
                    UploadId=upload,
                    PartNumber=number,
                    Body=body[(number - 1) * 5 * MIB :][: 5 * MIB],
                )["ETag"],
            }
            for number in range(1, -(-size_bytes // (5 * MIB)) + 1)
        ]
        rig.client.complete_multipart_upload(Bucket=SOURCE, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    else:
        rig.put("k", body)
    head = rig.client.head_object(Bucket=SOURCE, Key="k")
    modified = int(head["LastModified"].timestamp())
    listed = item(size_bytes, head["ETag"].strip('"'), key="k", last_modified_s=modified)

    outcome = rig.copy(listed)
    assert isinstance(outcome, Copied), outcome

    sent = Counter(rig.gcs.requests())
    assert rig.stored("k") == body
    assert requests_of(listed, SMALL) == ObjectRequests(
        edge_gets=sum(rig.edge.requests().values()),
        class_a=sum(sent[kind] for kind in CLASS_A),
        class_b=sum(sent[kind] for kind in CLASS_B),
    )


def test_a_message_is_billed_twice_and_at_least_1000_bytes_each() -> None:
    one = TransferRequest(run_id="r", listing="1", number=0, objects=(item(),))
    assert billed_bytes(*encode_request(one)) == 2 * MIN_BILLED_BYTES
    many = TransferRequest(
        run_id="r", listing="1", number=0, objects=tuple(item(key=f"in/{n:0100}") for n in range(64))
    )
    assert billed_bytes(*encode_request(many)) > 2 * len(encode_request(many)[0])


def test_listings_are_counted_in_pages_on_both_sides() -> None:
    meter = UsageMeter(TransferConfig())
    usage = meter.usage(listed=1_001, stored=1_001, message_bytes=7)
    assert (usage.s3_list_requests, usage.class_a) == (2, {"STANDARD": 4})  # the destination before and after
    assert usage.pubsub_bytes == 7
    assert meter.usage(listed=None, stored=0, message_bytes=0).s3_list_requests == 0


@given(st.lists(st.tuples(st.integers(0, 200 * MIB), st.sampled_from([MD5, PARTS_ETAG]), st.sampled_from(CLASSES))))
def test_objects_that_are_counted_together_count_like_each_alone(
    objects: list[tuple[int, str, str]],
) -> None:
    meter = UsageMeter(TransferConfig())
    items = [item(size_bytes, etag, storage_class=name) for size_bytes, etag, name in objects]
    for each in items:
        meter.count_copy(each)
    usage = meter.usage(listed=None, stored=0, message_bytes=0)
    needed = [requests_of(each, TransferConfig()) for each in items]
    assert usage.edge_requests == sum(each.edge_gets for each in needed) == sum(usage.s3_gets.values())
    assert sum(usage.class_a.values()) == sum(each.class_a for each in needed) + 2
    assert sum(usage.class_b.values()) == sum(each.class_b for each in needed)
    assert usage.edge_bytes == sum(each.size_bytes for each in items) == sum(usage.s3_read_bytes.values())
