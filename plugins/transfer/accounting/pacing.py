"""Limits the pace of a worker: the number of working lanes, and the rates of requests, writes and bytes.

Lanes share one or two threads, so no method blocks: it returns the seconds to wait, and the lane yields a `Pause`. Each call
is a reservation: the caller has to wait that long, and need not ask again afterwards.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from transfer.config import TransferConfig

BURST_S = 1.0
"""The seconds of a capped rate that may be used at once after an idle time."""
HOLD_OFF_S = 2.0
"""The seconds after a decrease in which responses, being to earlier requests, do not change the limit again."""
RAMP_START_PER_S = 1000.0
"""The object writes per second, of all workers together, that a bucket accepts without ramp-up.

Above this rate, the rate may at most double every 20 minutes (Cloud Storage, "Request rate and access distribution guidelines").
"""
RAMP_DOUBLING_S = 20 * 60.0
"""The seconds in which the rate of writes may double (Cloud Storage, "Request rate and access distribution guidelines")."""
RAMP_BURST_S = 60.0
"""The seconds of the first rate that may be written at full speed before the ramp-up limits it; small runs never reach it.

A bucket accepts short bursts. It answers 429 to the writes that it does not accept, which are repeated with fewer lanes.
"""


class Pacer:
    """The pace of one worker, shared by all its lanes. Thread-safe.

    The number of lanes follows AIMD (additive increase, multiplicative decrease): a response that asks to slow down halves
    the limit, and as many successes as the limit add one lane. A rate without a cap costs only an attribute look-up.

    Args:
        config: `threads` is the largest number of lanes; the caps; and the ramp-up, which is shared by `workers`.
        clock: returns monotonic seconds.
    """

    def __init__(self, config: TransferConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.threads = config.threads
        """The largest number of lanes."""
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = config.threads
        self._in_use = 0
        self._successes = 0
        self._held_until = -math.inf
        self._passed_at_s = -math.inf
        self._is_control_passing = False
        self._requests = _capped(config.max_requests_per_s, clock)
        self._bytes = _capped(config.bandwidth_limit_bytes_per_s, clock)
        share_per_s = RAMP_START_PER_S / config.workers
        ramp = _Schedule(share_per_s, burst=share_per_s * RAMP_BURST_S, doubling_s=RAMP_DOUBLING_S, clock=clock)
        self._writes = ramp if config.is_ramped else None

    @property
    def has_bandwidth_limit(self) -> bool:
        """Whether the bandwidth is capped, so that bytes have to be booked."""
        return self._bytes is not None

    @property
    def limit(self) -> int:
        """The number of lanes that may work now, 1 to `threads`."""
        return self._limit

    def enter(self) -> bool:
        """Count one more working lane, if the limit allows it; return whether it does."""
        with self._lock:
            if self._in_use >= self._limit:
                return False
            self._in_use += 1
            return True

    def leave(self) -> None:
        """Count one working lane less, after `enter` returned True."""
        with self._lock:
            self._in_use -= 1

    def request_wait_s(self) -> float:
        """Book one request to the source or the destination; return the seconds to wait before sending it."""
        return 0.0 if self._requests is None else self._requests.wait_s(1)

    def bytes_wait_s(self, count: int) -> float:
        """Book bytes that are read from the edge; return the seconds to wait before reading more."""
        return 0.0 if self._bytes is None else self._bytes.wait_s(count)

    def write_wait_s(self) -> float:
        """Book one object write to the bucket; return the seconds to wait before sending it."""
        return 0.0 if self._writes is None else self._writes.wait_s(1)

    def slowed(self) -> None:
        """Halve the lanes after a response that asks to slow down (429, 503) or a timeout, once per HOLD_OFF_S."""
        with self._lock:
            now = self._clock()
            if now >= self._held_until:
                self._held_until = now + HOLD_OFF_S
                self._limit = max(1, self._limit // 2)
                self._successes = 0

    def set_refusals_isolated(self, is_isolated: bool) -> None:
        """Set whether a control request has shown that consecutive refusals concern only those objects.

        It applies until the next call.
        """
        self._is_control_passing = is_isolated

    def others_pass(self) -> bool:
        """Whether the edge blocks only single objects now, because others, or a control request, have just succeeded.

        A rate rule, which asks to slow down, blocks all requests (AWS WAF, "Rate-based rule statement").
        """
        return self._is_control_passing or self._clock() - self._passed_at_s < HOLD_OFF_S

    def succeeded(self) -> None:
        """Count the success of an object or a part, which may add a lane."""
        self._passed_at_s = self._clock()
        # The usual case. It is read without the lock, because one success more or less does not matter.
        if self._limit == self.threads:
            return
        with self._lock:
            if self._limit == self.threads or self._clock() < self._held_until:
                return
            self._successes += 1
            if self._successes >= self._limit:
                self._limit += 1
                self._successes = 0


class _Schedule:
    """Limits a rate by booking ahead (virtual scheduling, as in the ATM Forum's generic cell rate algorithm). Thread-safe.

    Each booking advances `_due`, the time at which all bookings so far are within the rate. Waits therefore follow one another
    in the order of the bookings, and a booking may be larger than the burst.

    The rate grows with the booked units, not with time: a fully used rate doubles every `doubling_s`, and an unused one does
    not grow, because an idle worker does not warm up the bucket.
    """

    def __init__(
        self, rate_per_s: float, *, burst: float, clock: Callable[[], float], doubling_s: float = math.inf
    ) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._growth_per_s = math.log(2) / doubling_s
        self._clock = clock
        self._due = -math.inf
        self._lock = threading.Lock()

    def wait_s(self, count: int) -> float:
        """Book `count` units; return the seconds to wait until they are within the rate."""
        with self._lock:
            now = self._clock()
            self._due = max(self._due, now - self._burst / self._rate_per_s) + count / self._rate_per_s
            self._rate_per_s += count * self._growth_per_s
            return max(0.0, self._due - now)


def _capped(rate_per_s: float | None, clock: Callable[[], float]) -> _Schedule | None:
    # The burst is at least 1, so that the first unit does not wait when the rate is below 1 per second.
    return None if rate_per_s is None else _Schedule(rate_per_s, burst=max(1.0, rate_per_s * BURST_S), clock=clock)
