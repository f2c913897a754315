"""Messages that are no requests of this run: they fail or are acknowledged, and never end a worker."""

from __future__ import annotations

import pytest

from engine_rig import TOPIC, EngineRig
from transfer.errors import (
    InvalidMessage,
)
from transfer.model import ObjectMeta, TransferRequest
from transfer.naming import Naming
from transfer.records.ledger import Ledger
from transfer.records.messages import LISTING, RUN, decode_request, encode_request


def test_messages_of_others_and_invalid_ones(rig: EngineRig) -> None:
    """Garbage goes to the error topic, another run's and an older listing's are left alone, and nothing crashes."""
    rig.put("real")
    rig.open()
    summary = rig.list()
    own = {"run": rig.run_id, "listing": "1"}
    item = ObjectMeta(key="real", size_bytes=7, etag="0" * 32, last_modified_s=0)
    old_body, old_attributes = encode_request(
        TransferRequest(run_id=rig.run_id, listing="0", number=0, objects=(item,))
    )
    for body, attributes in [
        (b"\xff not json", own),
        (b'{"version": 1}', own),
        (
            b'{"version": 1, "number": 0, "objects": [{"key": "../../etc", "size": -1, "etag": "x", "mtime": 0}]}',
            own,
        ),
        (b"[]", own),
        (old_body, old_attributes),
    ]:
        rig.publisher.publish(TOPIC, body, **attributes).result(timeout=10)
    stats = rig.worker(summary).run()
    report = rig.reconcile()
    assert (stats.copied, stats.failed) == (1, 4)
    assert report.is_green
    assert report.invalid_messages == 4


def test_a_forged_message_can_reach_no_other_name(rig: EngineRig) -> None:
    """Keys outside the prefix and names under the state prefix are refused."""
    rig.naming = Naming(source_prefix="in/", destination_prefix="", state_prefix=".edgehaul/")
    rig.put("in/a")
    rig.put("outside")
    rig.put("in/.edgehaul/run-1/ledger/forged")
    rig.open()
    summary = rig.list()
    forged = ObjectMeta(key="outside", size_bytes=7, etag="9a0364b9e99bb480dd25e1f0284c8555", last_modified_s=0)
    body, attributes = encode_request(TransferRequest(run_id=rig.run_id, listing="1", number=9, objects=(forged,)))
    rig.publisher.publish(TOPIC, body, **attributes).result(timeout=10)
    stats = rig.worker(summary).run()
    assert (stats.copied, stats.failed) == (1, 2)
    assert rig.names() == ["a"]


DEEP = b"[" * 100_000


NUMBER = '{"version":1,"number":%s,"objects":[{"key":"0","size":7,"etag":"e","mtime":1}]}'


BODIES = {
    "deep": DEEP,
    "deep inside": b'{"version":1,"number":0,"objects":' + DEEP,
    "many digits": (NUMBER % ("9" * 5000)).encode(),
    "fewer digits": (NUMBER % ("9" * 4000)).encode(),
    "past the end": (NUMBER % 99).encode(),
    "a float": (NUMBER % "0.0").encode(),
    "no number": (NUMBER % "NaN").encode(),
    "infinite": (NUMBER % "1e999").encode(),
    "a size": b'{"version":1,"number":0,"objects":[{"key":"0","size":1%s,"etag":"e","mtime":1}]}' % (b"0" * 30),
    "a key": b'{"version":1,"number":0,"objects":[{"key":"%s","size":1,"etag":"e","mtime":1}]}' % (b"k" * 100_000),
    "no text": b"\xff\xfe",
}


def test_no_message_ends_a_worker_or_a_pass(rig: EngineRig) -> None:
    for index in range(20):
        rig.put(f"{index:02d}")
    rig.open()
    for body in BODIES.values():
        rig.publisher.publish(TOPIC, body, **{RUN: rig.run_id, LISTING: "1"}).result(timeout=10)
    summary = rig.list()
    stats = rig.worker(summary).run()
    report = rig.reconcile()
    assert (stats.copied, report.matched) == (20, 20)
    assert report.invalid_messages == len(BODIES)
    assert Ledger(rig.state(), listing="1", worker="x").settled() == set(range(summary.counts.messages))


def test_a_message_that_is_too_large_is_not_read() -> None:
    with pytest.raises(InvalidMessage, match="bytes"):
        decode_request(b" " * (5 * 1024 * 1024), {})
