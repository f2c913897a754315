"""The bearer token: renewed ahead, by one thread, and kept through an outage."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import RefreshError, TransportError

from transfer.backends.gcs.token import GoogleToken, is_passing

NOW_S = 1_900_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class FakeIssuer(Credentials):
    """Issues tokens "1", "2", … of a fixed life."""

    def __init__(self, clock: Clock, life_s: float = 3600, delay_s: float = 0) -> None:
        super().__init__()
        self.clock, self.life_s, self.delay_s = clock, life_s, delay_s
        self.issued = self.asked = 0
        self.is_down = False

    def refresh(self, request: object) -> None:
        self.asked += 1
        time.sleep(self.delay_s)
        if self.is_down:
            raise TransportError("down")
        self.issued += 1
        self.token = str(self.issued)
        self.expiry = datetime.fromtimestamp(self.clock() + self.life_s, UTC).replace(tzinfo=None)


def test_anonymous_is_none() -> None:
    assert GoogleToken(AnonymousCredentials())() is None


def test_renewed_five_minutes_ahead() -> None:
    clock = Clock()
    token = GoogleToken(FakeIssuer(clock), clock=clock, wall_clock=clock)
    assert token() == "1"
    clock.now_s += 3299
    assert token() == "1"
    clock.now_s += 1
    assert token() == "2"


def test_a_token_that_is_there_already_is_used() -> None:
    clock = Clock()
    issuer = FakeIssuer(clock)
    issuer.refresh(None)
    assert GoogleToken(issuer, clock=clock, wall_clock=clock)() == "1"
    assert issuer.asked == 1


def test_a_static_token_is_never_renewed() -> None:
    issuer = FakeIssuer(Clock())
    issuer.token = "static"
    assert GoogleToken(issuer)() == "static"
    assert issuer.asked == 0


def test_short_lived_tokens_are_not_renewed_for_every_request() -> None:
    clock = Clock()
    issuer = FakeIssuer(clock, life_s=60)
    token = GoogleToken(issuer, clock=clock, wall_clock=clock)
    assert [token() for _ in range(5)] == ["1"] * 5
    clock.now_s += 30
    assert token() == "2"


def test_an_outage_is_no_error_while_the_token_is_good() -> None:
    clock = Clock()
    issuer = FakeIssuer(clock)
    token = GoogleToken(issuer, clock=clock, wall_clock=clock)
    token()
    issuer.is_down = True
    clock.now_s += 3400
    assert [token() for _ in range(5)] == ["1"] * 5
    assert issuer.asked == 2, "one try, then a pause"
    clock.now_s += 10
    assert token() == "1"
    assert issuer.asked == 3
    clock.now_s += 190
    with pytest.raises(TransportError):
        token()
    issuer.is_down = False
    assert token() == "2"


def test_one_thread_renews_and_the_others_wait_only_without_a_token() -> None:
    clock = Clock()
    issuer = FakeIssuer(clock, delay_s=0.2)
    token = GoogleToken(issuer, clock=clock, wall_clock=clock)
    barrier = threading.Barrier(64)

    def ask(_: int) -> str | None:
        barrier.wait()
        return token()

    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(ask, range(64))) == {"1"}
        clock.now_s += 3400
        answers = list(pool.map(ask, range(64)))
    assert answers.count("2") < 5, "only the renewing thread waits"
    assert set(answers) <= {"1", "2"}
    assert issuer.asked == 2
    assert token() == "2"


def test_a_token_server_that_is_not_reached_is_passing_trouble() -> None:
    assert is_passing(TransportError("reset"))
    assert is_passing(RefreshError("busy", retryable=True))
    assert not is_passing(RefreshError("invalid_grant"))
