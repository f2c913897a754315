"""The source bucket: a listing in the S3 dialect, and GET and HEAD of its objects from one file for each workload.

`python -m benchmarks.source --spec JSON` prints one ready line. It is S3 and edge in one; where nginx is installed, the
edge is nginx on the same files, and only listings come here.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from benchmarks.workloads import BUCKET, Workload
from localcloud.http1 import Exchange, HttpServer
from localcloud.lifecycle import serve_until_stopped

PAGE_KEYS = 1000
LAST_MODIFIED = "2026-01-01T00:00:00.000Z"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Content:
    """One workload's objects: how many, the file they all consist of, and its ETag."""

    workload: Workload
    path: Path
    etag: str

    def to_spec(self) -> dict[str, object]:
        """What `from_spec` reads."""
        made = self.workload
        return {
            "name": made.name,
            "count": made.count,
            "size_bytes": made.size_bytes,
            "path": str(self.path),
            "etag": self.etag,
        }

    @classmethod
    def from_spec(cls, spec: dict[str, str]) -> Content:
        """The content that a spec describes."""
        workload = Workload(name=spec["name"], count=int(spec["count"]), size_bytes=int(spec["size_bytes"]))
        return cls(workload, Path(spec["path"]), spec["etag"])


class SourceServer:
    """S3 and edge on loopback, without authentication."""

    def __init__(self, contents: list[Content]) -> None:
        self._contents = {content.workload.name: content for content in contents}
        self._http = HttpServer(self._handle, name="source")
        self.url = self._http.url

    def start(self) -> None:
        """Begin to answer."""
        self._http.start()

    def stop(self) -> None:
        """Close every connection."""
        self._http.stop()

    def _handle(self, exchange: Exchange) -> None:
        bucket, _, key = unquote(exchange.path.lstrip("/")).partition("/")
        if bucket != BUCKET:
            exchange.send(404, _XML, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif key:
            self._object(exchange, key)
        else:
            exchange.send(200, _XML, self._list(parse_qs(exchange.query, keep_blank_values=True)))

    def _object(self, exchange: Exchange, key: str) -> None:
        name, slash, _ = key.partition("/")
        content = self._contents.get(base_of(name))
        if content is None or not slash:
            exchange.send(404, _XML, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        size_bytes = content.workload.size_bytes
        headers = [
            ("ETag", f'"{content.etag}"'),
            ("Accept-Ranges", "bytes"),
            ("Content-Type", "application/octet-stream"),
            ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ]
        status, start, end = 200, 0, size_bytes
        if match := _RANGE.fullmatch(exchange.headers.get("range", "")):
            status, start = 206, int(match[1])
            end = min(size_bytes, int(match[2]) + 1 if match[2] else size_bytes)
            headers.append(("Content-Range", f"bytes {start}-{end - 1}/{size_bytes}"))
        with content.path.open("rb") as file:
            exchange.send_file(status, headers, file, start, end - start)

    def _list(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", query.get("marker", [""])))[0]
        limit = min(int(query.get("max-keys", [str(PAGE_KEYS)])[0]), PAGE_KEYS)
        name, _, rest = prefix.partition("/")
        content = self._contents.get(base_of(name))
        keys, is_truncated = [], False
        if content is not None and not rest:
            workload = content.workload
            workload = workload.subset(int(name.partition("-")[2])) if "-" in name else workload
            start = int(after.rpartition("/")[2].partition(".")[0]) + 1 if after.startswith(prefix) and after else 0
            keys = [workload.key(index) for index in range(start, min(start + limit, workload.count))]
            is_truncated = start + limit < workload.count
        return listing(prefix, keys, content, is_truncated=is_truncated)


def base_of(name: str) -> str:
    """The workload that a folder belongs to: `small` has the subset `small-500` beside it."""
    return name.partition("-")[0]


def listing(prefix: str, keys: list[str], content: Content | None, *, is_truncated: bool) -> bytes:
    """One page of ListObjectsV2, with the token where there is another."""
    lines = [
        f"<Contents><Key>{escape(key)}</Key><LastModified>{LAST_MODIFIED}</LastModified>"
        f"<ETag>&quot;{content.etag}&quot;</ETag><Size>{content.workload.size_bytes}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys
        if content is not None
    ]
    token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if is_truncated else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(keys)}</KeyCount>"
        f"<MaxKeys>{PAGE_KEYS}</MaxKeys><IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
        f"{token}{''.join(lines)}</ListBucketResult>"
    ).encode()


_XML = [("Content-Type", "application/xml")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.source", description="The benchmark's source bucket on loopback")
    parser.add_argument("--spec", required=True, help="the contents, as JSON")
    specs = json.loads(parser.parse_args().spec)
    serve_until_stopped("source", SourceServer([Content.from_spec(spec) for spec in specs]))
