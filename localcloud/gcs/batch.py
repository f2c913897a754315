"""The batch endpoint: up to 100 metadata requests in one multipart/mixed body ("Batch requests")."""

from __future__ import annotations

import json
from email.message import Message
from email.parser import BytesParser

from localcloud.gcs.errors import invalid
from localcloud.gcs.json_api import JsonApi
from localcloud.http1 import Exchange

MAX_CALLS = 100

_BOUNDARY = "batch_localcloud"


def handle_batch(exchange: Exchange, api: JsonApi) -> None:
    """Answer the requests of a batch in their order. Raises ApiError 400 when it is not a batch."""
    exchange.kind = "batch"
    head = f"Content-Type: {exchange.headers.get('content-type', '')}\r\n\r\n"
    parts = BytesParser().parsebytes(head.encode("latin-1") + exchange.read_body()).get_payload()
    if exchange.method != "POST" or not isinstance(parts, list) or len(parts) > MAX_CALLS:
        raise invalid(f"A batch is a POST of up to {MAX_CALLS} requests as multipart/mixed.")
    answer = bytearray()
    for part in parts:
        if not isinstance(part, Message):
            raise invalid("A part of the batch is malformed.")
        content_id = part.get("Content-ID", "").strip("<>")
        answer += (
            f"--{_BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <response-{content_id}>\r\n\r\n"
        ).encode()
        answer += _answer_part(_content(part), api) + b"\r\n"
    answer += f"--{_BOUNDARY}--\r\n".encode()
    exchange.send(200, [("Content-Type", f"multipart/mixed; boundary={_BOUNDARY}")], bytes(answer))


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise invalid("A part of the batch is malformed.")
    return content


def _answer_part(text: bytes, api: JsonApi) -> bytes:
    head, _, body = text.lstrip().replace(b"\r\n", b"\n").partition(b"\n\n")
    request_line = head.decode("latin-1").partition("\n")[0].split(" ")
    if len(request_line) < 2:
        raise invalid("A part of the batch is not an HTTP request.")
    status, document = api.answer(request_line[0], request_line[1], body)
    content = b"" if document is None else json.dumps(document).encode()
    lines = (
        f"HTTP/1.1 {status} Answer",
        "Content-Type: application/json; charset=UTF-8",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + content
