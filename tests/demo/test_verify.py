"""The demo's own check finds every way in which a destination can be wrong, and accepts the one way to be right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from demo.input import DemoInput, InputObject
from demo.upload import UploadRefused, s3_client, upload
from demo.verify import CONTENT_HEADERS, Verification, gcs_client, verify
from localcloud.gcs import GcsServer
from localcloud.s3 import S3Server

SOURCE, DESTINATION = "verified-source", "verified-destination"
HEADERS = {
    "ContentType": "text/plain",
    "ContentEncoding": "gzip",
    "ContentDisposition": "attachment",
    "ContentLanguage": "de",
    "CacheControl": "no-store",
}
KEYS = ("a/../b", "d//e", "empty", "plain +%#?", "🚚")


class Scene:
    """A source of a few objects and the same objects at the destination."""

    def __init__(self, s3: S3Server, gcs: GcsServer, folder: Path) -> None:
        self.s3 = s3_client(s3.url, s3.access_key_id, s3.secret_access_key, s3.region)
        self.gcs = gcs_client(gcs.url, "p1")
        self.bucket = self.gcs.bucket(DESTINATION)
        objects = []
        for number, key in enumerate(KEYS):
            path = folder / str(number)
            path.write_bytes(b"" if key == "empty" else key.encode() * 1000)
            size_bytes = path.stat().st_size
            headers = {**HEADERS, "StorageClass": "STANDARD_IA"} if number == 0 else {"ContentType": "text/css"}
            metadata = {"owner": "a=b; c"} if number == 0 else {}
            objects.append(InputObject(key=key, path=path, size_bytes=size_bytes, headers=headers, metadata=metadata))
        self.source = DemoInput(objects=tuple(objects))

    def fill(self) -> None:
        assert upload(self.s3, SOURCE, self.source, lambda _: None) == self.source
        for item in self.source.objects:
            self.copy(item)

    def copy(self, item: InputObject, *, name: str | None = None, data: bytes | None = None, **changes: Any) -> None:
        """What a correct transfer writes, but for the changes."""
        blob = self.bucket.blob(item.key if name is None else name)
        for theirs, ours in CONTENT_HEADERS.items():
            setattr(blob, ours, item.headers.get(theirs))
        blob.metadata = {**item.metadata, "x-goog-source-etag": "the pipeline's own"}
        blob.storage_class = "NEARLINE" if "StorageClass" in item.headers else "STANDARD"
        for field, value in changes.items():
            setattr(blob, field, value)
        assert item.path is not None
        content_type = changes.get("content_type", item.headers["ContentType"])
        blob.upload_from_string(item.path.read_bytes() if data is None else data, content_type=content_type)

    def verify(self, **arguments: Any) -> Verification:
        return verify(self.s3, SOURCE, self.gcs, DESTINATION, **arguments)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    s3 = S3Server(buckets=[SOURCE])
    gcs = GcsServer(tmp_path_factory.mktemp("gcs"), buckets=[DESTINATION])
    s3.start()
    gcs.start()
    yield Scene(s3, gcs, tmp_path_factory.mktemp("files"))
    gcs.stop()
    s3.stop()


@pytest.fixture
def scene(running: Scene) -> Scene:
    for blob in running.gcs.list_blobs(DESTINATION):
        blob.delete()
    running.fill()
    return running


def test_a_true_copy_is_matched(scene: Scene) -> None:
    scene.bucket.blob(".edgehaul/run/report.json").upload_from_string("{}")  # the pipeline's own records
    heard: list[int] = []
    assert scene.verify(on_object=heard.append) == Verification(
        objects=len(KEYS), bytes_read=scene.source.size_bytes, matched=len(KEYS)
    )
    assert sorted(heard) == sorted(item.size_bytes for item in scene.source.objects)


def test_a_file_that_changes_while_it_is_uploaded_stops_nothing(running: Scene, tmp_path: Path) -> None:
    """It is copied as it is then; what cannot be read any more is left out, with the reason."""
    grown, gone = tmp_path / "app.log", tmp_path / "gone.tmp"
    grown.write_bytes(b"one line\n")
    chosen = [InputObject(key=path.name, path=path, size_bytes=9) for path in (grown, gone)]
    grown.write_bytes(b"one line\nand another\n")
    uploaded = upload(running.s3, SOURCE, DemoInput(objects=tuple(chosen)), lambda _: None)
    assert [(item.key, item.size_bytes) for item in uploaded.objects] == [("app.log", 21)]
    assert uploaded.left_out == (("gone.tmp", "it could not be read any more: No such file or directory"),)
    running.s3.delete_object(Bucket=SOURCE, Key="app.log")


def test_an_object_that_s3_refuses_stops_the_demo(running: Scene) -> None:
    chosen = DemoInput(objects=(InputObject(key="a", path=None, size_bytes=0),))
    with pytest.raises(UploadRefused, match=r"does not hold 1 objects; nothing was copied\n    'a': .*NoSuchBucket"):
        upload(running.s3, "another-bucket", chosen, lambda _: None)


def test_a_missing_and_an_extra_object_are_found(scene: Scene) -> None:
    scene.bucket.blob("d//e").delete()
    scene.bucket.blob("d/e").upload_from_string("a name that someone cleaned up")
    checked = scene.verify()
    assert (checked.missing, checked.extra, checked.differing) == (("d//e",), ("d/e",), ())
    assert checked.matched == len(KEYS) - 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": b"b" * 6000}, "other bytes"),
        ({"data": b"short"}, "5 bytes instead of 6000"),
        ({"metadata": {}}, "metadata 'owner' is None instead of 'a=b; c'"),
        ({"metadata": {"owner": "someone"}}, "metadata 'owner' is 'someone' instead of 'a=b; c'"),
        ({"content_type": "text/html"}, "ContentType 'text/html' instead of 'text/plain'"),
        ({"content_encoding": None}, "ContentEncoding None instead of 'gzip'"),
        ({"content_disposition": "inline"}, "ContentDisposition 'inline' instead of 'attachment'"),
        ({"content_language": "en"}, "ContentLanguage 'en' instead of 'de'"),
        ({"cache_control": None}, "CacheControl None instead of 'no-store'"),
        ({"storage_class": "STANDARD"}, "storage class STANDARD instead of NEARLINE"),
    ],
)
def test_each_difference_is_found_and_named(scene: Scene, changes: dict[str, Any], expected: str) -> None:
    scene.copy(scene.source.objects[0], **changes)
    checked = scene.verify()
    assert checked.differing == (("a/../b", expected),)
    assert (checked.matched, checked.missing, checked.extra) == (len(KEYS) - 1, (), ())


def test_a_header_that_the_source_lacks_is_a_difference(scene: Scene) -> None:
    scene.copy(scene.source.objects[1], cache_control="public")
    assert scene.verify().differing == (("d//e", "CacheControl 'public' instead of None"),)


def test_several_differences_of_one_object_are_all_named(scene: Scene) -> None:
    scene.copy(scene.source.objects[0], data=b"short", content_language="en")
    assert scene.verify().differing == (("a/../b", "5 bytes instead of 6000; ContentLanguage 'en' instead of 'de'"),)


def test_prefixes_are_replaced(scene: Scene) -> None:
    scene.copy(scene.source.objects[0], name="moved/../b")
    checked = scene.verify(source_prefix="a/", destination_prefix="moved/")
    assert (checked.objects, checked.matched, checked.missing, checked.extra) == (1, 1, (), ())


def test_an_empty_source_and_destination_match(running: Scene) -> None:
    checked = running.verify(source_prefix="nothing/", destination_prefix="nowhere/")
    assert checked == Verification(objects=0, bytes_read=0, matched=0)


def test_the_gcs_client_asks_no_proxy(monkeypatch: pytest.MonkeyPatch, running: Scene) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert isinstance(running.gcs, storage.Client)
    assert running.bucket.exists()
