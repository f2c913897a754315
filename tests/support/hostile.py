"""Hostile texts, numbers, JSON, packed bytes and HTTP responses for the fuzz suite."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Examples of each test; `make fuzz` tries more."""

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
few = settings(fuzz, max_examples=max(20, EXAMPLES // 3))
"""For tests that talk to a server."""

TEXTS = [
    *(
        "",
        "=?x-unknown?Q?abc?=",
        "=?utf-8?B?!!!?=",
        "=?utf-8?Q?=00?=",
        "=1+1",
        "a\r\nb",
        "\x00",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "％",
    ),
    *(
        "9" * 5000,
        "-1",
        "1e999",
        "NaN",
        "0x10",
        "٣",
        "true",
        "null",
        "[" * 3000,
        "k" * 20_000,
        "%zz",
        "../..",
        "*" * 20 + "b",
        "a/" * 500,
    ),
    *(
        "2026-13-45T99:99:99Z",
        "Thu, 01 Jan 99999 00:00:00 GMT",
        "bytes 0-0/1",
        "bytes */9",
        '"',
        "W/",
        "x-0",
        "A===",
        "AAAAAA==",
    ),
]
texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=30), st.text(st.characters(max_codepoint=127), max_size=30))
numbers = st.one_of(
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**30, 10**4000, 1.5, float("inf"), float("nan"), True]), st.integers()
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def document(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A JSON object with these fields, of which some are missing and some hold anything."""
    one = {name: st.just(value) | values for name, value in fields.items()}
    return st.one_of(st.fixed_dictionaries({}, optional=one), st.fixed_dictionaries(one, optional={"extra": values}))


def as_json(value: Any) -> bytes:
    """JSON, with numbers that JSON does not have and lone surrogates."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def bodies(*documents: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Bytes of any kind: noise, nests, JSON of anything, and these documents."""
    nests = st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b"[]", b"{}", b"9" * 5000])
    whole = st.one_of(values, *documents).map(as_json)
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    return st.one_of(st.binary(max_size=200), nests, whole, cut)


def packed(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Compressed lines, whole or cut short."""
    whole = st.lists(lines, max_size=4).map(lambda found: gzip.compress(b"\n".join(found) + b"\n", 1))
    cut = st.tuples(whole, st.integers(1, 60)).map(lambda pair: pair[0][: -pair[1]])
    return st.one_of(whole, cut, st.binary(max_size=100))


header_names = st.sampled_from(
    [
        *(
            "Content-Length",
            "Content-Type",
            "ETag",
            "Content-Range",
            "Retry-After",
            "Date",
            "Age",
            "X-Cache",
            "Content-Encoding",
        ),
        *(
            "x-amz-meta-subject",
            "x-amz-missing-meta",
            "x-amz-checksum-crc32c",
            "x-amz-checksum-type",
            "x-amz-request-id",
        ),
        *(
            "x-amz-server-side-encryption",
            "x-amz-storage-class",
            "x-amz-version-id",
            "Location",
            "Server",
            "x-goog-hash",
            "Range",
        ),
    ]
)
header_values = texts.map(lambda text: text.replace("\r", "").replace("\n", "").replace("\x00", "")[:2000])
headers = st.dictionaries(header_names, header_values, max_size=6)
statuses = st.sampled_from(
    [200, 200, 200, 204, 206, 206, 301, 304, 308, 400, 401, 403, 404, 409, 410, 411, 412, 413, 416, 429, 500, 503, 599]
)


def answer_bytes(status: int, fields: dict[str, str], body: bytes) -> bytes:
    """A response as it is sent; it ends with the connection."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\nConnection: close\r\n{lines}\r\n".encode("utf-8", "replace") + body


class Parrot:
    """A server that answers every request with the same bytes, and closes."""

    def __init__(self) -> None:
        self.says = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(2)
                head = b""
                while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
                    head += data
                length = int(
                    next(
                        (
                            line.split(b":")[1]
                            for line in head.split(b"\r\n")
                            if line.lower().startswith(b"content-length:")
                        ),
                        b"0",
                    )
                )
                left = length - len(head.partition(b"\r\n\r\n")[2])
                while left > 0 and (data := connection.recv(65536)):
                    left -= len(data)
                connection.sendall(self.says)
            except OSError:
                pass

    def stop(self) -> None:
        """No more answers."""
        self._socket.close()
