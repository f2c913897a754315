"""The server: which API a request is for, and errors in that API's shape."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable
from pathlib import Path

from localcloud.faults import INSERT, FaultPlan
from localcloud.gcs.batch import handle_batch
from localcloud.gcs.console import Console
from localcloud.gcs.errors import ApiError, planned
from localcloud.gcs.json_api import JsonApi
from localcloud.gcs.json_uploads import JsonUploads
from localcloud.gcs.policies import check_token
from localcloud.gcs.store import Store
from localcloud.gcs.xml_api import XmlApi
from localcloud.http1 import ConnectionBroken, Exchange, HttpServer

STOP_TIMEOUT_S = 5.0


class GcsServer:
    """Cloud Storage on loopback: the JSON and XML APIs over one data directory.

    Everything is kept in `data_dir`, resumable sessions and parts too; a later server on it goes on where this one
    stopped. One server at a time may use a directory. `buckets` are created unless they are there. With `tokens`, each
    request has to bear one of them; without, nobody is asked for any. Raises ValueError
    for a host that is not loopback.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultPlan | None = None,
        buckets: Iterable[str] = (),
        tokens: Collection[str] = (),
    ) -> None:
        self._http = HttpServer(self._handle, host=host, port=port, faults=faults, name="gcs")
        self.url = self._http.url
        self.faults = self._http.faults
        self.tokens = tokens
        self._store = Store(data_dir, self._check_insert)
        self._console = Console(self._store, host=host)
        self.console_url = self._console.url
        """Pages of folders and objects for a browser, at the paths of Google's console."""
        self._changed = threading.Condition()
        self._busy = 0
        self._stopping = False
        self._json = JsonApi(self._store, self.url)
        self._uploads = JsonUploads(self._store, self.url)
        self._xml = XmlApi(self._store, self.url)
        known = set(self._store.bucket_names())
        for bucket in buckets:
            if bucket not in known:
                self._store.create_bucket(bucket, {})

    def start(self) -> None:
        """Begin to answer."""
        self._http.start()
        self._console.start()

    def stop(self) -> None:
        """Close every connection, and the index once the requests at work have ended."""
        with self._changed:
            self._stopping = True
        self._http.stop()
        self._console.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, timeout=STOP_TIMEOUT_S)
        self._store.close()

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `kind status`."""
        return self._http.requests()

    def _check_insert(self, bucket: str, name: str) -> None:
        fault = self.faults.decide(f"{INSERT}{bucket}/{name}")
        if fault is not None:
            raise planned(fault.status, fault.body)

    def _handle(self, exchange: Exchange) -> None:
        with self._changed:
            if self._stopping:
                raise ConnectionBroken
            self._busy += 1
        try:
            self._answer(exchange)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _answer(self, exchange: Exchange) -> None:
        path = exchange.path
        is_batch = path in ("/batch", "/batch/storage/v1")
        is_json = is_batch or path.startswith(("/storage/v1/", "/download/storage/v1/"))
        is_upload = path.startswith(("/upload/storage/v1/", "/resumable/upload/storage/v1/"))
        try:
            check_token(exchange, self.tokens)
            if is_upload:
                self._uploads.handle(exchange)
            elif is_batch:
                handle_batch(exchange, self._json)
            elif is_json:
                self._json.handle(exchange)
            else:
                self._xml.handle(exchange)
        except ApiError as error:
            if error.status == 304:
                exchange.send(304)
            elif is_json or is_upload:
                exchange.send(error.status, [*_JSON, *error.headers], json.dumps(error.to_json()).encode())
            else:
                exchange.send(error.status, [*_XML, *error.headers], error.to_xml())


_JSON = [("Content-Type", "application/json; charset=UTF-8")]
_XML = [("Content-Type", "application/xml; charset=UTF-8")]
