"""Whether this machine's clock agrees with those of the servers: signatures and tokens depend on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from transfer.preflight.findings import Finding, Mark, passed

WARN_SKEW_S = 30.0
"""A difference that is worth a warning."""
MAX_SKEW_S = 300.0
"""Google gives no tokens to a clock that is further off; AWS accepts no signature from one that is 15 minutes off."""


class ClockCheck:
    """Collects the time of each server from answers to other checks. Use from one thread.

    Args:
        clock: Unix time of this machine, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.signature_life_s = math.inf
        """For how long a signed URL is valid; infinite when nothing is signed."""
        self._clock = clock
        self._ahead_s: dict[str, float] = {}
        """How far each server's clock is ahead of this machine's."""

    def note(self, server: str, date: str, age: str = "") -> None:
        """Take in the headers `Date` and `Age` of an answer: an answer from a cache has the date at which it was generated."""
        try:
            at_s = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self._ahead_s[server] = at_s + (int(age) if age.isdigit() else 0) - self._clock()

    def finding(self) -> Finding:
        """Compare this machine's clock with that of the server which differs most."""
        check = "compare clocks"
        if not self._ahead_s:
            return Finding(mark=Mark.NOT_MADE, check=check, detail="no server reported its time")
        server, ahead_s = max(self._ahead_s.items(), key=lambda pair: abs(pair[1]))
        if abs(ahead_s) <= WARN_SKEW_S:
            return passed(check)
        relation = "behind" if ahead_s > 0 else "ahead of"
        detail = f"this machine's clock is {abs(ahead_s):,.0f} s {relation} that of {server}: set it by NTP"
        # A URL signed by a clock that is behind expires early, by as much.
        is_fatal = abs(ahead_s) > MAX_SKEW_S or ahead_s > self.signature_life_s
        return Finding(mark=Mark.FAILED if is_fatal else Mark.WARNED, check=check, detail=detail)
