"""Answers of services that refuse a request, for the tests of the errors that the backends make of them."""

from __future__ import annotations

import json

from botocore.exceptions import BotoCoreError, ClientError

from transfer.backends.http.exchange import Answer
from transfer.backends.s3.answers import file_error, head_error, listing_error
from transfer.errors import TransferError
from transfer.model import ObjectMeta

ITEM = ObjectMeta(key="k", size_bytes=1, etag="e", last_modified_s=0)
S3_HEADERS = {"x-amz-request-id": "1"}
"""A header that only S3 sends."""


def answer_of(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    lines = [f"{name}: {value}\r\n".encode() for name, value in (headers or {}).items()]
    return Answer(status=status, header_lines=[b"HTTP/1.1 200\r\n", *lines], body=memoryview(body))


def xml_document(code: str, said: bytes = b"", *, by_s3: bool = True) -> bytes:
    end = b"<RequestId>R</RequestId><HostId>H</HostId>" if by_s3 else b""
    return b"<Error><Code>%s</Code><Message>%s</Message>%s</Error>" % (code.encode(), said, end)


def listing_errors(error: ClientError | BotoCoreError) -> list[TransferError]:
    return [
        listing_error(error, bucket="b"),
        file_error(error, uri="s3://b/k"),
        head_error(error, bucket="b", key="k", version_id=""),
    ]


def json_body(status: int, reason: str, message: str = "said so") -> bytes:
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return json.dumps({"error": {"code": status, "message": message, "errors": errors}}).encode()
