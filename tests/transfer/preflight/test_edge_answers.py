"""An edge whose owner set something: nothing that is not proven is stored, and what failed is called by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_rig import DESTINATION, SOURCE, EngineRig
from large_objects import fresh, large_rig, listed, put_in_parts
from localcloud.edge import ErrorPage, Settings
from transfer.model import Copied, Failed, Proof

MIB = 1024 * 1024
NO_ETAG = Settings(removed_headers=frozenset({"etag"}))
SIZES = {"small": 1000, "streamed": 300_000, "large": 6 * MIB}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch:
        folder: Path = tmp_path_factory.mktemp("edge")
        with large_rig(folder, patch.setenv) as made:
            yield made


@pytest.fixture
def rig(servers: EngineRig) -> EngineRig:
    servers.edge.settings = Settings()
    return fresh(servers)


def failed(rig: EngineRig, key: str, **fields: object) -> Failed:
    outcome = rig.copy(listed(rig, key, **fields))
    assert isinstance(outcome, Failed), outcome
    assert key not in rig.names()
    return outcome


@pytest.mark.parametrize("size", SIZES)
def test_without_an_etag_bytes_that_are_their_own_proof_are_copied(rig: EngineRig, size: str) -> None:
    body = os.urandom(SIZES[size])
    rig.put(f"md5-{size}", body)
    rig.edge.settings = NO_ETAG
    outcome = rig.copy(listed(rig, f"md5-{size}"))
    assert isinstance(outcome, Copied)
    assert outcome.proof is Proof.ETAG_MD5
    assert rig.stored(f"md5-{size}") == body


@pytest.mark.parametrize("count", [1, 1_000_000, 12 * MIB])
def test_without_an_etag_parts_that_make_up_the_listed_one_are_copied(rig: EngineRig, count: int) -> None:
    put_in_parts(rig, "parts", os.urandom(count))
    rig.edge.settings = NO_ETAG
    outcome = rig.copy(listed(rig, "parts"), lanes=2)
    assert isinstance(outcome, Copied)
    assert outcome.proof is Proof.ETAG_MULTIPART


@pytest.mark.parametrize("count", [1000, 1_000_000, 12 * MIB])
@pytest.mark.parametrize("has_old", [False, True])
def test_content_replaced_under_a_listed_multipart_etag_is_never_stored(
    rig: EngineRig, count: int, has_old: bool
) -> None:
    """Of equal length and without an ETag it looks like what was listed; what was there before has to stay."""
    generation = 0
    if has_old:
        blob = rig.storage.bucket(DESTINATION).blob("replaced")
        blob.upload_from_string(b"older")
        generation = blob.generation
    put_in_parts(rig, "replaced", os.urandom(count))
    item = listed(rig, "replaced", replaces_generation=generation)
    put_in_parts(rig, "replaced", os.urandom(count))
    rig.edge.settings = Settings(removed_headers=frozenset({"etag", "last-modified"}))
    outcome = rig.copy(item)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "SourceUnproven"
    assert "ETag" in outcome.failure.message
    assert rig.names() == (["replaced"] if has_old else [])
    assert not has_old or rig.stored("replaced") == b"older"


def test_without_an_etag_an_encrypted_object_has_no_proof(rig: EngineRig) -> None:
    rig.put("kms", b"secret", ServerSideEncryption="aws:kms")
    rig.edge.settings = NO_ETAG
    assert failed(rig, "kms").failure.error_code == "SourceUnproven"
    rig.edge.settings = Settings()
    assert isinstance(rig.copy(listed(rig, "kms")), Copied)


@pytest.mark.parametrize("size", SIZES)
def test_metadata_of_another_time_are_source_changed(rig: EngineRig, size: str) -> None:
    """A copy of an object onto itself with other metadata keeps its ETag."""
    rig.put(f"touched-{size}", os.urandom(SIZES[size]))
    item = listed(rig, f"touched-{size}")
    outcome = failed(rig, item.key, last_modified_s=item.last_modified_s - 60)
    assert outcome.failure.error_code == "SourceChanged"
    assert "metadata" in outcome.failure.message


@pytest.mark.parametrize("size", SIZES)
def test_a_page_in_place_of_an_error_is_never_stored(rig: EngineRig, size: str) -> None:
    """Of the same length, and with no ETag to tell it by."""
    rig.put(f"gone-{size}", os.urandom(SIZES[size]))
    item = listed(rig, f"gone-{size}", etag="0" * 32 + "-1")
    rig.client.delete_object(Bucket=SOURCE, Key=item.key)
    page = ErrorPage(status=200, body=b"<html>" + b" " * (SIZES[size] - 6))
    rig.edge.settings = Settings(error_pages={403: page, 404: page}, removed_headers=frozenset({"etag"}))
    outcome = rig.copy(item)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.error_code, outcome.failure.http_status) == ("EdgeErrorPage", 200)
    assert "custom error responses" in outcome.failure.message
    assert rig.names() == []


def test_a_firewalls_block_is_the_edges_and_tried_again(rig: EngineRig) -> None:
    rig.put("a.log", b"log")
    rig.edge.settings = Settings(blocked=r"\.log$")
    outcome = failed(rig, "a.log")
    assert (outcome.failure.error_code, outcome.failure.http_status) == ("EdgeBlocked", 403)
    assert outcome.failure.attempts == rig.config.retry.attempts
    assert "web ACL" in outcome.failure.message
    rig.edge.settings = Settings()
    assert isinstance(rig.copy(listed(rig, "a.log")), Copied)
