"""Provides a current OAuth 2.0 bearer token from google-auth credentials to every thread of a worker."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

import google.auth.exceptions
import google.auth.transport
import google.auth.transport.requests
from google.auth.credentials import AnonymousCredentials, Credentials

REFRESH_AHEAD_S = 300.0
"""A token is renewed when this much of its lifetime is left."""
FRESH_S = 60.0
"""A token that is younger than this was not refused because it had expired."""
RETRY_AFTER_S = 10.0
"""The pause after a failed renewal while the current token is still valid."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    expires_at_s: float


_NONE_YET = _Token("", -math.inf)


class GoogleToken:
    """Callable that returns a valid bearer token, or None for anonymous access. Thread-safe.

    The thread that finds the token near its end renews it while the others continue with the current one; they wait only
    when there is no valid token. A renewal that fails is not an error as long as the current token is valid.

    Args:
        credentials: google-auth credentials, already scoped.
        request: google-auth's HTTP transport; requests by default.
        clock: a monotonic clock in seconds, by which tokens age.
        wall_clock: Unix time in seconds, in which google-auth gives the end of a token.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        request: google.auth.transport.Request | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._request = request
        self._clock = clock
        self._wall_clock = wall_clock
        self._token = self._token_now()
        self._renew_at_s = self._token.expires_at_s - REFRESH_AHEAD_S
        self._renewed_at_s = -math.inf
        self._lock = threading.Lock()

    def __call__(self) -> str | None:
        """The token, without "Bearer ".

        Raises:
            google.auth.exceptions.GoogleAuthError: there is no valid token and none could be obtained; `is_passing` says
                whether to try again.
        """
        if isinstance(self._credentials, AnonymousCredentials):
            return None
        if self._clock() < self._renew_at_s:
            return self._token.value
        if self._lock.acquire(blocking=not self._is_valid()):
            try:
                if self._clock() >= self._renew_at_s:
                    self._renew()
            finally:
                self._lock.release()
        return self._token.value

    def reject(self, token: str) -> None:
        """Report that Cloud Storage refused this token, so that the next call renews it.

        A token can end early, when it is revoked or when a clock is wrong. A token that was renewed within the last minute is
        kept: it was not refused for its age.
        """
        with self._lock:
            is_current = token == self._token.value  # otherwise another thread has renewed it already
            is_fresh = self._clock() - self._renewed_at_s < FRESH_S
            if is_current and not is_fresh and self._token.expires_at_s != math.inf:
                self._token = _NONE_YET
                self._renew_at_s = -math.inf

    def _is_valid(self) -> bool:
        return self._clock() < self._token.expires_at_s

    def _renew(self) -> None:
        if self._request is None:
            self._request = google.auth.transport.requests.Request()
        try:
            self._credentials.refresh(self._request)
        except google.auth.exceptions.GoogleAuthError:
            if not self._is_valid():
                raise
            self._renew_at_s = min(self._clock() + RETRY_AFTER_S, self._token.expires_at_s)
            return
        self._token = self._token_now()
        self._renewed_at_s = self._clock()
        remaining_s = self._token.expires_at_s - self._clock()
        # Half of the lifetime, where it is so short that REFRESH_AHEAD_S would renew the token for every request.
        self._renew_at_s = self._token.expires_at_s - min(REFRESH_AHEAD_S, remaining_s / 2)

    def _token_now(self) -> _Token:
        """The token that the credentials hold, its expiry converted from the wall clock to the monotonic clock."""
        value, expiry = self._credentials.token, self._credentials.expiry
        if not value:
            return _NONE_YET
        if expiry is None:  # a static token, which google-auth also treats as valid for ever
            return _Token(value, math.inf)
        life_s = expiry.replace(tzinfo=UTC).timestamp() - self._wall_clock()  # google-auth's is naive UTC
        return _Token(value, self._clock() + life_s)

    def __repr__(self) -> str:
        return f"GoogleToken({type(self._credentials).__name__})"


def is_passing(error: google.auth.exceptions.GoogleAuthError) -> bool:
    """Whether a failed request for a token is worth repeating: it failed temporarily, or did not arrive."""
    return error.retryable or isinstance(error, google.auth.exceptions.TransportError)
