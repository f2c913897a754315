"""How fast a worker goes: how many lanes work, and how long each request, write and byte has to wait.

Lanes are driven by one or two threads, so nothing here blocks: a method says how many seconds to wait, and the lane yields
a `Pause` of them. A wait is a booking: whoever asked must wait it out, and then need not ask again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from transfer.config import TransferConfig

BURST_S = 1.0
"""Seconds of a capped rate that may be made up for after an idle time."""
HOLD_OFF_S = 2.0
"""After a decrease, answers to what was sent before it tell nothing new: they neither shrink the limit again nor grow it."""
RAMP_START_PER_S = 1000.0
"""Object writes a second that a bucket takes at first, of all workers together. Cloud Storage, "Request rate and access
distribution guidelines": below about this no ramp-up is needed; above it a rate may at most double in 20 minutes."""
RAMP_DOUBLING_S = 20 * 60.0
"""The same page."""
RAMP_BURST_S = 60.0
"""Seconds of the first rate written at full speed before the ramp binds: a bucket takes short bursts, and answers 429 to
what it does not take, which is tried again on fewer lanes. So small jobs never meet the ramp."""


class Pacer:
    """The pace of one worker, shared by all its lanes. Thread-safe.

    Lanes follow AIMD: an answer that says slow down halves the limit, so many successes as the limit give one lane back.
    What has no cap costs an attribute's look-up.

    Args:
        config: `threads` is the most lanes; the caps and the ramp-up, which gets one share of `workers`.
        clock: seconds, monotonic.
    """

    def __init__(self, config: TransferConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.threads = config.threads
        """The most lanes there can be."""
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = config.threads
        self._in_use = 0
        self._successes = 0
        self._held_until = -math.inf
        self._passed_at_s = -math.inf
        self._is_acquitted = False
        self._requests = _capped(config.max_requests_per_s, clock)
        self._bytes = _capped(config.bandwidth_limit_bytes_per_s, clock)
        share_per_s = RAMP_START_PER_S / config.workers
        ramp = _Schedule(share_per_s, burst=share_per_s * RAMP_BURST_S, doubling_s=RAMP_DOUBLING_S, clock=clock)
        self._writes = ramp if config.is_ramped else None

    @property
    def has_bandwidth_limit(self) -> bool:
        """Whether bytes are booked at all."""
        return self._bytes is not None

    @property
    def limit(self) -> int:
        """How many lanes may work now, 1 to `threads`."""
        return self._limit

    def enter(self) -> bool:
        """Take a place, if one more lane may begin now."""
        with self._lock:
            if self._in_use >= self._limit:
                return False
            self._in_use += 1
            return True

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._in_use -= 1

    def request_wait_s(self) -> float:
        """Book one request, to either side; seconds to wait before it is sent."""
        return 0.0 if self._requests is None else self._requests.wait_s(1)

    def bytes_wait_s(self, count: int) -> float:
        """Book bytes that were read, or are about to be; seconds until the bandwidth cap has room for the next ones."""
        return 0.0 if self._bytes is None else self._bytes.wait_s(count)

    def write_wait_s(self) -> float:
        """Book one object write to the bucket; seconds to wait before it is sent."""
        return 0.0 if self._writes is None else self._writes.wait_s(1)

    def slowed(self) -> None:
        """An answer said slow down (429, 503, SlowDown), or none came in time: half the lanes, once for a burst of them."""
        with self._lock:
            now = self._clock()
            if now >= self._held_until:
                self._held_until = now + HOLD_OFF_S
                self._limit = max(1, self._limit // 2)
                self._successes = 0

    def forgiven(self, *, is_so: bool) -> None:
        """Whether a control has shown that refusals in a row are those objects' own. It is so until there is doubt again."""
        self._is_acquitted = is_so

    def others_pass(self) -> bool:
        """Whether what the edge blocks now is single objects: others have got through just now, or a control has.

        A rate rule, which asks to slow down, blocks all alike (AWS WAF, "Rate-based rule statement").
        """
        return self._is_acquitted or self._clock() - self._passed_at_s < HOLD_OFF_S

    def succeeded(self) -> None:
        """An object or a part got through."""
        self._passed_at_s = self._clock()
        # As nearly always. Read without the lock, since one success more or less changes nothing.
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
    """A rate, kept by booking ahead (virtual scheduling, as in the ATM Forum's generic cell rate algorithm). Thread-safe.

    Each booking moves `due`, when everything booked so far is paid for. Waits therefore come in the order of the bookings and
    one after another, and a booking may be larger than the burst.

    The rate grows by what was booked, not by the clock: so much for each unit that a rate in full use doubles every
    `doubling_s`, and one that is not used does not. What idles for an hour has warmed nothing up.
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
        """Book so many; seconds from now until they are paid for."""
        with self._lock:
            now = self._clock()
            self._due = max(self._due, now - self._burst / self._rate_per_s) + count / self._rate_per_s
            self._rate_per_s += count * self._growth_per_s
            return max(0.0, self._due - now)


def _capped(rate_per_s: float | None, clock: Callable[[], float]) -> _Schedule | None:
    # At least one at once: a rate below one a second must not make the first wait.
    return None if rate_per_s is None else _Schedule(rate_per_s, burst=max(1.0, rate_per_s * BURST_S), clock=clock)
