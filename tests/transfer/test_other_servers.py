"""Through an edge and into a Cloud Storage that nobody here wrote: the engine builds on the protocols, and proves every byte."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from engine_rig import EngineRig
from plain_servers import PlainEdge, PlainGcs
from transfer.backends.gcs.verification import Capabilities
from transfer.model import Copied, Failed, ObjectMeta, Proof, TransferOutcome

MIB = 1024 * 1024
PART = 5 * MIB
BODIES = {
    "empty": b"",
    "one byte": b"x",
    "whole": os.urandom(100_000),
    "at once": os.urandom(MIB + 7),
    "stream": os.urandom(3 * MIB + 777),
    "parts": os.urandom(12 * MIB + 345),
}
PROOFS = {key: Proof.ETAG_MULTIPART if key == "parts" else Proof.ETAG_MD5 for key in BODIES}


def listed(key: str) -> ObjectMeta:
    body = BODIES[key]
    etag = hashlib.md5(body).hexdigest()
    if key == "parts":
        pieces = [body[at : at + PART] for at in range(0, len(body), PART)]
        etag = f"{hashlib.md5(b''.join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest()}-{len(pieces)}"
    return ObjectMeta(key=key, size_bytes=len(body), etag=etag, last_modified_s=0)


def headers_of(item: ObjectMeta, form: str = '"{}"'):
    return lambda md5: form.format(item.etag)


@pytest.fixture(scope="module")
def rig():
    nowhere: Any = SimpleNamespace(
        url="http://127.0.0.1:1", access_key_id="a", secret_access_key="b", region="us-east-1"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
        made = EngineRig(s3=nowhere, edge=nowhere, gcs=nowhere)
        made.config = replace(made.config, parallel_bytes=2 * MIB, part_size_bytes=10 * MIB)
        yield made


def copy(rig: EngineRig, edge: Any, gcs: Any, key: str, **fields: Any) -> TransferOutcome:
    rig.edge, rig.gcs, rig.capabilities = edge, gcs, Capabilities()
    return rig.copy(replace(listed(key), **fields), lanes=2)


def arrived(gcs: PlainGcs, key: str, outcome: TransferOutcome) -> Copied:
    assert isinstance(outcome, Copied), outcome
    assert gcs.objects[key][1] == BODIES[key]
    assert outcome.proof is PROOFS[key]
    assert [name for name in gcs.objects if name != key] == [], "no record of an upload is left"
    return outcome


EDGES: dict[str, dict[str, Any]] = {
    "as usual": {},
    "lower case": {"case": str.lower},
    "upper case": {"case": str.upper},
    "no CR": {"line_end": "\n"},
    "chunked": {"framing": "chunked"},
    "closed as in HTTP/1.0": {"framing": "close"},
    "no ranges": {"has_ranges": False},
    "no ranges, chunked": {"has_ranges": False, "framing": "chunked"},
    "early hints": {"interim": b'HTTP/1.1 103 Early Hints\r\nETag: "other"\r\nContent-Length: 3\r\n\r\n'},
    "continue": {"interim": b"HTTP/1.1 100 Continue\r\n\r\n"},
}


@pytest.mark.parametrize("manner", EDGES)
@pytest.mark.parametrize("key", BODIES)
def test_an_edge_of_another_manner(rig: EngineRig, key: str, manner: str) -> None:
    with PlainEdge(bodies=BODIES, etag=headers_of(listed(key)), **EDGES[manner]) as edge, PlainGcs() as gcs:
        assert arrived(gcs, key, copy(rig, edge, gcs, key)).attempts == 1


@pytest.mark.parametrize("form", ["{}", 'W/"{}"', None])
@pytest.mark.parametrize("key", ["whole", "at once", "stream", "parts"])
def test_etags_without_quotes_weak_ones_and_none(rig: EngineRig, key: str, form: str | None) -> None:
    etag = headers_of(listed(key), form) if form else lambda md5: None
    with PlainEdge(bodies=BODIES, etag=etag) as edge, PlainGcs() as gcs:
        arrived(gcs, key, copy(rig, edge, gcs, key))


@pytest.mark.parametrize("key", ["whole", "at once", "stream", "parts"])
def test_without_an_etag_a_wrong_byte_never_becomes_an_object(rig: EngineRig, key: str) -> None:
    """Of parts the size is a guess: what reads alike twice would be a proof only beside an ETag."""
    wrong = bytearray(BODIES[key])
    wrong[len(wrong) // 2] ^= 1
    with PlainEdge(bodies={key: bytes(wrong)}, etag=lambda md5: None) as edge, PlainGcs() as gcs:
        outcome = copy(rig, edge, gcs, key)
        assert isinstance(outcome, Failed)
        assert outcome.failure.error_code == ("SourceUnproven" if key == "parts" else "CorruptTransfer")
        assert gcs.objects == {}


@pytest.mark.parametrize("key", ["whole", "at once", "stream", "parts"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_body_that_ends_early_is_asked_for_again(rig: EngineRig, key: str, framing: str) -> None:
    etag = headers_of(listed(key))
    with PlainEdge(bodies=BODIES, etag=etag, framing=framing, cuts=[50_000]) as edge, PlainGcs() as gcs:
        if framing == "length":  # announced short: that is another object
            outcome = copy(rig, edge, gcs, key)
            assert isinstance(outcome, Copied if key == "parts" else Failed)
        else:
            assert arrived(gcs, key, copy(rig, edge, gcs, key)).attempts == (1 if key == "parts" else 2)


def test_an_edge_without_ranges_sends_an_object_in_parts_once(rig: EngineRig) -> None:
    etag = headers_of(listed("parts"))
    with PlainEdge(bodies=BODIES, etag=etag, has_ranges=False) as edge, PlainGcs() as gcs:
        arrived(gcs, "parts", copy(rig, edge, gcs, "parts"))
        assert edge.asked[-1] == ""
        assert len(edge.asked) <= 2


def test_ranges_past_what_an_edge_serves_whole(rig: EngineRig, monkeypatch) -> None:
    monkeypatch.setattr("transfer.copying.streamed.MAX_GET_BYTES", MIB)
    for has_ranges in (True, False):
        etag = headers_of(listed("stream"))
        with PlainEdge(bodies=BODIES, etag=etag, has_ranges=has_ranges) as edge, PlainGcs() as gcs:
            arrived(gcs, "stream", copy(rig, edge, gcs, "stream"))
            ends = [MIB - 1, 2 * MIB - 1, 3 * MIB - 1, 3 * MIB + 776]
            assert edge.asked == [f"bytes={end // MIB * MIB}-{end}" for end in ends]


def test_an_object_over_5_tib_is_refused_by_name_and_not_asked_for(rig: EngineRig) -> None:
    with PlainEdge(bodies=BODIES) as edge, PlainGcs() as gcs:
        outcome = copy(rig, edge, gcs, "parts", size_bytes=5 * 1024**4 + 1)
        assert isinstance(outcome, Failed)
        assert (outcome.failure.error_code, outcome.failure.stage) == ("TooLarge", "upload")
        assert (edge.asked, gcs.requests) == ([], [])


@pytest.mark.parametrize("status", [429, 503])
def test_a_date_to_retry_after_is_waited_for(rig: EngineRig, status: int) -> None:
    """By the server's own clock: this one is an hour ahead."""
    now = 1_900_000_000
    headers = {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(now + 1, usegmt=True)}
    with PlainEdge(bodies=BODIES, statuses=[(status, headers)]) as edge, PlainGcs() as gcs:
        outcome = arrived(gcs, "whole", copy(rig, edge, gcs, "whole"))
    assert outcome.attempts == 2
    assert outcome.seconds >= 1


