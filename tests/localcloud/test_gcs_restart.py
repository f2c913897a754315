"""The local Cloud Storage on the data directory of one that stopped: everything is still there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcs_clients import BUCKET, Wire, connect, crc32c, serving

CHUNK = 256 * 1024
ROOT = Path(__file__).parents[2]


def test_objects_and_their_metadata_survive(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        bucket = connect(server).bucket(BUCKET)
        for name in ("one", "two"):
            blob = bucket.blob(name)
            blob.metadata = {"kept": "yes"}
            blob.upload_from_string(name)
        bucket.blob("both").compose([bucket.blob("one"), bucket.blob("two")])
        before = [blob._properties for blob in bucket.list_blobs(fields="items(name,generation,crc32c,metadata)")]
    with serving(tmp_path) as server:
        bucket = connect(server).bucket(BUCKET)
        assert [
            blob._properties for blob in bucket.list_blobs(fields="items(name,generation,crc32c,metadata)")
        ] == before
        assert bucket.blob("both").download_as_bytes() == b"onetwo"
        blob = bucket.blob("one")
        blob.upload_from_string(b"again")
        assert str(blob.generation) > before[1]["generation"]


def test_a_resumable_upload_goes_on_and_stays_answered(tmp_path: Path) -> None:
    data = os.urandom(3 * CHUNK + 5)
    resource = {"name": "resumed", "metadata": {"kept": "yes"}, "crc32c": crc32c(data)}
    with serving(tmp_path) as server:
        wire = Wire(server)
        session = wire.begin(resource, ifGenerationMatch="0").headers["location"]
        wire.send("PUT", session, data[:CHUNK], {"Content-Range": f"bytes 0-{CHUNK - 1}/*"})
        headers = {"Content-Range": f"bytes {CHUNK}-{len(data) - 1}/{len(data)}"}
        wire.break_off("PUT", session, data[CHUNK : 2 * CHUNK + 9], headers, CHUNK - 4)
    query = {"Content-Range": f"bytes */{len(data)}"}
    with serving(tmp_path) as server:
        wire = Wire(server)
        answer = wire.send("PUT", session, b"", query)
        assert (answer.status, answer.headers["range"]) == (308, f"bytes=0-{2 * CHUNK - 1}")
        rest = {"Content-Range": f"bytes {2 * CHUNK}-{len(data) - 1}/{len(data)}"}
        generation = wire.send("PUT", session, data[2 * CHUNK :], rest).json["generation"]
    with serving(tmp_path) as server:
        wire = Wire(server)
        assert wire.send("PUT", session, b"", query).json["generation"] == generation
        assert wire.metadata("resumed").json["metadata"] == {"kept": "yes"}
        assert wire.download("resumed").body == data


def test_what_arrived_before_a_stop_in_mid_request_is_kept(tmp_path: Path) -> None:
    data = os.urandom(4 * CHUNK)
    sent, stopped = threading.Event(), threading.Event()

    def halves() -> Iterator[bytes]:
        yield data[: 2 * CHUNK]
        sent.set()
        stopped.wait(10)
        yield data[2 * CHUNK :]

    def upload(wire: Wire, session: str) -> None:
        headers = {"Content-Length": str(len(data)), "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
        try:
            wire.send("PUT", session, halves(), headers)
        except OSError:
            broken.append(True)

    broken: list[bool] = []
    with serving(tmp_path) as server:
        wire = Wire(server)
        session = wire.begin({"name": "stopped"}).headers["location"]
        thread = threading.Thread(target=upload, args=(wire, session))
        thread.start()
        assert sent.wait(10)
        query = {"Content-Range": "bytes */*"}
        while wire.send("PUT", session, b"", query).headers.get("range") != f"bytes=0-{2 * CHUNK - 1}":
            continue
    stopped.set()
    thread.join(10)
    with serving(tmp_path) as server:
        wire = Wire(server)
        answer = wire.send("PUT", session, b"", query)
        assert (answer.status, answer.headers.get("range")) == (308, f"bytes=0-{2 * CHUNK - 1}")
        rest = {"Content-Range": f"bytes {2 * CHUNK}-{len(data) - 1}/{len(data)}"}
        assert wire.send("PUT", session, data[2 * CHUNK :], rest).status == 200
        assert wire.download("stopped").body == data


def test_multipart_parts_survive(tmp_path: Path) -> None:
    first, last = os.urandom(5 << 20), b"the end"
    target = f"/{BUCKET}/parts"
    with serving(tmp_path) as server:
        wire = Wire(server)
        begun = wire.send("POST", f"{target}?uploads", headers={"x-goog-meta-kept": "yes"})
        upload = begun.body.decode().partition("<UploadId>")[2].partition("<")[0]
        tag_1 = wire.send("PUT", f"{target}?partNumber=1&uploadId={upload}", first).headers["etag"]
    with serving(tmp_path) as server:
        wire = Wire(server)
        assert f"<UploadId>{upload}" in wire.send("GET", f"/{BUCKET}?uploads").body.decode()
        assert f"<Size>{5 << 20}" in wire.send("GET", f"{target}?uploadId={upload}").body.decode()
        tag_2 = wire.send("PUT", f"{target}?partNumber=2&uploadId={upload}", last).headers["etag"]
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            for number, tag in ((1, tag_1), (2, tag_2))
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        assert wire.send("POST", f"{target}?uploadId={upload}", body).status == 200
        found = wire.metadata("parts").json
        assert (found["crc32c"], found["metadata"]) == (crc32c(first + last), {"kept": "yes"})
        assert "md5Hash" not in found


@contextmanager
def process(data_dir: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server as a program of its own: its URL and the process."""
    command = [sys.executable, "-m", "localcloud.gcs", "--data", str(data_dir), "--bucket", BUCKET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        try:
            assert started.stdout
            yield json.loads(started.stdout.readline())["url"], started
        finally:
            started.kill()


def test_a_killed_server_keeps_what_it_answered(tmp_path: Path) -> None:
    data = os.urandom(2 * CHUNK)
    with process(tmp_path) as (url, _):
        wire = Wire(url)
        wire.upload("object", b"content")
        session = wire.begin({"name": "resumed"}).headers["location"]
        wire.send("PUT", session, data[:CHUNK], {"Content-Range": f"bytes 0-{CHUNK - 1}/*"})
    with process(tmp_path) as (url, started):
        wire = Wire(url)
        assert wire.download("object").body == b"content"
        rest = {"Content-Range": f"bytes {CHUNK}-{2 * CHUNK - 1}/{2 * CHUNK}"}
        assert wire.send("PUT", session, data[CHUNK:], rest).json["crc32c"] == crc32c(data)
        started.terminate()
        assert started.wait(10) == 0
