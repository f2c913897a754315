"""What an owner may set on a distribution that changes its answers: firewall rules, error pages, response headers.

From the CloudFront developer guide ("Generate custom error responses", "Understand response headers policies") and the AWS
WAF developer guide ("Using rate-based rule statements").
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

RATE_WINDOWS_S = (60, 120, 300, 600)
MIN_RATE = 10
PAGE_STATUSES = frozenset({400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504})
"""Statuses for which there may be a custom error page."""
NOT_REMOVABLE = re.compile(
    r"connection|content-encoding|content-length|expect|host|keep-alive|proxy-(authenticate|authorization|connection)"
    r"|trailer|transfer-encoding|upgrade|via|warning|x-accel-.*|x-amz-cf-.*|x-amzn-.*|x-cache|x-edge-.*"
    r"|x-forwarded-proto|x-real-ip"
)

Header = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """A custom error response."""

    status: int
    """What the viewer is answered, 200 among others."""
    body: bytes

    @property
    def headers(self) -> list[Header]:
        """Those of the object of the bucket that is the page."""
        etag = hashlib.md5(self.body, usedforsecurity=False).hexdigest()
        return [
            ("Content-Type", "text/html"),
            ("ETag", f'"{etag}"'),
            ("x-amz-request-id", "0PAGE0"),
            ("Server", "AmazonS3"),
        ]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """May be replaced while the server runs. Raises ValueError for what CloudFront or AWS WAF would not take."""

    blocked: str = ""
    """A regular expression: the web ACL blocks a request whose path or query, decoded, holds it in any case of letters."""
    rate: int | None = None
    """The web ACL blocks a client's requests beyond this number in `rate_window_s`."""
    rate_window_s: int = 300
    error_pages: Mapping[int, ErrorPage] = field(default_factory=dict)
    removed_headers: frozenset[str] = frozenset()
    """Names, in lower case, that a response headers policy takes out of what the origin sent."""

    def __post_init__(self) -> None:
        re.compile(self.blocked)
        if self.rate is not None and (self.rate < MIN_RATE or self.rate_window_s not in RATE_WINDOWS_S):
            raise ValueError(f"a rate rule counts {MIN_RATE} requests or more in {RATE_WINDOWS_S} seconds")
        if unknown := set(self.error_pages) - PAGE_STATUSES:
            raise ValueError(f"there are no error pages for {sorted(unknown)}")
        for name in self.removed_headers:
            if name != name.lower() or NOT_REMOVABLE.fullmatch(name):
                raise ValueError(f"a response headers policy cannot remove {name!r}")

    def blocks(self, target: str) -> bool:
        """Whether a rule of the web ACL matches this request target."""
        parts = map(unquote_plus, target.split("?", 1)) if self.blocked else ()
        return any(re.search(self.blocked, part, re.IGNORECASE) for part in parts)

    def kept(self, headers: list[Header]) -> list[Header]:
        """Without those that the response headers policy removes."""
        if not self.removed_headers:
            return headers
        return [header for header in headers if header[0].lower() not in self.removed_headers]


class RateRule:
    """Counts requests by client. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = {}

    def blocks(self, client_ip: str, settings: Settings) -> bool:
        """Count one request; whether it is beyond the limit. Blocked ones count as well."""
        if settings.rate is None:
            return False
        now_s = self._clock()
        with self._lock:
            seen = self._seen.setdefault(client_ip, deque())
            seen.append(now_s)
            while seen[0] <= now_s - settings.rate_window_s:
                seen.popleft()
            return len(seen) > settings.rate
