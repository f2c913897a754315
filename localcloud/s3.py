"""S3 on loopback: moto's S3 behind our own HTTP server, with real signatures, two identities and fault plans.

moto (https://docs.getmoto.org, "IAM-like access control") checks SigV4 and IAM policies, so a wrong secret is answered
`SignatureDoesNotMatch` and an unknown key `InvalidAccessKeyId`, as S3 does. moto's own server neither keeps raw
connections in reach nor knows faults, so its WSGI application runs on http1.HttpServer here.

Known gap: moto checks no presigned URLs in this mode; they are answered 501 rather than let through.
"""

from __future__ import annotations

import argparse
import io
import json
import secrets
import threading
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote_to_bytes

from moto import settings
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from moto.iam.models import iam_backends
from moto.moto_server import werkzeug_app
from moto.moto_server.utilities import RegexConverter
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends

from localcloud.faults import FaultPlan
from localcloud.http1 import Exchange, HttpServer
from localcloud.lifecycle import serve_until_stopped
from localcloud.s3_rules import Encryption, metadata_value

PARTITION = "aws"
DEFAULT_REGION = "us-east-1"
ANY_RESOURCE = ("*", r"arn:aws:s3:::[\s\S]+")
"""To moto, which takes it for a regular expression; the second is for keys with line breaks."""

_running_lock = threading.Lock()
_running = 0


