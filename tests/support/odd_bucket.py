"""Both sides of a copy of ordinary and odd objects (`everything.py`), and what differs between them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from demo.airflow_api import Run
from demo.upload import cancelling_pool, s3_client
from demo.verify import gcs_client, verify
from everything import ARCHIVED, BY_KEY, CONFLICTING, COPIED, DELETED, EVERYTHING, REPLACED, faults
from pipeline import Pipeline, control

MIB = 1024 * 1024
ORDINARY = {
    **{f"l-before/{number:03d}": os.urandom(number * 9) for number in range(100)},
    **{f"n-after/{number:03d}": os.urandom(number * 9) for number in range(100)},
    **{f"o-ordinary/{number % 9}/{number:03d}": os.urandom(number * 5) for number in range(797)},
    **{f"o-ordinary/large/{number}": os.urandom(8 * MIB + number) for number in range(2)},
    "o-ordinary/streamed": os.urandom(300 * 1024),
}
FOLDERS = ("l-before/", "n-after/", "o-ordinary/")


@dataclass
class Bucket:
    """The source, the destination, and the objects that were put there."""

    pipeline: Pipeline
    odd: dict[str, bytes] = field(default_factory=dict)
    """The objects in the source that are not ordinary, by key."""

    def __post_init__(self) -> None:
        cloud = self.pipeline.cloud
        self.s3 = s3_client(cloud.s3_url, cloud.access_key_id, cloud.secret_access_key, cloud.region)
        self.gcs = gcs_client(cloud.gcs_url, cloud.project)
        self.destination = self.gcs.bucket(cloud.destination_bucket)

    def put(self, key: str, body: bytes, **arguments: Any) -> None:
        self.s3.put_object(Bucket=self.pipeline.cloud.source_bucket, Key=key, Body=body, **arguments)

    def put_in_parts(self, key: str, body: bytes) -> None:
        at = {"Bucket": self.pipeline.cloud.source_bucket, "Key": key}
        upload = at | {"UploadId": self.s3.create_multipart_upload(**at)["UploadId"]}
        pieces = [body[: 5 * MIB], body[5 * MIB :]]
        parts = [
            {"PartNumber": number, "ETag": self.s3.upload_part(**upload, PartNumber=number, Body=piece)["ETag"]}
            for number, piece in enumerate(pieces, 1)
        ]
        self.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    def fill(self) -> None:
        with cancelling_pool(4) as pool:
            jobs = [pool.submit(self._put_ordinary, key, body) for key, body in ORDINARY.items()]
            jobs += [pool.submit(self._put_odd, key) for key in BY_KEY]
            for job in jobs:
                job.result()

    def _put_ordinary(self, key: str, body: bytes) -> None:
        if len(body) > MIB:
            self.put_in_parts(key, body)
        else:
            self.put(key, body, ContentType="text/x-test", Metadata={"from": "the test"})

    def _put_odd(self, key: str) -> None:
        one = BY_KEY[key]
        self.put(key, one.body, **one.put)
        self.odd[key] = one.body
        if one.before is not None:
            self.destination.blob(key).upload_from_string(b"kept")
            self.patch(key, dict(one.before))

    def patch(self, key: str, attributes: dict[str, Any]) -> None:
        path = f"{self.destination.blob(key).path}?overrideUnlockedRetention=true"
        self.gcs._connection.api_request(method="PATCH", path=path, data=attributes)

    def plan(self, *, is_held: bool = False, is_final: bool = False) -> None:
        """Set the faults: all, or with `is_final` those of objects that fail to the end; `is_held` holds up some objects."""
        cloud = self.pipeline.cloud
        wanted = [one for one in EVERYTHING if not is_final or one.then not in (COPIED, ARCHIVED)]
        if not is_held:
            wanted = [one for one in wanted if one.keys[0] not in (CONFLICTING, REPLACED, DELETED)]
        control(cloud.s3_url, faults("s3", cloud.source_bucket, wanted))
        control(cloud.edge_url, faults("edge", cloud.source_bucket, wanted))
        control(cloud.gcs_url, faults("insert", cloud.destination_bucket, wanted))

    def missing(self) -> list[str]:
        """The keys of the odd objects whose copies are missing or differ; prints how they differ."""
        blobs = {blob.name: blob for blob in self.gcs.list_blobs(self.pipeline.cloud.destination_bucket)}
        found = []
        for key, body in self.odd.items():
            blob = blobs.get(key)
            if blob is None or blob.download_as_bytes(raw_download=True) != body or self._differs(key, blob):
                found.append(key)
        return found

    def _differs(self, key: str, blob: Any) -> bool:
        put, kept = BY_KEY[key].put if key in BY_KEY else {}, blob.metadata or {}
        wanted = {
            "content_type": put.get("ContentType", "binary/octet-stream"),
            "content_encoding": put.get("ContentEncoding"),
            "content_language": put.get("ContentLanguage"),
            **put.get("Metadata", {}),
            **(BY_KEY[key].stored if key in BY_KEY else {}),
        }
        there = {name: kept.get(name, getattr(blob, name, None)) for name in wanted}
        if wanted != there:
            print(ascii(key), wanted, there)
        return wanted != there

    def ordinary_differences(self) -> list[object]:
        """What demo/verify.py finds, which reads both sides with the clouds' own clients."""
        cloud = self.pipeline.cloud
        found: list[object] = []
        for folder in FOLDERS:
            outcome = verify(
                self.s3,
                cloud.source_bucket,
                self.gcs,
                cloud.destination_bucket,
                source_prefix=folder,
                destination_prefix=folder,
            )
            found += [*outcome.missing, *outcome.differing, *outcome.extra]
        return found

    def record(self, run: Run, name: str) -> str:
        identity = self.pipeline.airflow.xcom(run, "open_run")
        folder = f".edgehaul/{identity['transfer_id'].rsplit('-', 2)[0]}/"
        body: bytes = self.destination.blob(folder + name).download_as_bytes()
        return body.decode()
