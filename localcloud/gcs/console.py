"""A page for each folder and object, at the paths of Google's console, so that links to it open here too. It only reads.

/storage/browser/BUCKET/FOLDER/;tab=objects?prefix=REST      /storage/browser/_details/BUCKET/NAME;tab=live_object
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from urllib.parse import parse_qs, quote, unquote

from localcloud.gcs.errors import ApiError
from localcloud.gcs.listing import ListQuery, list_page
from localcloud.gcs.store import ALWAYS, Store
from localcloud.http1 import Exchange, HttpServer

BROWSER, DETAILS = "/storage/browser/", "/storage/browser/_details/"
# Content comes from whoever wrote the object: a browser shows it as text, and runs nothing of it.
HARMLESS = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "default-src 'none'; sandbox")]


class Console:
    """Serves pages of a store's buckets on loopback."""

    def __init__(self, store: Store, *, host: str) -> None:
        self._store = store
        self._http = HttpServer(self._handle, host=host, name="console")
        self.url = self._http.url

    def start(self) -> None:
        """Begin to answer."""
        self._http.start()

    def stop(self) -> None:
        """Close every connection."""
        self._http.stop()

    def _handle(self, exchange: Exchange) -> None:
        place = unquote(exchange.path.partition(";")[0])
        try:
            if exchange.method not in ("GET", "HEAD") or not place.startswith(BROWSER):
                _send_text(exchange, 404, b"The local console has pages of folders and objects of Cloud Storage only.")
            elif place.startswith(DETAILS):
                self._send_object(exchange, *_split(place.removeprefix(DETAILS)))
            else:
                bucket, folder = _split(place.removeprefix(BROWSER))
                rest = parse_qs(exchange.query, keep_blank_values=True).get("prefix", [""])[0]
                prefix = (f"{folder.rstrip('/')}/" if folder else "") + rest
                body = "".join(self._page(bucket, prefix)).encode()
                exchange.send(200, [("Content-Type", "text/html; charset=utf-8"), *HARMLESS], body)
        except ApiError as error:
            _send_text(exchange, error.status, str(error.message).encode())

    def _send_object(self, exchange: Exchange, bucket: str, name: str) -> None:
        with self._store.reading(bucket, name, None, ALWAYS) as record:
            pieces = self._store.blobs.read(record.segments, 0, record.size_bytes)
            exchange.send_stream(200, [_TEXT, *HARMLESS], record.size_bytes, pieces)

    def _page(self, bucket: str, prefix: str) -> Iterator[str]:
        found = list_page(self._store, bucket, ListQuery(prefix=prefix, delimiter="/"))
        title = escape(f"gs://{bucket}/{prefix}")
        yield f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><ul>"
        for name in found.prefixes:
            yield _line(f"{BROWSER}{quote(f'{bucket}/{name}')};tab=objects", name, "folder")
        for record in found.items:
            address = f"{DETAILS}{quote(f'{bucket}/{record.name}')};tab=live_object"
            yield _line(address, record.name, f"{record.size_bytes:,} bytes")
        yield f"</ul><p>{'and more' if found.token else ''}"


_TEXT = ("Content-Type", "text/plain; charset=utf-8")


def _send_text(exchange: Exchange, status: int, body: bytes) -> None:
    exchange.send(status, [_TEXT, *HARMLESS], body)


def _split(place: str) -> tuple[str, str]:
    bucket, _, rest = place.partition("/")
    return bucket, rest


def _line(address: str, name: str, what: str) -> str:
    return f'<li><a href="{escape(address)}">{escape(name)}</a> {what}'