class S3Server:
    """An S3 endpoint with path-style buckets. Objects are held in memory, gone at `stop`. Thread-safe.

    Each server is a separate AWS account with two users: one that may do everything in S3, and one for an edge's
    origin that may only read objects. moto's state is process-wide, so two servers in one process share the name space
    of buckets, as accounts do in S3. While a server runs, moto authenticates every caller in this process.
    """

    def __init__(
        self,
        *,
        region: str = DEFAULT_REGION,
        buckets: Iterable[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultPlan | None = None,
    ) -> None:
        """Bind the port and create the buckets. Raises ValueError for a bad bucket name or a host off loopback."""
        self.region = region
        self._account = f"{secrets.randbelow(9 * 10**11) + 10**11}"
        self.access_key_id, self.secret_access_key = self._create_user("edgehaul", ["s3:*"])
        self.origin_access_key_id, self.origin_secret_access_key = self._create_user("edge-origin", ["s3:GetObject*"])
        self._http = HttpServer(self._answer, host=host, port=port, faults=faults, name="s3")
        self.faults = self._http.faults
        self.url = self._http.url
        self.encryption = Encryption()
        self._app = _moto_app()
        self._app.config["PROPAGATE_EXCEPTIONS"] = False  # a bug in moto is a 500, not a dead connection
        for name in buckets:
            self._create_bucket(name)

    def start(self) -> None:
        """Begin to serve."""
        _require_authentication(+1)
        self._http.start()

    def stop(self) -> None:
        """Stop serving, and drop the account with its buckets and users."""
        self._http.stop()
        _require_authentication(-1)
        for bucket in s3_backends[self._account][PARTITION].buckets.values():
            s3_backends.bucket_accounts.pop(bucket.name, None)
            for name in bucket.keys:
                for version in bucket.keys.getlist(name):
                    if hasattr(version, "dispose"):  # a delete marker has no body
                        version.dispose()
        del s3_backends[self._account]
        del iam_backends[self._account]

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `kind status`."""
        return self._http.requests()

    def _create_bucket(self, name: str) -> None:
        try:
            s3_backends[self._account][PARTITION].create_bucket(name, self.region)
        except S3ClientError as error:
            raise ValueError(f"bucket {name!r}: {error.message}") from error

    def _create_user(self, name: str, actions: list[str]) -> tuple[str, str]:
        iam = iam_backends[self._account][PARTITION]
        iam.create_user(self.region, name)
        statement = {"Effect": "Allow", "Action": actions, "Resource": list(ANY_RESOURCE)}
        iam.put_user_policy(name, "s3", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        key = iam.create_access_key(name)
        return key.access_key_id, key.secret_access_key

    def _answer(self, exchange: Exchange) -> None:
        exchange.kind = _kind(exchange)
        authorization = exchange.headers.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            self._refuse_unsigned(exchange)
            return
        status, headers, body = _call(self._app, _environ(exchange))
        if status == 404 and self.origin_access_key_id in authorization and exchange.kind.endswith(" object"):
            # Without permission to list, S3 does not report a missing key (API reference, GetObject, "Permissions"); moto does.
            _send_error(exchange, 403, "AccessDenied", "Access Denied")
            return
        if status < 300 and exchange.kind in ("PUT object", "POST object") and "uploadId=" not in exchange.query:
            self.encryption.stored(exchange.path, exchange.headers)
        if status < 300 and exchange.kind in ("GET object", "HEAD object"):
            answered = {name.lower(): value for name, value in headers}
            if refusal := self.encryption.refusal(exchange.path, exchange.headers, answered):
                _send_error(exchange, refusal.status, refusal.code, refusal.message)
                return
        exchange.send(status, [*_as_s3_answers(exchange, headers), *_identification()], body)

    def _refuse_unsigned(self, exchange: Exchange) -> None:
        exchange.drain()
        if "X-Amz-Signature=" in exchange.query:
            _send_error(exchange, 501, "NotImplemented", "This local S3 checks no presigned URLs")
        else:
            _send_error(exchange, 403, "AccessDenied", "Access Denied")


class _AnyText(RegexConverter):
    """A part of a path in which line breaks are characters as others are: keys have them."""

    def __init__(self, url_map: Any, *items: Any) -> None:
        super().__init__(url_map, *items)
        self.regex = f"(?s:{self.regex})"


def _moto_app() -> Any:
    werkzeug_app.RegexConverter = _AnyText  # type: ignore[misc]
    return werkzeug_app.create_backend_app("s3")


def _require_authentication(change: int) -> None:
    """Count running servers: with at least one, moto lets no request pass unauthenticated."""
    global _running
    with _running_lock:
        _running += change
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0 if _running else float("inf")


def _kind(exchange: Exchange) -> str:
    bucket, _, key = exchange.path[1:].partition("/")
    return f"{exchange.method} {'object' if key else 'bucket' if bucket else 'service'}"


def _environ(exchange: Exchange) -> dict[str, Any]:
    """The WSGI environment that moto's own request handler would make (PEP 3333; RAW_URI keeps `//` and `%2F`)."""
    host, _, port = exchange.headers.get("host", "localhost").partition(":")
    body = exchange.read_body()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": exchange.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(exchange.path).decode("latin-1"),
        "QUERY_STRING": exchange.query,
        "RAW_URI": exchange.target,
        "REQUEST_URI": exchange.target,
        "REMOTE_ADDR": exchange.client_ip,
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    preserved: dict[str, str] = {}
    for name, value in exchange.headers.items():
        key = environ_key_for_header(name)
        if should_preserve_original_header_name(name):
            preserved[key] = name
        environ[key] = value
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved
    return environ


def _call(app: Any, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        started.append((int(status.split(" ", 1)[0]), headers))

    body = b"".join(app(environ, start_response))
    status, headers = started[-1]
    return status, [(name, _from_wsgi(value)) for name, value in headers], body


def _as_s3_answers(exchange: Exchange, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The answer's headers less those of the request that moto hands back, and checksums that nobody asked for.

    S3 gives a checksum only with `x-amz-checksum-mode: ENABLED` (API reference, GetObject).
    """
    hidden = {"x-amz-sdk-checksum-algorithm", "x-amz-content-sha256", "x-amzn-requestid"}
    if "origin" not in exchange.headers:
        hidden.add("access-control-allow-origin")
    reading = (
        exchange.method in ("GET", "HEAD") and exchange.headers.get("x-amz-checksum-mode", "").upper() != "ENABLED"
    )
    return [
        (name, metadata_value(value) if name.lower().startswith("x-amz-meta-") else value)
        for name, value in headers
        if name.lower() not in hidden and not (reading and name.lower().startswith("x-amz-checksum-"))
    ]


def _from_wsgi(value: str) -> str:
    # A WSGI string carries bytes as Latin-1; the HTTP server sends UTF-8.
    return value.encode("latin-1").decode("utf-8", "replace") if not value.isascii() else value


def _identification() -> list[tuple[str, str]]:
    return [
        ("x-amz-request-id", secrets.token_hex(8).upper()),
        ("x-amz-id-2", secrets.token_urlsafe(48)),
        ("Date", formatdate(usegmt=True)),
        ("Server", "AmazonS3"),
    ]


def _send_error(exchange: Exchange, status: int, code: str, message: str) -> None:
    identification = _identification()
    ids = "<RequestId>{}</RequestId><HostId>{}</HostId>".format(*(value for _, value in identification[:2]))
    document = f"<Error><Code>{code}</Code><Message>{message}</Message>{ids}</Error>"
    headers = [("Content-Type", "application/xml"), *identification]
    exchange.send(status, headers, b'<?xml version="1.0" encoding="UTF-8"?>\n' + document.encode())


def main() -> None:
    """Run the server until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.s3", description="a local S3, by moto")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--region", default=DEFAULT_REGION)
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to create; may be repeated")
    options = parser.parse_args()
    try:
        server = S3Server(region=options.region, buckets=options.bucket, host=options.host, port=options.port)
    except ValueError as error:
        parser.error(str(error))
    serve_until_stopped(
        "s3",
        server,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        origin_access_key_id=server.origin_access_key_id,
        origin_secret_access_key=server.origin_secret_access_key,
        region=server.region,
    )


if __name__ == "__main__":
    main()
