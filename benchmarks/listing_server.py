"""A bucket of many keys on both sides: ListObjectsV2 for S3, objects.list for Cloud Storage. Nothing else is answered.

`python -m benchmarks.listing_server --count N` prints one ready line. Pages are kept once they are made, so that what is
measured is the client. `GET /_localcloud/requests` counts what was asked. With `--changed-every N`, Cloud Storage has every
N-th object from another source ETag.
"""

from __future__ import annotations

import argparse
import json
import threading
from bisect import bisect_right
from urllib.parse import parse_qs

from localcloud.http1 import Exchange, HttpServer
from localcloud.lifecycle import serve_until_stopped

BUCKET = "bench-listing"
PAGE_KEYS = 1000
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f"<Name>{BUCKET}</Name><Prefix></Prefix><KeyCount>{{count}}</KeyCount><MaxKeys>{PAGE_KEYS}</MaxKeys>"
    "<EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>"
)
_ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-{day:02d}T{hour:02d}:{minute:02d}:07.000Z</LastModified>"
    "<ETag>&quot;{etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
    "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def key_of(index: int) -> str:
    """Of 62 characters, a thousand in a folder."""
    return f"logs/service-{index // 1000:05d}/2026/01/01/part-{index:09d}.snappy.parquet"


def _modified(index: int) -> int:
    """As the source's listing has it, in seconds since the epoch."""
    day, hour, minute = index % 28, index % 24, index % 60
    return 1_767_225_600 + ((day * 24 + hour) * 60 + minute) * 60 + 7


class ListingServer:
    """Both listings on loopback, without authentication."""

    def __init__(self, count: int, changed_every: int) -> None:
        self._count = count
        self._changed_every = changed_every
        self._keys = [key_of(index) for index in range(count)]
        self._pages: dict[tuple[str, int], bytes] = {}
        self._lock = threading.Lock()
        self._http = HttpServer(self._handle, name="listing")
        self.url = self._http.url

    def start(self) -> None:
        """Begin to answer."""
        self._http.start()

    def stop(self) -> None:
        """Close every connection."""
        self._http.stop()

    def _handle(self, exchange: Exchange) -> None:
        query = {name: values[0] for name, values in parse_qs(exchange.query).items()}
        if exchange.method == "GET" and exchange.path.rstrip("/") == f"/{BUCKET}":
            exchange.kind = "list s3"
            after = query.get("start-after") or query.get("marker", "")
            start = int(query.get("continuation-token", bisect_right(self._keys, after)))
            exchange.send(200, [("Content-Type", "application/xml")], self._page("s3", start))
        elif exchange.method == "GET" and exchange.path == f"/storage/v1/b/{BUCKET}/o":
            exchange.kind = "list gcs"
            exchange.send(
                200, [("Content-Type", "application/json")], self._page("gcs", int(query.get("pageToken", 0)))
            )
        else:
            exchange.send(404)

    def _page(self, side: str, start: int) -> bytes:
        with self._lock:
            if (side, start) not in self._pages:
                self._pages[side, start] = (self._s3_page if side == "s3" else self._gcs_page)(start)
            return self._pages[side, start]

    def _s3_page(self, start: int) -> bytes:
        end = min(self._count, start + PAGE_KEYS)
        entries = [
            _ENTRY.format(
                key=self._keys[index],
                day=1 + index % 28,
                hour=index % 24,
                minute=index % 60,
                etag=f"{index:032x}",
                size=index,
            )
            for index in range(start, end)
        ]
        more = end < self._count
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        head = _HEAD.format(count=end - start, more=str(more).lower())
        return f"{head}{''.join(entries)}{token}</ListBucketResult>".encode()

    def _gcs_page(self, start: int) -> bytes:
        end = min(self._count, start + PAGE_KEYS)
        items = [
            {
                "name": self._keys[index],
                "size": str(index),
                "generation": "1767225600000000",
                "crc32c": "AAAAAA==",
                "metadata": {
                    "x-goog-source-etag": self._etag(index),
                    "goog-reserved-file-mtime": str(_modified(index)),
                    "edgehaul-proof": "crc32c=AAAAAA==; proof=etag-multipart",
                },
            }
            for index in range(start, end)
        ]
        token = {"nextPageToken": str(end)} if end < self._count else {}
        return json.dumps({"items": items, **token}).encode()

    def _etag(self, index: int) -> str:
        is_changed = self._changed_every and index % self._changed_every == self._changed_every - 1
        return "0" * 32 if is_changed else f"{index:032x}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.listing_server", description=__doc__)
    parser.add_argument("--count", type=int, required=True, help="keys")
    parser.add_argument("--changed-every", type=int, default=0, help="0 for never")
    options = parser.parse_args()
    serve_until_stopped("listing", ListingServer(options.count, options.changed_every))
