"""The owner of the source bucket: writes, replaces and removes its objects, and notes each version in the history."""

from __future__ import annotations

import time
from typing import Any

from engine_chaos.history import History, Version, md5_of
from engine_chaos.scenario import Item, There

SOURCE = "source-bucket"


class SourceOwner:
    """Writes to the source without faults. Its methods are called by one thread at a time.

    Args:
        client: a boto3 client of the local S3.
    """

    def __init__(self, client: Any, history: History) -> None:
        self._client = client
        self._history = history

    def put(self, item: Item, body: bytes) -> None:
        """Write an object as its item says, in one PUT or in parts."""
        arguments: dict[str, Any] = dict(item.arguments)
        if item.part_bytes:
            upload = self._client.create_multipart_upload(Bucket=SOURCE, Key=item.key, **arguments)["UploadId"]
            parts = []
            for number, at in enumerate(range(0, len(body), item.part_bytes), 1):
                part = {"Bucket": SOURCE, "Key": item.key, "UploadId": upload, "PartNumber": number}
                sent = self._client.upload_part(**part, Body=body[at : at + item.part_bytes])
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            done = self._client.complete_multipart_upload(
                Bucket=SOURCE, Key=item.key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        else:
            done = self._client.put_object(Bucket=SOURCE, Key=item.key, Body=body, **arguments)
        self._note_version(item.key, body, done["ETag"], arguments)

    def remove(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=SOURCE, Key=key)
        self._history.loses(key)

    def retouch(self, key: str) -> None:
        """Replace an object by one with other metadata, the same bytes and the same ETag."""
        if (version := self._history.current(key)) is None or "-" in version.etag:
            return
        arguments = {"Metadata": {"touched": "yes"}, "ContentType": "text/touched"}
        body = self._client.get_object(Bucket=SOURCE, Key=key)["Body"].read()
        done = self._client.copy_object(
            Bucket=SOURCE,
            Key=key,
            CopySource={"Bucket": SOURCE, "Key": key},
            MetadataDirective="REPLACE",
            StorageClass="STANDARD",
            **arguments,
        )
        self._note_version(key, body, done["CopyObjectResult"]["ETag"], arguments)

    def _note_version(self, key: str, body: bytes, etag: str, arguments: dict[str, Any]) -> None:
        self._history.has_version(
            Version(
                key=key,
                md5=md5_of(body),
                size_bytes=len(body),
                etag=etag.strip('"'),
                arguments=arguments,
                since=time.monotonic(),
                written_at=time.time(),
            )
        )


def plain(key: str) -> Item:
    """An object without anything special."""
    return Item(key=key, size_bytes=0, part_bytes=0, arguments={"ContentType": "text/plain"}, there=There.NOTHING)
