"""Lists a destination bucket, and stores a run's records in it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from transfer.backends.gcs.client import GcsClient, parse_object
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.http.loop import complete
from transfer.errors import (
    BucketRefused,
    CredentialsRejected,
    DestinationForbidden,
    DestinationHeld,
    EndpointRejected,
    GenerationMismatch,
    InvalidMessage,
    SinkUnavailable,
    Stage,
)
from transfer.march import out_of_order
from transfer.model import DestinationObject
from transfer.ports import StateEntry
from transfer.records.messages import UNREADABLE, why_unreadable
from transfer.retry import Retrier
from transfer.steps import Step
from transfer.stopping import Stop

MAX_RECORD_BYTES = 256 * 1024 * 1024
PAGE_ITEMS = 1000
"""How many objects one page of a listing has ("Objects: list": at most 1,000)."""
ADVICE = "name a bucket without retention policy and holds as state_bucket"
T = TypeVar("T")


class GcsListing:
    """Pages through the objects of a bucket in byte order. Not thread-safe."""

    def __init__(self, client: GcsClient, retrier: Retrier, stop: Stop) -> None:
        self._client = client
        self._retrier = retrier
        self._stop = stop

    def objects(
        self, prefix: str, *, leave_out: str, is_dated: bool = True, after: str = ""
    ) -> Iterator[DestinationObject]:
        """The objects under `prefix` after the name `after`, without those under `leave_out` (the state prefix).

        Without `is_dated`, their creation times are not requested. Raises ListingOutOfOrder, EndpointRejected, Stopped, or
        another TransferError.
        """
        for item in self._items(
            prefix, f"name,size,generation,crc32c,md5Hash,metadata{',timeCreated' * is_dated}", start=after
        ):
            if item["name"] > after and not item["name"].startswith(leave_out):
                try:
                    stored = parse_object(item)
                except UNREADABLE as error:
                    raise self._misdescribed(item) from error
                yield stored

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        """Names, custom metadata and creation times of the objects under `prefix`."""
        for item in self._items(prefix, "name,metadata,timeCreated"):
            try:
                created = item.get("timeCreated", "")
                created_at_s = datetime.fromisoformat(created).timestamp() if created else 0.0
                metadata = {str(key): str(value) for key, value in (item.get("metadata") or {}).items()}
            except UNREADABLE as error:
                raise self._misdescribed(item) from error
            yield StateEntry(name=item["name"], metadata=metadata, created_at_s=created_at_s)

    def _misdescribed(self, item: Mapping[str, Any]) -> SinkUnavailable:
        said = f"listing gs://{self._client.bucket}: its entry for {item['name']!r} does not describe an object"
        return SinkUnavailable(said, stage=Stage.RECONCILE)

    def _items(self, prefix: str, fields: str, *, start: str = "") -> Iterator[dict[str, Any]]:
        last, seen = "", set[str]()
        query = {"prefix": prefix, "maxResults": str(PAGE_ITEMS), "fields": f"items({fields}),nextPageToken"}
        if start:
            query["startOffset"] = start
        while True:
            url = f"{self._client.objects_url}?{urlencode(query)}"
            page = complete(self._retrier.call(partial(self._page, url)), self._stop)
            items = page.get("items", [])
            for item in items:
                name = item["name"]
                if not name.startswith(prefix):
                    raise self._rejected(f"it returned {name!r}, which is not under the prefix {prefix!r}")
                if name <= last:
                    raise out_of_order("destination listing", name, last)
                last = name
                yield item
            if not (token := page.get("nextPageToken")):
                return
            if token in seen:  # pages without items may follow each other, but may not repeat
                raise self._rejected("it says that there is more, but repeats a page")
            seen = {token} if items else {*seen, token}
            query["pageToken"] = token

    def _rejected(self, why: str) -> EndpointRejected:
        return EndpointRejected(f"listing gs://{self._client.bucket}: {why}", stage=Stage.RECONCILE)

    def _page(self, url: str) -> Step[dict[str, Any]]:
        answer = yield from self._client.send("GET", url)
        try:
            page: dict[str, Any] = json.loads(bytes(answer.body))
            names = [item["name"] for item in page.get("items", [])]
            if not all(type(text) is str for text in (*names, page.get("nextPageToken", ""))):
                raise TypeError("a name or a token is not a text")
        except UNREADABLE as error:
            said = (
                f"listing gs://{self._client.bucket}: the answer is not a page of a listing ({why_unreadable(error)})"
            )
            raise SinkUnavailable(said, stage=Stage.RECONCILE, http_status=answer.status) from error
        return page


class GcsState:
    """A `StateStore` under `gs://<bucket>/<prefix>`. Thread-safe: one request at a time."""

    def __init__(self, client: GcsClient, retrier: Retrier, stop: Stop, *, prefix: str) -> None:
        self.uri = f"gs://{client.bucket}/{prefix}"
        self._client = client
        self._retrier = retrier
        self._sink = GcsSink(client)
        self._listing = GcsListing(client, retrier, stop)
        self._stop = stop
        self._prefix = prefix
        self._lock = threading.Lock()
        self._generations: dict[str, int] = {}  # of the records written here, so that rewriting one needs no look-up

    def write(self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Store a record, replacing one of that name."""
        resource = {"contentType": content_type, "metadata": dict(metadata or {})}
        self._do(name, lambda: self._replace(self._prefix + name, body, resource))

    def _replace(self, name: str, body: bytes, resource: Mapping[str, object]) -> Step[None]:
        for _ in range(2):
            generation = self._generations.get(name, 0)
            try:
                stored = yield from self._sink.put(name, memoryview(body), resource, generation)
            except GenerationMismatch:  # written before by another attempt, or by this one with its answer lost
                found = yield from self._sink.stat(name)
                self._generations[name] = found.generation if found else 0
            else:
                self._generations[name] = stored.generation
                return
        raise SinkUnavailable(f"the record {name} changes generation between look-up and write", stage=Stage.UPLOAD)

    def read(self, name: str) -> bytes:
        """The bytes of a record. Raises InvalidMessage when there is none of that name."""
        return self._do(name, lambda: self._read(self._prefix + name))

    def _read(self, name: str) -> Step[bytes]:
        answer = yield from self._client.send(
            "GET", self._client.media_url(name), max_body_bytes=MAX_RECORD_BYTES, accept=(200, 404)
        )
        if answer.status == 404:
            raise InvalidMessage(f"the record gs://{self._client.bucket}/{name} is gone", stage=Stage.RECONCILE)
        return bytes(answer.body)

    def created_at_s(self, name: str) -> float:
        """When a record was stored, in seconds by Cloud Storage's clock; 0 where unknown, so that nothing counts as older."""
        return self._do(name, lambda: self._created_at_s(self._prefix + name))

    def _created_at_s(self, name: str) -> Step[float]:
        answer = yield from self._client.send("GET", f"{self._client.object_url(name)}?fields=name,timeCreated")
        stored = self._client.described(answer, name)
        return stored.created_at_s if math.isfinite(stored.created_at_s) else 0.0

    def _do(self, name: str, step: Callable[[], Step[T]]) -> T:
        """The result of a step, with retries. A refusal that would fail one object ends the task when it concerns a record."""
        with self._lock:
            self._retrier.reset()
            try:
                return complete(self._retrier.call(step), self._stop)
            except DestinationForbidden as error:
                raise CredentialsRejected(error.message, stage=error.stage, http_status=error.http_status) from error
            except DestinationHeld as error:
                said = f"the record {name!r} of a run cannot be replaced or deleted in {self.uri}: {error.message}; {ADVICE}"
                raise BucketRefused(said, stage=error.stage, http_status=error.http_status) from error

    def entries(self, prefix: str) -> Iterator[StateEntry]:
        """The records whose names, relative to the run's prefix, begin with `prefix`, in byte order."""
        with self._lock:
            found = list(self._listing.entries(self._prefix + prefix))
        for entry in found:
            yield replace(entry, name=entry.name.removeprefix(self._prefix))

    def delete(self, name: str) -> None:
        """Remove a record; an absent one is no error."""
        self._do(name, lambda: self._delete(self._prefix + name))

    def _delete(self, name: str) -> Step[None]:
        yield from self._client.send("DELETE", self._client.object_url(name), accept=(200, 204, 404))
        self._generations.pop(name, None)
