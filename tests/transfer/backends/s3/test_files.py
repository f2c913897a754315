"""HEADs of the keys that a manifest names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine_rig import SOURCE, EngineRig, engine_rig, fault
from inventories import HOSTILE_KEYS
from transfer.backends.s3.files import head_all
from transfer.backends.s3.listing import list_objects
from transfer.errors import CredentialsRejected, EndpointRejected, SourceUnavailable
from transfer.model import SkipReason


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch, engine_rig(tmp_path_factory.mktemp("lists"), patch.setenv) as made:
        yield made


def test_heads_give_the_same_objects_as_a_listing(servers) -> None:
    keys = [key for key in HOSTILE_KEYS if "\n" not in key and "\r" not in key and "\x00" not in key]
    for key in keys:
        servers.put(f"head/{key}", key.encode())
    asked = [(f"head/{key}", "") for key in keys] + [("head/not there", "")]
    found = list(head_all(servers.client, SOURCE, asked, lanes=4))
    assert [item.key for item in found] == [key for key, _ in asked]
    listed = {item.key: item for item in list_objects(servers.client, SOURCE, "head/")}
    assert {item.key: item for item in found[:-1]} == listed
    assert (found[-1].unreadable, found[-1].size_bytes) == (SkipReason.ABSENT, 0)


def test_heads_show_which_objects_are_archived_or_restored(servers) -> None:
    servers.put("cold/a", b"x", StorageClass="GLACIER")
    servers.put("cold/b", b"x", StorageClass="DEEP_ARCHIVE")
    servers.client.restore_object(Bucket=SOURCE, Key="cold/b", RestoreRequest={"Days": 1})
    found = list(head_all(servers.client, SOURCE, [("cold/a", ""), ("cold/b", "")]))
    assert [(item.storage_class, item.is_restored) for item in found] == [("GLACIER", False), ("DEEP_ARCHIVE", True)]


def test_heads_that_are_refused_end_the_listing(servers) -> None:
    servers.s3.faults.replace([fault("HEAD", "status", status=403)])
    try:
        with pytest.raises(
            CredentialsRejected, match=r"asking for 'a'.*allow s3:GetObject on arn:aws:s3:::source-bucket"
        ):
            list(head_all(servers.client, SOURCE, [("a", "")]))
        servers.s3.faults.replace([fault("HEAD", "status", status=503)])
        with pytest.raises(SourceUnavailable):
            list(head_all(servers.client, SOURCE, [("a", "")]))
    finally:
        servers.s3.faults.replace([])


@pytest.mark.parametrize(("status", "why"), [(403, SkipReason.FORBIDDEN), (400, SkipReason.ENCRYPTED)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_key_that_is_refused_does_not_end_the_list(servers, status: int, why: SkipReason, place: int) -> None:
    for key in ("one/0", "one/1", "one/2"):
        servers.put(key)
    servers.s3.faults.replace([fault(f"HEAD .*one/{place}", "status", status=status)])
    try:
        found = list(head_all(servers.client, SOURCE, [(f"one/{number}", "") for number in range(3)]))
    finally:
        servers.s3.faults.replace([])
    assert [item.key for item in found] == ["one/0", "one/1", "one/2"]
    assert [item.unreadable for item in found] == [why if number == place else None for number in range(3)]


def test_credentials_that_expire_midway_end_the_list(servers) -> None:
    """An expired token is 400 as well, and a HEAD has no words: what was told of before is asked for again."""
    for number in range(4):
        servers.put(f"mid/{number}")
    servers.s3.faults.replace([fault("HEAD .*mid/", "status", status=400, after=2)])
    try:
        with pytest.raises(EndpointRejected, match="400"):
            list(head_all(servers.client, SOURCE, [(f"mid/{number}", "") for number in range(4)], lanes=1))
    finally:
        servers.s3.faults.replace([])
