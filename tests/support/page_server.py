"""A bucket that answers ListObjectsV2 from a sorted list in memory: quick, of any page size, and with the habits of servers."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote_plus
from xml.sax.saxutils import escape

from localcloud.http1 import Exchange, HttpServer

Render = Callable[[str, int], str]
"""The `Contents` of a key with its position."""


def aws_entry(key: str, index: int) -> str:
    """As S3 writes it."""
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-{1 + index % 28:02d}T{index % 24:02d}:00:{index % 60:02d}.000Z"
        f"</LastModified><ETag>&quot;{index:032x}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{index}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def strange_entry(key: str, index: int) -> str:
    """Everything that a protocol allows, and no server in its right mind does."""
    return (
        f"<Contents>\n <!-- Key --> <Size>{index}</Size><Extra a='1'><Key>trap</Key><Size>1</Size></Extra>\n <StorageClass/>"
        f"<LastModified>2026-01-{1 + index % 28:02d}T{index % 24:02d}:00:{index % 60:02d}Z</LastModified>"
        f"<ETag><![CDATA[{index:032x}]]></ETag><Key>{key}</Key></Contents>"
    )


@dataclass(kw_only=True)
class PageServer:
    """Serves keys, sorted unless they are to be out of order. Sizes and ETags are the positions."""

    keys: Sequence[str]
    page_keys: int = 1000
    entry: Render = aws_entry
    encode: bool = True
    """Whether it honours EncodingType."""
    knows_start_after: bool = True
    skips_folders: bool = False
    """Whether StartAfter `S` leaves out all of `S/…`, as a server does that keeps folders and S is the name of one."""
    start_after_wins: bool = False
    """Whether it takes StartAfter for more than the token, when both are sent."""
    latency_s: float = 0.0
    fails: Callable[[dict[str, str]], bool] = lambda query: False
    requests: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._http = HttpServer(self._handle, name="pages")
        self.url = self._http.url

    def __enter__(self) -> PageServer:
        self._http.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.stop()

    def _handle(self, exchange: Exchange) -> None:
        query = {name: values[0] for name, values in parse_qs(exchange.query, keep_blank_values=True).items()}
        with self._lock:
            self.requests.append(query)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.latency_s)
        with self._lock:
            self._at_once -= 1
        if self.fails(query):
            exchange.send(400, (), b"<Error><Code>InvalidArgument</Code><Message>no</Message></Error>")
        else:
            exchange.send(
                200, [("Content-Type", "application/xml")], self._page(query).encode("utf-8", "surrogatepass")
            )

    def _page(self, query: dict[str, str]) -> str:
        prefix, token = query.get("prefix", ""), query.get("continuation-token")
        is_encoded = self.encode and query.get("encoding-type") == "url"
        start = bisect_left(self.keys, prefix)
        if token is not None:
            start = int(token.partition(" ")[0])
        if self.knows_start_after and "start-after" in query and (token is None or self.start_after_wins):
            start = max(start, bisect_right(self.keys, query["start-after"]))
        skipped = query.get("start-after", token.partition(" ")[2] if token else "") if self.skips_folders else ""
        found: list[str] = []
        place = start
        while place < len(self.keys) and len(found) < self.page_keys:
            key = self.keys[place]
            if not key.startswith(prefix):
                break
            if not (skipped and key.startswith(f"{skipped}/")):
                found.append(self.entry(_shown(key, is_encoded), place))
            place += 1
        more = place < len(self.keys) and self.keys[place].startswith(prefix)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>b</Name><Prefix>{_shown(prefix, is_encoded)}</Prefix>{''.join(found)}"
            + (f"<NextContinuationToken>{place} {escape(skipped)}</NextContinuationToken>" if more else "")
            + ("<EncodingType>url</EncodingType>" if is_encoded else "")
            + f"<IsTruncated>{str(more).lower()}</IsTruncated></ListBucketResult>"
        )


def _shown(key: str, is_encoded: bool) -> str:
    """S3 writes a blank as `+`."""
    return quote_plus(key, safe="/", errors="surrogatepass") if is_encoded else escape(key)
