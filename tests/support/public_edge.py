"""An edge that needs no signature, and plain requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlsplit

from localcloud.edge import EdgeServer
from localcloud.s3 import S3Server


@contextlib.contextmanager
def public_edge(s3: S3Server, bucket: str) -> Iterator[EdgeServer]:
    server = EdgeServer(
        s3.url,
        bucket,
        access_key_id=s3.origin_access_key_id,
        secret_access_key=s3.origin_secret_access_key,
        restrict=False,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(
    edge: EdgeServer | SimpleNamespace, target: str, method: str = "GET", body: object = None, **headers: str
) -> SimpleNamespace:
    """One request with the target as it is; header names with _ for -."""
    connection = http.client.HTTPConnection(urlsplit(edge.url).netloc, timeout=10)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = body if body is None else json.dumps(body)
        connection.request(method, target, body=body, headers=named)
        answer = connection.getresponse()
        return SimpleNamespace(status=answer.status, headers=answer.headers, body=answer.read())
