"""What a run was for and what it took, as report.json has it: endpoints, times, rates, requests and costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from transfer.accounting.traffic import WorkerTraffic
from transfer.planning.costs import costs_of
from transfer.planning.prices import Prices
from transfer.planning.usage import Usage

MIB = 1024**2
COMPUTED = ("gcs_class_a", "gcs_class_b", "s3_list", "costs")
"""The figures that always follow from what was copied and listed, by the rules of the plan (`transfer.planning.usage`)."""


class Phase(StrEnum):
    """What a run did in a span of its time."""

    LISTING = "listing"
    COPYING = "copying"
    """From the end of the listing to the first judgement."""
    JUDGING = "judging"
    SECOND_PASS = "second_pass"  # noqa: S105 - no password
    """From the first judgement to the second one, while objects are copied again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """What a run was for, and what it took. A field that is not known is empty or 0."""

    source: str = ""
    """URI of the source prefix: `s3://bucket/prefix`."""
    destination: str = ""
    """URI of the destination prefix: `gs://bucket/prefix`."""
    day: str = ""
    """The date that the run is for, and its origin."""
    mode: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The parameters that have another value than the form's default."""
    opened_at: str = ""
    """When the run was opened last; RFC 3339, UTC."""
    ended_at: str = ""
    """When this report was written; RFC 3339, UTC."""
    seconds: float = 0.0
    """From `opened_at` to `ended_at`."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase, waiting for Airflow included; they add up to `seconds`."""
    mib_per_s: float = 0.0
    objects_per_s: float = 0.0
    """What was copied, over the phases in which objects are copied."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests by kind: `edge`, `gcs`, `gcs_class_a`, `gcs_class_b`, `s3_list`, and `pubsub_messages`."""
    edge_bytes: int = 0
    """Bytes of bodies that the edge sent."""
    computed: Sequence[str] = ()
    """The names of the figures that are computed from what was copied and listed. All others are counted where they arise."""
    costs: Mapping[str, Any] = field(default_factory=dict)
    """The costs of the run, as in plan.json; empty without prices."""
    prices_as_of: str = ""
    prices_scope: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields in report.json."""
        return asdict(self) | {"computed": [*self.computed]}

    @classmethod
    def taken_from(cls, fields: dict[str, Any]) -> RunDetails:
        """The details among the fields of a report, which are removed from it. A report of an earlier version has none.

        Raises TypeError or ValueError for a field that is something else.
        """
        found = {name: fields.pop(name) for name in cls.__dataclass_fields__ if name in fields}
        none = cls()
        for name, value in found.items():
            if not _is_like(value, getattr(none, name)):
                raise TypeError(f"{name} is {value!r:.80}")
        if found.get("opened_at"):
            datetime.fromisoformat(found["opened_at"])
        for name in ("phases", "requests"):
            if not all(map(_is_number, found.get(name, {}).values())):
                raise TypeError(f"{name} is {found[name]!r:.80}")
        if not _are_costs(found.get("costs", {})):
            raise TypeError(f"costs is {found['costs']!r:.80}")
        return cls(**found | {"computed": tuple(found.get("computed", ()))})

    def until(self, ended_at_s: float) -> RunDetails:
        """The same run, some time later: it was being judged until then."""
        if not self.opened_at:
            return self
        opened_at_s = datetime.fromisoformat(self.opened_at).timestamp()
        seconds = round(max(self.seconds, ended_at_s - opened_at_s), 1)
        judging_s = self.phases.get(Phase.JUDGING, 0.0) + seconds - self.seconds
        return replace(
            self,
            ended_at=_rfc3339(opened_at_s + seconds),
            seconds=seconds,
            phases={**self.phases, str(Phase.JUDGING): round(judging_s, 1)},
        )


class Copies(Protocol):
    """What a run has copied."""

    @property
    def copied(self) -> int:
        """How many objects."""

    @property
    def bytes_copied(self) -> int:
        """Their total size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the tasks of a run know of it, from which its details follow.

    Args:
        spans: the phases in their order, each with the Unix time at which it ended; the present phase comes after them.
        is_listed_in_s3: whether S3 was listed, and not a file or an earlier run's records in its place.
        messages: how many messages were published; `message_bytes` are billed for them.
        prices: the prices to compute costs with; None for no costs.
        clock: Unix time in seconds.
    """

    about: RunDetails
    """The fields that are known from the beginning."""
    opened_at_s: float
    spans: Sequence[tuple[Phase, float]] = ()
    is_listed_in_s3: bool
    messages: int = 0
    message_bytes: int = 0
    prices: Prices | None = None
    clock: Callable[[], float] = time.time

    def with_messages(self, messages: int, message_bytes: int) -> RunFacts:
        """The same with further messages."""
        return replace(self, messages=self.messages + messages, message_bytes=self.message_bytes + message_bytes)

    def details(self, result: Copies, *, usage: Usage, traffic: WorkerTraffic | None) -> RunDetails:
        """The details at the end of a judgement.

        `usage` is computed from what was copied; `traffic` was counted by the workers, and None where they did not count.
        """
        spans = [*self.spans, (Phase.JUDGING, self.clock())]
        phases: dict[str, float] = {}
        moment_s = self.opened_at_s
        for phase, end_s in spans:  # a machine whose clock is behind makes a phase 0
            phases[phase] = phases.get(phase, 0.0) + max(0.0, end_s - moment_s)
            moment_s = max(moment_s, end_s)
        copying_s = phases.get(Phase.COPYING, 0.0) + phases.get(Phase.SECOND_PASS, 0.0)
        if traffic is not None:
            usage = replace(usage, edge_requests=traffic.edge_requests, edge_bytes=traffic.edge_bytes)
        costs = costs_of(usage, self.prices) if self.prices else None
        requests = {
            "edge": usage.edge_requests,
            "gcs_class_a": sum(usage.class_a.values()),
            "gcs_class_b": sum(usage.class_b.values()),
            "s3_list": usage.s3_list_requests,
            "pubsub_messages": self.messages,
        }
        return replace(
            self.about,
            opened_at=_rfc3339(self.opened_at_s),
            ended_at=_rfc3339(moment_s),
            seconds=round(moment_s - self.opened_at_s, 1),
            phases={str(phase): round(seconds, 1) for phase, seconds in phases.items()},
            mib_per_s=round(result.bytes_copied / MIB / copying_s, 3) if copying_s else 0.0,
            objects_per_s=round(result.copied / copying_s, 3) if copying_s else 0.0,
            requests=requests | ({} if traffic is None else {"gcs": traffic.gcs_requests}),
            edge_bytes=usage.edge_bytes,
            computed=(*COMPUTED, *(("edge", "edge_bytes") if traffic is None else ())),
            costs=costs.to_dict() if costs else {},
            prices_as_of=self.prices.as_of if self.prices else "",
            prices_scope=self.prices.scope if self.prices else "",
        )


def _is_like(value: object, example: object) -> bool:
    """Whether a JSON value has the type of an example."""
    if isinstance(example, str):
        return isinstance(value, str)
    if isinstance(example, Mapping):
        return isinstance(value, dict)
    if isinstance(example, tuple):
        return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    return _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_costs(costs: Mapping[str, Any]) -> bool:
    """Whether an object has what `Costs.to_dict` makes, or nothing."""
    ways = costs.get("ways", [])
    return (
        isinstance(ways, list)
        and bool(ways) is bool(costs)
        and all(isinstance(way, dict) and isinstance(way.get("way"), str) for way in ways)
        and all(_is_number(way.get(name)) for way in ways for name in ("usd", "months"))
        and (not costs or _is_number(costs.get("common_usd")))
    )


def _rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
