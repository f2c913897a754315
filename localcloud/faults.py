"""Fault plans: which requests fail, how, and with what seed.

Every server of the local cloud takes a plan through its constructor and over its control path. A fault is drawn from
the seed, the request's own text and how often that request has been seen, never from a shared random stream: so a
plan does the same thing whatever order threads arrive in.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields

INSERT = "INSERT "

ACTIONS = frozenset(
    {
        "status",  # answer with `status`, `headers` and `body`, and do nothing else
        "delay",  # wait `seconds`, or (HTTP) until the plan is replaced if that is sooner, then carry on as usual
        "reset",  # break the connection (TCP RST) after `at_byte` bytes of the response body
        "truncate",  # close the connection (FIN) after `at_byte` bytes of the response body
        "stall",  # send `at_byte` bytes of the response body, then wait `seconds` before the rest
        "corrupt",  # flip one bit of the response body at `at_byte`
        "lose_answer",  # do the work, then break the connection instead of answering
        "rewrite",  # answer with `headers` replacing its headers (an empty one removes), and without what `cut` matches
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. `match` is a regular expression searched in `METHOD /raw/target` (or `Method name` for gRPC).

    Cloud Storage also asks for `INSERT bucket/name` before it makes an object, since most requests name theirs in the body.
    A pattern that begins with `INSERT ` is for that alone, and no other is.
    """

    match: str
    action: str
    probability: float = 1.0
    after: int = 0
    """Matching requests to let pass first."""
    times: int | None = None
    """The most requests to fail; None for no limit."""
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    at_byte: int = 0
    cut: str = ""
    """A regular expression; all that it matches in header values and in a body from memory is left out."""
    seconds: float = 0.0

    @property
    def is_of_insert(self) -> bool:
        """Whether it is about the names of objects that are made."""
        return self.match.startswith(INSERT)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"fault action {self.action!r} is not one of {', '.join(sorted(ACTIONS))}")
        re.compile(self.match)


class FaultPlan:
    """Decides, for each request, whether and how it fails. Thread-safe; the same seed gives the same faults."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._replaced = threading.Event()
        self.replace(faults, seed=seed)

    def replace(self, faults: Iterable[Fault], *, seed: int = 0) -> None:
        """Put another plan in place of this one, with all its counts at zero."""
        with self._lock:
            self._faults = [(fault, re.compile(fault.match)) for fault in faults]
            self._seed = seed
            self._matched: Counter[int] = Counter()
            self._hits: Counter[int] = Counter()
            self._seen: Counter[str] = Counter()
            self._replaced.set()
            self._replaced = threading.Event()

    def decide(self, request: str) -> Fault | None:
        """The fault for this request, or None. The first matching fault of the plan that strikes wins."""
        if not self._faults:
            return None
        with self._lock:
            occurrence = self._seen[request]
            self._seen[request] += 1
            for index, (fault, pattern) in enumerate(self._faults):
                if fault.is_of_insert != request.startswith(INSERT) or not pattern.search(request):
                    continue
                self._matched[index] += 1
                if self._matched[index] <= fault.after:
                    continue
                if fault.times is not None and self._hits[index] >= fault.times:
                    continue
                draw = zlib.crc32(f"{self._seed}/{index}/{occurrence}/{request}".encode("utf-8", "replace")) / 2**32
                if draw < fault.probability:
                    self._hits[index] += 1
                    return fault
        return None

    def delay(self, fault: Fault) -> None:
        """Wait as the fault requires, but no longer than it is part of the plan: replacing the plan ends the wait."""
        with self._lock:
            replaced = self._replaced
            is_planned = any(fault is item for item, _ in self._faults)
        if is_planned:
            replaced.wait(fault.seconds)

    def to_json(self) -> str:
        """The plan and how often each fault has struck."""
        with self._lock:
            faults = [asdict(fault) | {"hits": self._hits[index]} for index, (fault, _) in enumerate(self._faults)]
            return json.dumps({"seed": self._seed, "faults": faults})

    def load_json(self, text: str | bytes) -> None:
        """Replace the plan by `{"seed": 1, "faults": [{"match": …, "action": …}]}`. Raises ValueError on a bad plan."""
        known = {item.name for item in fields(Fault)}
        document = json.loads(text)
        faults = []
        for entry in document.get("faults", []):
            unknown = set(entry) - known - {"hits"}
            if unknown:
                raise ValueError(f"unknown fault fields: {', '.join(sorted(unknown))}")
            faults.append(Fault(**{name: value for name, value in entry.items() if name in known}))
        self.replace(faults, seed=document.get("seed", 0))
