"""The edge itself: takes a viewer's request, checks its signature, and answers from the cache or the origin.

Behaviour follows the CloudFront developer guide; where its editions differ, the chapter is named at the rule.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localcloud.edge import errors
from localcloud.edge.cache import CACHED_ERRORS, Cache, Entry, ttl_s
from localcloud.edge.conditions import Selection, select
from localcloud.edge.origin import Origin, OriginAnswer, OriginUnreachable
from localcloud.edge.policy import Verifier, split_signature
from localcloud.edge.settings import RateRule, Settings
from localcloud.faults import FaultPlan
from localcloud.http1 import ConnectionBroken, Exchange, HttpServer

MAX_URL_BYTES = 8_192
MAX_REQUEST_BYTES = 20_480
MAX_PARTIAL_BYTES = 64 * 1024
"""Larger ranges of objects that are not in the cache pass through and are not kept, unlike CloudFront's."""
POP = "LOC50-P1"

_FORWARDED = ("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")
_TARGET = re.compile(r"/[!-~]*")

Caching = Literal["disabled", "optimized"]


@dataclass(frozen=True, slots=True)
class _Request:
    """A viewer's request, checked and without its signature."""

    exchange: Exchange
    target: str
    """What the origin is asked for."""
    request_id: str

    @property
    def key(self) -> str:
        return f"{self.exchange.method} {self.target}"


