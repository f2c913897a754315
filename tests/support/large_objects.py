"""Large objects in the local S3, and what their uploads leave behind at the destination."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from google.api_core.exceptions import NotFound

from engine_rig import DESTINATION, SOURCE, STATE_PREFIX, EngineRig, engine_rig, fault
from localcloud.edge import EdgeServer
from localcloud.http1 import Exchange
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.verification import Capabilities
from transfer.backends.http.loop import complete
from transfer.errors import Stopped
from transfer.model import Copied, Failed, ObjectMeta, TransferFailure, TransferOutcome

MIB = 1024 * 1024
PART = 5 * MIB


@contextmanager
def large_rig(folder: Path, set_variable: Callable[[str, str], None]) -> Iterator[EngineRig]:
    """A rig on which objects from 2 MiB on are copied in parts, or in an upload that is on record."""
    with engine_rig(folder, set_variable) as rig:
        rig.config = replace(rig.config, parallel_bytes=2 * MIB, part_size_bytes=10 * MIB)
        yield rig


def fresh(rig: EngineRig) -> EngineRig:
    """The rig without faults, with an empty destination, and without anything learnt about it."""
    for server in (rig.edge, rig.gcs, rig.s3):
        server.faults.replace([])
    for blob in rig.storage.list_blobs(DESTINATION):
        blob.delete()
    for name, token in open_parts(rig):
        complete(GcsSink(rig.gcs_client()).parts_upload(name, token).abort(), rig.stop)
    rig.capabilities = Capabilities()
    return rig


def put_in_parts(rig: EngineRig, key: str, body: bytes, *, part_bytes: int = PART, **arguments: object) -> None:
    """Upload an object by S3's multipart API, so that its ETag is that of parts."""
    where = {"Bucket": SOURCE, "Key": key}
    upload = rig.client.create_multipart_upload(**where, **arguments)["UploadId"]
    parts = []
    for number, at in enumerate(range(0, max(len(body), 1), part_bytes), start=1):
        piece = body[at : at + part_bytes]
        answer = rig.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=piece)
        parts.append({"ETag": answer["ETag"], "PartNumber": number})
    rig.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})


def listed(rig: EngineRig, key: str, **fields: object) -> ObjectMeta:
    """An object as S3 lists it; `fields` replace some of its values."""
    head = rig.client.head_object(Bucket=SOURCE, Key=key)
    values = {
        "key": key,
        "size_bytes": head["ContentLength"],
        "etag": head["ETag"].strip('"'),
        "last_modified_s": int(head["LastModified"].timestamp()),
    }
    return ObjectMeta(**(values | fields))


def open_parts(rig: EngineRig) -> list[tuple[str, str]]:
    """Name and id of every upload in parts that was neither completed nor aborted."""
    with urlopen(f"{rig.gcs.url}/{DESTINATION}?uploads", timeout=10) as answer:
        return re.findall(r"<Key>([^<]*)</Key><UploadId>([^<]*)</UploadId>", answer.read().decode())


def stored_parts(rig: EngineRig, name: str, token: str) -> list[int]:
    """The numbers of the hidden parts of an open upload."""
    with urlopen(f"{rig.gcs.url}/{DESTINATION}/{name}?uploadId={token}", timeout=10) as answer:
        return [int(number) for number in re.findall(r"<PartNumber>(\d+)</PartNumber>", answer.read().decode())]


def records(rig: EngineRig) -> dict[str, dict[str, Any]]:
    """The records and notes of uploads by name, also while a worker replaces and removes them."""
    bucket, found = rig.storage.bucket(DESTINATION), {}
    for listed_blob in rig.storage.list_blobs(bucket, prefix=f"{STATE_PREFIX}uploads/{rig.run_id}/"):
        if "/closed-" in listed_blob.name:
            continue
        with suppress(NotFound):
            found[listed_blob.name] = json.loads(bucket.blob(listed_blob.name).download_as_bytes())
    return found


def left_behind(rig: EngineRig, *, notes_may_stay: bool = False) -> list[object]:
    """Open uploads in parts, and records and notes of any.

    A note may stay where the start of an upload failed: its response may have been lost, so the end of the run looks for it.
    """
    found = [name for name, record in records(rig).items() if record["token"] or not notes_may_stay]
    return [*open_parts(rig), *found]


@contextmanager
def ranges_asked(edge: EdgeServer) -> Iterator[list[str]]:
    """The `Range` headers of the requests to the edge meanwhile; empty for a whole object."""
    asked: list[str] = []
    server = edge._http
    handler = server._handler

    def recording(exchange: Exchange) -> None:
        asked.append(exchange.headers.get("range", ""))
        handler(exchange)

    server._handler = recording
    try:
        yield asked
    finally:
        server._handler = handler


def arrived(rig: EngineRig, key: str, body: bytes, outcome: TransferOutcome, *, notes_may_stay: bool = False) -> Copied:
    """Check that the object was copied, is right, counts once, and left nothing behind; its outcome."""
    assert isinstance(outcome, Copied), outcome
    assert rig.stored(key) == body
    assert rig.progress.stats().bytes_copied == len(body)
    assert left_behind(rig, notes_may_stay=notes_may_stay) == []
    return outcome


def refused(
    rig: EngineRig, outcome: TransferOutcome, *, names: Sequence[str] = (), notes_may_stay: bool = False
) -> TransferFailure:
    """Check that nothing (but `names`) is at the destination, counted as copied, or left behind; the failure."""
    assert isinstance(outcome, Failed), outcome
    assert rig.names() == list(names)
    assert rig.progress.stats().bytes_copied == 0
    assert left_behind(rig, notes_may_stay=notes_may_stay) == []
    return outcome.failure


def abandoned(rig: EngineRig, key: str) -> ObjectMeta:
    """An object whose first delivery ended midway, as after SIGKILL: its upload is open and on record."""
    item = listed(rig, key)
    rig.edge.faults.replace([fault("GET", "stall", after=1 if "-" in item.etag else 0, at_byte=MIB, seconds=5)])
    watcher = threading.Thread(target=_stop_midway, args=(rig, key, "-" in item.etag))
    watcher.start()
    with suppress(Stopped):
        rig.copy(item)
    watcher.join()
    rig.stop.clear()
    rig.edge.faults.replace([])
    assert {record["name"] for record in records(rig).values()} == {key}
    assert [record["name"] for record in records(rig).values() if record["token"]] == [key]
    return item


def _stop_midway(rig: EngineRig, key: str, is_in_parts: bool) -> None:
    """Stop the rig once the upload is on record and the edge has stalled; of parts, once those before are stored."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        tokens = [record["token"] for record in records(rig).values() if record["name"] == key and record["token"]]
        has_stalled = json.loads(rig.edge.faults.to_json())["faults"][0]["hits"]
        if tokens and has_stalled and (not is_in_parts or len(stored_parts(rig, key, tokens[0])) > 1):
            break
        time.sleep(0.02)
    time.sleep(0.15)  # the bytes before the stall are still in flight
    rig.stop.set()
