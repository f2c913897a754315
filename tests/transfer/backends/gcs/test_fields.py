"""Content headers that Cloud Storage refuses, and does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine_rig import DESTINATION, EngineRig, engine_rig, fault
from large_objects import listed
from refusals import json_body
from transfer.model import Copied, Failed


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch, engine_rig(tmp_path_factory.mktemp("rig"), patch.setenv) as made:
        made.put("a")
        yield made


@pytest.fixture
def rig(servers: EngineRig) -> EngineRig:
    servers.gcs.faults.replace([])
    for name in servers.names():
        servers.storage.bucket(DESTINATION).blob(name).delete()
    return replace(servers)


@pytest.mark.parametrize("size_bytes", [10, 300_000])
def test_a_content_type_that_is_not_a_media_type_is_kept(rig: EngineRig, size_bytes: int) -> None:
    rig.put("typed", b"x" * size_bytes, ContentType="jpg")
    assert isinstance(rig.copy(listed(rig, "typed")), Copied)
    assert rig.storage.bucket(DESTINATION).get_blob("typed").content_type == "jpg"


@pytest.mark.parametrize("size_bytes", [10, 300_000])
def test_a_refused_header_is_kept_as_metadata(rig: EngineRig, size_bytes: int) -> None:
    rig.put("spoken", b"x" * size_bytes, ContentLanguage="English (US)", ContentType="text/plain", Metadata={"k": "v"})
    outcome = rig.copy(listed(rig, "spoken"))
    assert isinstance(outcome, Copied)
    assert outcome.attempts == 2
    blob = rig.storage.bucket(DESTINATION).get_blob("spoken")
    assert (blob.content_language, blob.content_type) == (None, "text/plain")
    assert (blob.metadata["s3-content-language"], blob.metadata["k"]) == ("English (US)", "v")


def test_a_refusal_that_names_no_header_fails_the_object(rig: EngineRig) -> None:
    body = json_body(400, "invalid", "No.").decode()
    rig.gcs.faults.replace([fault("POST /upload", "status", status=400, body=body)])
    outcome = rig.copy(listed(rig, "a"))
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "DestinationRefused"
