"""How fast a worker goes, on a clock of the test's own."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paced import Clock, capped
from transfer.accounting.pacing import RAMP_BURST_S, RAMP_START_PER_S, Pacer
from transfer.config import TransferConfig

MIB = 1024 * 1024


@pytest.fixture
def clock() -> Clock:
    return Clock()


def worked(pacer: Pacer, clock: Clock, wait_s: Callable[[], float], seconds: float) -> int:
    """How many go through when one lane does nothing but wait as it is told."""
    end_s, count = clock.now_s + seconds, 0
    while True:
        clock.now_s += wait_s()
        if clock.now_s > end_s:
            return count
        count += 1


# Caps


def test_what_has_no_cap_never_waits(clock: Clock) -> None:
    pacer = capped(clock)
    waits = {wait for _ in range(10_000) for wait in (pacer.request_wait_s(), pacer.bytes_wait_s(MIB))}
    assert waits | {pacer.write_wait_s() for _ in range(1_000_000)} == {0.0}


@pytest.mark.parametrize("rate_per_s", [0.2, 3, 700])
def test_requests_keep_their_rate_over_a_long_span(clock: Clock, rate_per_s: float) -> None:
    pacer = capped(clock, max_requests_per_s=rate_per_s)
    count = worked(pacer, clock, pacer.request_wait_s, 1_000)
    assert count == pytest.approx(rate_per_s * 1_000 + max(1, rate_per_s), abs=1)


def test_bytes_keep_their_rate_whatever_the_pieces(clock: Clock) -> None:
    pacer = capped(clock, bandwidth_limit_bytes_per_s=10 * MIB)
    assert [pacer.bytes_wait_s(4 * MIB) for _ in range(4)] == pytest.approx([0, 0, 0.2, 0.6])
    assert pacer.bytes_wait_s(1_000 * MIB) == pytest.approx(100.6), "a piece above the burst is paid for in full"
    clock.now_s += 100.6
    assert pacer.bytes_wait_s(10 * MIB) == pytest.approx(1.0)


def test_waits_come_one_after_another_and_not_together(clock: Clock) -> None:
    pacer = capped(clock, max_requests_per_s=8)
    waits = [pacer.request_wait_s() for _ in range(60)]
    assert waits == [0.0] * 8 + [(index + 1) / 8 for index in range(52)]


def test_a_long_idle_time_gives_one_second_of_burst(clock: Clock) -> None:
    pacer = capped(clock, max_requests_per_s=8)
    pacer.request_wait_s()
    clock.now_s += 3_600
    assert [pacer.request_wait_s() for _ in range(10)] == [0.0] * 8 + [1 / 8, 2 / 8]


def test_a_rate_below_one_a_second_does_not_hold_up_the_first(clock: Clock) -> None:
    pacer = capped(clock, max_requests_per_s=0.1)
    assert [pacer.request_wait_s() for _ in range(3)] == pytest.approx([0, 10, 20])


@given(
    st.floats(0.1, 1e6),
    st.lists(st.tuples(st.floats(0, 100) | st.just(0.0), st.integers(1, 1_000_000)), min_size=2, max_size=30),
)
def test_no_span_ever_takes_more_than_its_rate_and_one_burst(
    rate_per_s: float, pieces: list[tuple[float, int]]
) -> None:
    clock = Clock()
    pacer = capped(clock, bandwidth_limit_bytes_per_s=rate_per_s)
    released: list[tuple[float, int]] = []
    for gap_s, count in pieces:
        clock.now_s += gap_s
        released.append((clock.now_s + pacer.bytes_wait_s(count), count))
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(released)), "in the order of the bookings"
    for first, (begun_s, _) in enumerate(released):
        taken = 0
        for now_s, count in released[first + 1 :]:
            taken += count
            assert taken <= (rate_per_s * (now_s - begun_s) + max(1.0, rate_per_s)) * (1 + 1e-6) + 1e-3


# The ramp-up


def ramped(clock: Clock, workers: int) -> Pacer:
    return Pacer(TransferConfig(workers=workers), clock=clock)


def test_small_jobs_never_meet_the_ramp(clock: Clock) -> None:
    pacer = ramped(clock, workers=4)
    share = round(RAMP_START_PER_S * RAMP_BURST_S / 4)
    waits = [pacer.write_wait_s() for _ in range(2 * share)]
    assert not any(waits[:share])
    assert all(waits[round(1.05 * share) :])
    assert waits[-1] == pytest.approx(RAMP_BURST_S, rel=0.1)


def test_a_rate_in_full_use_doubles_every_twenty_minutes(clock: Clock) -> None:
    workers = 50
    pacer = ramped(clock, workers)
    while not (wait_s := pacer.write_wait_s()):
        pass  # the burst
    clock.now_s += wait_s
    rates = {}
    for minute in range(41):
        count = worked(pacer, clock, pacer.write_wait_s, 60)
        rates[minute] = count / 60 * workers
    guideline = {minute: 1_000 * 2 ** ((minute + 0.5) / 20) for minute in (0, 20, 40)}
    # The burst counts as a minute of use, hence up to 2^(1/20) = 3.5 % more; never less.
    for minute, expected in guideline.items():
        assert expected * 0.99 <= rates[minute] <= expected * 1.05, minute


def test_what_is_hardly_used_is_hardly_ramped(clock: Clock) -> None:
    workers = 50
    pacer = ramped(clock, workers)
    for _ in range(7_200):
        clock.now_s += 1
        assert pacer.write_wait_s() == 0.0
    worked(pacer, clock, pacer.write_wait_s, 90)  # uses the burst up
    rate_per_s = worked(pacer, clock, pacer.write_wait_s, 60) / 60 * workers
    assert 1_000 < rate_per_s < 1_500, "two hours at 50 a second are no two hours at 1,000"


# Threads


@pytest.fixture
def together() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Does the same in eight threads that interrupt each other as often as the interpreter can."""

    def run(work: Callable[[], None]) -> None:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield run
    sys.setswitchinterval(interval_s)


def test_no_booking_is_lost_between_threads(clock: Clock, together) -> None:
    pacer = capped(clock, max_requests_per_s=1)
    waits: list[float] = []
    together(lambda: waits.extend([pacer.request_wait_s() for _ in range(25_000)]))
    assert sorted(waits) == list(range(200_000))


def test_threads_that_are_slowed_together_decide_one_after_another(together) -> None:
    inside: list[int] = []
    most_inside = 0

    def slow_clock() -> float:
        nonlocal most_inside
        inside.append(1)
        most_inside = max(most_inside, len(inside))
        time.sleep(1e-3)
        inside.pop()
        return 0.0

    pacer = capped(slow_clock, threads=256)
    together(pacer.slowed)
    assert (pacer.limit, most_inside) == (128, 1)