GCS: dict[str, dict[str, Any]] = {
    "no XML API, 400": {"unknown_status": 400},
    "no XML API, 403": {"unknown_status": 403},
    "no XML API, 404": {"unknown_status": 404},
    "no XML API, 405": {"unknown_status": 405},
    "no XML API, 501": {"unknown_status": 501},
    "no XML API, 200": {"unknown_status": 200},
    "201": {"created_status": 201},
    "relative locations": {"has_relative_locations": True},
    "other ranges": {"range_form": "0-{}", "takes_bytes": [MIB]},
    "takes less": {"takes_bytes": [MIB, 0, MIB]},
    "no keep-alive": {"closes": True},
}


@pytest.mark.parametrize("manner", GCS)
@pytest.mark.parametrize("key", BODIES)
def test_a_cloud_storage_of_another_manner(rig: EngineRig, key: str, manner: str) -> None:
    with PlainEdge(bodies=BODIES, etag=headers_of(listed(key))) as edge, PlainGcs(**GCS[manner]) as gcs:
        arrived(gcs, key, copy(rig, edge, gcs, key))


@pytest.mark.parametrize("key", BODIES)
def test_a_cloud_storage_that_names_no_md5(rig: EngineRig, key: str) -> None:
    with PlainEdge(bodies=BODIES, etag=headers_of(listed(key))) as edge, PlainGcs(names_md5=False) as gcs:
        arrived(gcs, key, copy(rig, edge, gcs, key))
