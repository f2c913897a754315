"""What Cloud Storage refuses for reasons of its own: holds, retention, payers, tokens, requests that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gcs_clients import BUCKET, Wire, connect, serving
from localcloud.gcs import GcsServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as running:
        yield running


@pytest.fixture
def wire(server: GcsServer) -> Iterator[Wire]:
    made = Wire(server)
    yield made
    settings = ("retentionPolicy", "softDeletePolicy", "versioning", "billing", "defaultEventBasedHold")
    assert made.call("PATCH", f"b/{BUCKET}", dict.fromkeys(settings)).status == 200


def reason(answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["errors"][0]["reason"]


LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"temporaryHold": True}, "objectUnderActiveHold"),
        ({"eventBasedHold": True}, "objectUnderActiveHold"),
        ({"retention": {"mode": "Unlocked", "retainUntilTime": LATER}}, "retentionPolicyNotMet"),
    ],
)
def test_what_is_held_is_neither_replaced_nor_deleted(wire: Wire, attributes: dict, said: str) -> None:
    assert wire.upload_related({"name": "held"} | attributes, b"kept").status == 200
    assert reason(wire.upload("held", b"new")) == (403, said)
    assert reason(wire.call("DELETE", f"b/{BUCKET}/o/held")) == (403, said)
    put = wire.send("PUT", f"/{BUCKET}/held", b"new")
    assert (put.status, f"<Code>{said[0].upper()}{said[1:]}</Code>".encode() in put.body) == (403, True)
    assert wire.download("held").body == b"kept"
    # Its metadata may be changed, and that ends a hold.
    released = {key: None if key == "retention" else False for key in attributes}
    assert wire.call("PATCH", f"b/{BUCKET}/o/held", released).status == 200
    assert wire.call("DELETE", f"b/{BUCKET}/o/held").status == 204


def test_a_retention_policy_keeps_what_is_younger(wire: Wire) -> None:
    wire.upload("young", b"kept")
    for bad in ("0", "-1", str(101 * 366 * 86400)):
        assert wire.call("PATCH", f"b/{BUCKET}", {"retentionPolicy": {"retentionPeriod": bad}}).status == 400
    assert wire.call("PATCH", f"b/{BUCKET}", {"retentionPolicy": {"retentionPeriod": "3600"}}).status == 200
    assert reason(wire.upload("young", b"new")) == (403, "retentionPolicyNotMet")
    assert reason(wire.call("DELETE", f"b/{BUCKET}/o/young")) == (403, "retentionPolicyNotMet")
    assert wire.upload("another", b"new").status == 200
    wire.call("PATCH", f"b/{BUCKET}", {"retentionPolicy": None})
    assert wire.upload("young", b"new").status == 200


def test_new_objects_are_under_the_buckets_default_hold(wire: Wire) -> None:
    wire.call("PATCH", f"b/{BUCKET}", {"defaultEventBasedHold": True})
    wire.upload("by-default", b"kept")
    assert reason(wire.call("DELETE", f"b/{BUCKET}/o/by-default")) == (403, "objectUnderActiveHold")
    wire.call("PATCH", f"b/{BUCKET}/o/by-default", {"eventBasedHold": False})


def test_what_is_replaced_or_deleted_can_be_restored(wire: Wire) -> None:
    old = wire.upload("soft", b"older").json["generation"]
    new = wire.upload("soft", b"newer").json["generation"]
    assert wire.call("DELETE", f"b/{BUCKET}/o/soft").status == 204
    listed = wire.call("GET", f"b/{BUCKET}/o", prefix="soft", softDeleted="true").json["items"]
    assert [item["generation"] for item in listed] == [old, new]
    assert all(item["hardDeleteTime"] > item["softDeleteTime"] for item in listed)
    assert "items" not in wire.call("GET", f"b/{BUCKET}/o", prefix="soft", versions="true").json
    restored = wire.call("POST", f"b/{BUCKET}/o/soft/restore", generation=old)
    assert (restored.status, wire.download("soft").body) == (200, b"older")
    assert wire.call("POST", f"b/{BUCKET}/o/soft/restore", generation="1").status == 404
    both = wire.call("GET", f"b/{BUCKET}/o", softDeleted="true", versions="true")
    assert both.status == 400


def test_without_soft_delete_nothing_can_be_restored(wire: Wire) -> None:
    for bad in ("1", str(91 * 86400)):
        policy = {"softDeletePolicy": {"retentionDurationSeconds": bad}}
        assert wire.call("PATCH", f"b/{BUCKET}", policy).status == 400
    wire.call("PATCH", f"b/{BUCKET}", {"softDeletePolicy": {"retentionDurationSeconds": "0"}})
    wire.upload("hard", b"older")
    wire.upload("hard", b"newer")
    assert "items" not in wire.call("GET", f"b/{BUCKET}/o", prefix="hard", softDeleted="true").json


def test_a_versioned_bucket_keeps_noncurrent_versions(wire: Wire) -> None:
    wire.call("PATCH", f"b/{BUCKET}", {"versioning": {"enabled": True}})
    old = wire.upload("versioned", b"older").json["generation"]
    new = wire.upload("versioned", b"newer").json["generation"]
    listed = wire.call("GET", f"b/{BUCKET}/o", prefix="versioned", versions="true").json["items"]
    assert [(item["generation"], "timeDeleted" in item) for item in listed] == [(old, True), (new, False)]
    path = f"/download/storage/v1/b/{BUCKET}/o/versioned?alt=media&generation={old}"
    assert wire.send("GET", path).body == b"older"
    assert wire.call("DELETE", f"b/{BUCKET}/o/versioned", generation=old).status == 204
    listed = wire.call("GET", f"b/{BUCKET}/o", prefix="versioned", versions="true").json["items"]
    assert [item["generation"] for item in listed] == [new]


def test_the_requester_pays(wire: Wire) -> None:
    wire.call("PATCH", f"b/{BUCKET}", {"billing": {"requesterPays": True}})
    for answer in (wire.upload("paid", b"x"), wire.metadata("paid"), wire.begin({"name": "paid"})):
        assert reason(answer) == (400, "required")
    assert b"<Code>UserProjectMissing</Code>" in wire.send("PUT", f"/{BUCKET}/paid", b"x").body
    assert wire.upload("paid", b"x", userProject="payer").status == 200
    assert wire.send("PUT", f"/{BUCKET}/paid", b"x", {"x-goog-user-project": "payer"}).status == 200
    assert wire.metadata("paid", userProject="payer").status == 200


def test_a_token_is_demanded(server: GcsServer, wire: Wire) -> None:
    session = wire.begin({"name": "session"}).headers["location"]
    server.tokens = {"right"}
    try:
        assert reason(wire.metadata("x")) == (401, "required")
        assert reason(wire.send("GET", f"/storage/v1/b/{BUCKET}", headers={"Authorization": "Bearer wrong"})) == (
            401,
            "authError",
        )
        assert wire.send("GET", f"/storage/v1/b/{BUCKET}", headers={"Authorization": "Bearer right"}).status == 200
        assert b"AuthenticationRequired" in wire.send("GET", f"/{BUCKET}/x").body
        assert wire.send("PUT", session, b"x").status == 200  # its URL is authorization enough
    finally:
        server.tokens = ()


@pytest.mark.parametrize("storage_class", ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"])
def test_storage_classes(wire: Wire, storage_class: str) -> None:
    assert wire.upload_related({"name": "class", "storageClass": storage_class}, b"x").status == 200
    for unknown in ("GLACIER", storage_class.lower()):
        assert wire.upload_related({"name": "class", "storageClass": unknown}, b"x").status == 400
        assert wire.begin({"name": "class", "storageClass": unknown}).status == 400
        assert wire.send("PUT", f"/{BUCKET}/class", b"x", {"x-goog-storage-class": unknown}).status == 400


def test_parameters_and_fields_are_those_of_the_discovery_document(wire: Wire) -> None:
    wire.upload("known", b"x")
    assert reason(wire.metadata("known", alt="xml")) == (400, "invalidAltValue")
    assert reason(wire.metadata("known", projection="most")) == (400, "invalidParameter")
    assert reason(wire.metadata("known", fields="name,colour")) == (400, "invalidParameter")
    assert reason(wire.call("GET", f"b/{BUCKET}/o", fields="items(name,colour)")) == (400, "invalidParameter")
    assert reason(wire.call("GET", f"b/{BUCKET}/o", fields="name")) == (400, "invalidParameter")
    assert reason(wire.upload("known", b"x", fields="colour")) == (400, "invalidParameter")
    assert wire.metadata("known", fields="metadata/anything,owner/entity", projection="full").status == 200


def test_names_in_url_and_body_agree(wire: Wire) -> None:
    assert reason(wire.begin({"name": "one"}, name="other")) == (400, "invalidParameter")
    assert reason(wire.begin({"name": "one", "bucket": "elsewhere"})) == (400, "invalidParameter")
    assert wire.begin({"name": "one", "bucket": BUCKET}, name="one").status == 200


def test_a_session_takes_the_size_that_was_announced(wire: Wire) -> None:
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=sized"
    for body, span in ((b"12345", "bytes 0-4/5"), (b"123", "bytes 0-2/3"), (b"12345", None), (b"", "bytes */0")):
        session = wire.send("POST", target, headers={"X-Upload-Content-Length": "4"}).headers["location"]
        assert wire.send("PUT", session, body, {"Content-Range": span} if span else {}).status == 400
    session = wire.send("POST", target, headers={"X-Upload-Content-Length": "4"}).headers["location"]
    assert wire.send("PUT", session, b"1234", {"Content-Range": "bytes 0-3/4"}).status == 200


def test_a_session_belongs_to_its_bucket_and_name(wire: Wire) -> None:
    wire.call("POST", "b", {"name": "elsewhere"})
    session = wire.begin({"name": "mine"}).headers["location"]
    token = session.rpartition("upload_id=")[2]
    for path in ("b/elsewhere/o?", f"b/{BUCKET}/o?name=other&"):
        answer = wire.send("PUT", f"/upload/storage/v1/{path}uploadType=resumable&upload_id={token}", b"x")
        assert answer.status == 404
    assert wire.send("PUT", session, b"x").status == 200


@pytest.mark.parametrize("text", ["jpg", "undefined", "image/", "/x", "a b/c"])
def test_media_has_a_media_type(wire: Wire, text: str) -> None:
    assert wire.upload("typed", b"x", {"Content-Type": text}).status == 400
    body = f'--b\r\nContent-Type: application/json\r\n\r\n{{"name": "typed"}}\r\n--b\r\nContent-Type: {text}\r\n\r\nx\r\n--b--'
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart"
    related = {"Content-Type": "multipart/related; boundary=b"}
    assert wire.send("POST", target, body.encode(), related).status == 400
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=typed"
    assert wire.send("POST", target, headers={"X-Upload-Content-Type": text}).status == 400
    assert wire.send("POST", f"/{BUCKET}/typed?uploads", headers={"Content-Type": text}).status == 400
    assert wire.send("PUT", f"/{BUCKET}/typed", b"x", {"Content-Type": text}).status == 400
    assert wire.metadata("typed").status == 404


def test_a_content_language_is_one(wire: Wire) -> None:
    for text, status in (("de-AT, en", 200), ("English (US)", 400), ("x" * 9, 400), ("en_US", 400)):
        assert wire.upload_related({"name": "spoken", "contentLanguage": text}, b"x").status == status


def test_media_is_downloaded_by_the_download_path(wire: Wire) -> None:
    wire.upload("media", b"x")
    answer = wire.metadata("media", alt="media")
    assert reason(answer) == (303, "mediaDownloadRedirect")
    assert wire.send("GET", answer.headers["location"]).body == b"x"
    assert reason(wire.send("GET", f"/download/storage/v1/b/{BUCKET}/o/media")) == (400, "notDownload")


def test_googles_own_client_keeps_to_all_of_this(server: GcsServer, wire: Wire) -> None:
    bucket = connect(server).bucket(BUCKET)
    blob = bucket.blob("ours")
    blob.upload_from_string(b"x", content_type="text/plain")
    blob.temporary_hold = True
    blob.patch()
    assert bucket.get_blob("ours").temporary_hold
    assert blob.download_as_bytes() == b"x"
    blob.temporary_hold = False
    blob.patch()
    blob.delete()
