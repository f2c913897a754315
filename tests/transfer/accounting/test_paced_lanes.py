"""How many lanes work at a time, as answers slow them down or not, and how a person sees that."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paced import Clock, capped
from transfer.accounting.pacing import HOLD_OFF_S, Pacer
from transfer.accounting.progress import Progress, TransferStats
from transfer.backends.http.loop import complete
from transfer.config import RetryPolicy, TransferConfig
from transfer.errors import EdgeBlocked, RetriesExhausted, Stage
from transfer.model import Copied, Proof
from transfer.retry import OBJECT_SPECIFIC_ATTEMPTS, Retrier
from transfer.steps import Step


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lanes_are_as_many_as_the_limit(clock: Clock) -> None:
    pacer = capped(clock, threads=3)
    assert [pacer.enter() for _ in range(5)] == [True, True, True, False, False]
    pacer.leave()
    assert [pacer.enter(), pacer.enter()] == [True, False]


def test_one_burst_of_answers_halves_once(clock: Clock) -> None:
    pacer = capped(clock, threads=64)
    limits = []
    for _ in range(8):
        for _ in range(64):
            pacer.slowed()
        limits.append(pacer.limit)
        clock.now_s += HOLD_OFF_S
    assert limits == [32, 16, 8, 4, 2, 1, 1, 1]


def test_who_works_already_is_not_thrown_out_but_none_comes_after(clock: Clock) -> None:
    pacer = capped(clock, threads=4)
    assert all(pacer.enter() for _ in range(4))
    pacer.slowed()
    for in_use in (4, 3, 2):
        assert not pacer.enter(), in_use
        pacer.leave()
    assert [pacer.enter(), pacer.enter()] == [True, False]


def test_each_limit_of_successes_gives_one_lane_back(clock: Clock) -> None:
    pacer = capped(clock, threads=8)
    pacer.slowed()
    clock.now_s += HOLD_OFF_S
    seen: Counter[int] = Counter()
    for _ in range(100):
        seen[pacer.limit] += 1
        pacer.succeeded()
    assert seen == {4: 4, 5: 5, 6: 6, 7: 7, 8: 78}


def test_successes_of_what_was_sent_before_the_decrease_do_not_undo_it(clock: Clock) -> None:
    pacer = capped(clock, threads=8)
    pacer.slowed()
    clock.now_s += HOLD_OFF_S * 0.99
    for _ in range(100):
        pacer.succeeded()
    assert pacer.limit == 4


@given(st.integers(1, 256), st.lists(st.sampled_from(["slowed", "succeeded", "later"]), max_size=300))
def test_the_limit_stays_within_its_bounds(threads: int, happened: list[str]) -> None:
    clock = Clock()
    pacer = capped(clock, threads=threads)
    for what in happened:
        if what == "later":
            clock.now_s += HOLD_OFF_S
        else:
            getattr(pacer, what)()
        assert 1 <= pacer.limit <= threads


def test_the_progress_line_says_when_lanes_are_fewer(clock: Clock) -> None:
    pacer = capped(clock, threads=64)
    progress = Progress(pacer=pacer, clock=clock)
    progress.settled(
        Copied(key="k", size_bytes=1, proof=Proof.CRC32C, crc32c="", generation=1, attempts=1, seconds=0.0)
    )
    before = TransferStats()
    assert "slowed" not in progress.stats().line(before)
    for _ in range(3):
        pacer.slowed()
        clock.now_s += HOLD_OFF_S
    assert progress.stats().line(before).endswith("; slowed to 8 of 64 lanes")
    assert (progress.stats().to_dict()["lanes"], progress.stats().to_dict()["threads"]) == (8, 64)


def blocked() -> Step[None]:
    raise EdgeBlocked("blocked", stage=Stage.DOWNLOAD, http_status=403)
    yield


@pytest.mark.parametrize(
    ("passed", "tries", "limit"),
    [
        pytest.param(lambda pacer, clock: None, 5, 8, id="none passes: a rate rule, say"),
        pytest.param(
            lambda pacer, clock: pacer.succeeded(), OBJECT_SPECIFIC_ATTEMPTS, 16, id="another has just passed"
        ),
        pytest.param(
            lambda pacer, clock: pacer.set_refusals_isolated(True),
            OBJECT_SPECIFIC_ATTEMPTS,
            16,
            id="a control has passed",
        ),
        pytest.param(
            lambda pacer, clock: (pacer.set_refusals_isolated(True), pacer.set_refusals_isolated(False)),
            5,
            8,
            id="doubt again",
        ),
        pytest.param(
            lambda pacer, clock: (pacer.succeeded(), clock.advance(HOLD_OFF_S)),
            5,
            8,
            id="another passed some time ago",
        ),
    ],
)
def test_what_the_edge_blocks_slows_down_unless_others_pass(
    clock: Clock, passed: Callable[[Pacer, Clock], object], tries: int, limit: int
) -> None:
    pacer = Pacer(TransferConfig(threads=16), clock=clock)
    retrier = Retrier(
        RetryPolicy(attempts=5, base_s=0),
        on_slow=pacer.slowed,
        others_pass=pacer.others_pass,
        clock=clock,
    )
    passed(pacer, clock)
    with pytest.raises(RetriesExhausted) as caught:
        complete(retrier.call(blocked), threading.Event())
    assert (caught.value.attempts, pacer.limit) == (tries, limit)