class EdgeServer:
    """A CloudFront distribution in front of one bucket. Thread-safe.

    caching "optimized" is the managed policy CachingOptimized: no query string reaches the origin or the cache key, and
    objects stay for 24 h or as Cache-Control says, overwritten or not. "disabled" is CachingDisabled with an origin
    request policy that forwards query strings and `x-amz-checksum-mode`. In both, errors of the origin stay for
    `error_ttl_s` seconds. `settings`, which may be replaced at any time, are its firewall, its error pages and its response
    headers policy. With `restrict` every request needs a signature by one of `key_pairs` (id to public key PEM).
    """

    def __init__(
        self,
        origin_url: str,
        bucket: str,
        *,
        access_key_id: str,
        secret_access_key: str,
        region: str = "us-east-1",
        host: str = "127.0.0.1",
        port: int = 0,
        key_pairs: Mapping[str, str] | None = None,
        restrict: bool = True,
        caching: Caching = "disabled",
        error_ttl_s: float = 10,
        faults: FaultPlan | None = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind the port. Raises ValueError for a host off loopback, a bad key pair, or restriction without any."""
        if restrict and not key_pairs:
            raise ValueError("a restricted distribution needs a key pair: give key_pairs, or restrict=False")
        self._verifier = Verifier(key_pairs or {}) if restrict else None
        self._cached = caching == "optimized"
        self._error_ttl_s = error_ttl_s
        self.settings = settings or Settings()
        self._clock = clock
        self._rate = RateRule(clock)
        self._via = f"1.1 {secrets.token_hex(16)}.cloudfront.net (CloudFront)"
        self._http = HttpServer(self._handle, host=host, port=port, faults=faults, name="edge")
        self._origin = Origin(
            origin_url, bucket, access_key_id=access_key_id, secret_access_key=secret_access_key, region=region
        )
        self._cache = Cache(clock)
        self.faults = self._http.faults
        self.url = self._http.url

    def start(self) -> None:
        """Begin to serve."""
        self._http.start()

    def stop(self) -> None:
        """Stop serving and empty the cache."""
        self._http.stop()
        self._origin.close()
        self._cache.close()

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `kind status`: kinds are GET object, GET range, HEAD object."""
        return self._http.requests()

    def _handle(self, exchange: Exchange) -> None:
        exchange.kind = f"{exchange.method} {'range' if 'range' in exchange.headers else 'object'}"
        request_id = secrets.token_urlsafe(42)
        try:
            request = self._admit(exchange, request_id)
            self._serve(request)
        except errors.EdgeError as error:
            self._refuse(exchange, error, request_id)
            if error.status == 413:
                raise ConnectionBroken from error

    def _refuse(self, exchange: Exchange, error: errors.EdgeError, request_id: str) -> None:
        if not self._send_page(exchange, error.status, request_id):
            own = self._own_headers(request_id, "Error from cloudfront")
            exchange.send(error.status, [*self.settings.kept(error.headers()), *own], error.body)

    def _send_page(self, exchange: Exchange, status: int, request_id: str) -> bool:
        """Answer an error of this status by a page of the owner's; whether there is one."""
        page = self.settings.error_pages.get(status)
        if page is not None:
            own = self._own_headers(request_id, "Error from cloudfront")
            exchange.send(page.status, [*self.settings.kept(page.headers), *own], page.body)
        return page is not None

    def _own_headers(self, request_id: str, x_cache: str) -> list[tuple[str, str]]:
        return [("X-Cache", x_cache), ("Via", self._via), ("X-Amz-Cf-Pop", POP), ("X-Amz-Cf-Id", request_id)]

    def _admit(self, exchange: Exchange, request_id: str) -> _Request:
        """The request, if it is one that the distribution serves. Raises EdgeError."""
        url = f"http://{exchange.headers.get('host', '')}{exchange.path}"
        head_bytes = len(exchange.target) + sum(len(name) + len(value) + 4 for name, value in exchange.headers.items())
        if len(url) + len(exchange.query) > MAX_URL_BYTES or head_bytes > MAX_REQUEST_BYTES:
            # "Request and response behavior for Amazon S3 origins": 413 for either, then the connection is closed.
            raise errors.page(413, "Bad request.", "Request header fields too large.", request_id)
        if self._rate.blocks(exchange.client_ip, self.settings) or self.settings.blocks(exchange.target):
            said = "We can't connect to the server for this app or website at this time."
            raise errors.page(403, "Request blocked.", said, request_id)
        if not _TARGET.fullmatch(exchange.target):
            raise errors.page(400, "Bad request.", "The URL is not a path of visible ASCII characters.", request_id)
        if exchange.method not in ("GET", "HEAD"):
            raise errors.page(403, "Bad request.", "This distribution supports only cachable requests.", request_id)
        if exchange.headers.get("content-length", "0") != "0" or "transfer-encoding" in exchange.headers:
            raise errors.page(403, "Bad request.", "A GET request has no body.", request_id)
        query, parameters = split_signature(exchange.query)
        if self._verifier is not None:
            base_url = f"{url}?{query}" if query else url
            self._verifier.check(base_url, parameters, exchange.client_ip, self._clock())
        target = f"{exchange.path}?{query}" if query and not self._cached else exchange.path
        return _Request(exchange, target, request_id)

    def _serve(self, request: _Request) -> None:
        """Answer from the cache where it holds something for this request, else from the origin."""
        error = self._cache.get(request.key)
        if error and error[1]:
            self._send_entry(request, error[0], "Error from cloudfront")
            return
        stored = self._cache.get(request.target) if self._cached else None
        forwarded = self._forwarded(request.exchange)
        partial = self._cache.get(_partial_key(request, forwarded)) if self._cached else None
        if stored and stored[1]:
            self._send_entry(request, stored[0], "Hit from cloudfront")
        elif partial and partial[1]:
            self._send_entry(request, partial[0], "Hit from cloudfront")
        elif stored and not forwarded:
            self._refresh(request, stored[0])
        else:
            self._pass_on(request, forwarded)

    def _forwarded(self, exchange: Exchange) -> dict[str, str]:
        """The viewer's headers that the origin sees."""
        names = _FORWARDED if self._cached else (*_FORWARDED, "x-amz-checksum-mode")
        return {name: exchange.headers[name] for name in names if name in exchange.headers}

    def _pass_on(self, request: _Request, forwarded: dict[str, str]) -> None:
        """Answer from the origin."""
        try:
            with self._origin.fetch(request.exchange.method, request.target, forwarded) as answer:
                if self._cached and answer.status == 206 and answer.length_bytes <= MAX_PARTIAL_BYTES:
                    self._send_partial(request, forwarded, answer)
                else:
                    self._relay(request, answer)
        except OriginUnreachable as error:
            self._send_unreachable(request, timed_out=isinstance(error.__cause__, TimeoutError))

    def _refresh(self, request: _Request, stale: Entry) -> None:
        """Ask whether an expired object still stands; while the origin fails, it is served all the same."""
        confirmed = False
        condition = {"if-none-match": stale.header("etag") or "*"}
        with (
            contextlib.suppress(OriginUnreachable),
            self._origin.fetch(request.exchange.method, request.target, condition) as answer,
        ):
            confirmed = answer.status == 304
            if not confirmed and answer.status < 500:
                self._relay(request, answer)
                return
        life_s = ttl_s(stale.header("cache-control")) if confirmed else self._error_ttl_s
        entry = self._cache.renew(request.target, stale, life_s)
        self._send_entry(request, entry, "RefreshHit from cloudfront" if confirmed else "Hit from cloudfront")

    def _relay(self, request: _Request, answer: OriginAnswer) -> None:
        if answer.status >= 400:
            self._send_error(request, answer)
        else:
            self._send_answer(request, answer)

    def _send_answer(self, request: _Request, answer: OriginAnswer) -> None:
        own = self._own_headers(request.request_id, "Miss from cloudfront")
        headers = [*self.settings.kept(answer.headers), *own]
        pieces = answer.chunks()
        if self._cached and answer.status == 200 and request.exchange.method == "GET":
            life_s = ttl_s(answer.header("cache-control"))
            if answer.length_bytes:
                pieces = self._cache.keep_while_passing(
                    request.target, answer.headers, answer.length_bytes, life_s, pieces
                )
            else:  # its headers are all of it: the viewer may ask again as soon as they are sent
                self._cache.put(request.target, 200, answer.headers, b"", life_s)
        request.exchange.send_stream(answer.status, headers, answer.length_bytes, pieces)

    def _send_partial(self, request: _Request, forwarded: Mapping[str, str], answer: OriginAnswer) -> None:
        """Pass on a small range and keep it ("How CloudFront processes partial requests")."""
        body = b"".join(bytes(piece) for piece in answer.chunks())
        life_s = ttl_s(answer.header("cache-control"))
        entry = self._cache.put(_partial_key(request, forwarded), 206, answer.headers, body, life_s)
        self._send_entry(request, entry, "Miss from cloudfront")

    def _send_error(self, request: _Request, answer: OriginAnswer) -> None:
        """Pass on the origin's error as it is."""
        body = b"" if request.exchange.method == "HEAD" else b"".join(bytes(piece) for piece in answer.chunks())
        life_s = self._error_ttl_s if answer.status in CACHED_ERRORS else 0
        entry = self._cache.put(request.key, answer.status, answer.headers, body, life_s)
        self._send_entry(request, entry, "Error from cloudfront")

    def _send_unreachable(self, request: _Request, *, timed_out: bool) -> None:
        outcome = "the attempt timed out" if timed_out else "either the attempt failed or the origin closed it"
        title = f"CloudFront attempted to establish a connection with the origin, but {outcome}."
        error = errors.page(504 if timed_out else 502, title, "We can't connect to the server.", request.request_id)
        entry = self._cache.put(request.key, error.status, error.headers(), error.body, self._error_ttl_s)
        self._send_entry(request, entry, "Error from cloudfront")

    def _send_entry(self, request: _Request, entry: Entry, x_cache: str) -> None:
        """Answer from an entry: the whole of it, a range, or what its conditions call for."""
        exchange = request.exchange
        if self._send_page(exchange, entry.status, request.request_id):
            return
        whole = Selection(entry.status, 0, entry.length_bytes)
        selection = select(exchange.headers, entry) if entry.status == 200 else whole
        if selection.status >= 400:
            x_cache = "Error from cloudfront"
        own = self._own_headers(request.request_id, x_cache)
        headers = [*self.settings.kept([*entry.headers, *selection.headers]), *own]
        if age_s := self._cache.age_s(entry):
            headers.append(("Age", str(age_s)))
        if isinstance(entry.body, Path):
            with entry.body.open("rb") as file:
                exchange.send_file(selection.status, headers, file, selection.offset, selection.count)
        else:
            body = memoryview(entry.body)[selection.offset : selection.offset + selection.count]
            exchange.send(selection.status, headers, body)


def _partial_key(request: _Request, forwarded: Mapping[str, str]) -> str:
    """What a range is kept under; with conditions beside it, as what nobody asks for again without them."""
    return f"{request.key} {sorted(forwarded.items())}"
