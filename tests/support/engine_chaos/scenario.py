"""The scenario of one seed: objects, what is at the destination, who interferes, and what fails."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Story(StrEnum):
    """What kind of run the storm comes over."""

    TRANSFER = "transfer"
    TWO_RUNS = "two runs"
    """Two transfers at once to the same destination."""
    PLAN = "plan"
    """A plan, and then a transfer of what it planned."""
    VERIFY = "verify"
    """A comparison, and then a transfer of what it found missing or different."""
    ENDED = "ended manually"
    """Closed while its workers are at work, as when a person marks the run as failed."""


class There(StrEnum):
    """What is at the destination under a listed object's name before anything runs."""

    NOTHING = "nothing"
    EQUAL = "equal"
    """The same bytes and metadata, written by somebody else: without our labels."""
    STALE = "stale"
    """An earlier version's bytes of another size."""
    SAME_SIZE = "same size"
    """Other bytes of the same size."""
    FORGED = "forged label"
    """Other bytes of the same size, under a label that says they were copied from the listed ETag."""


class Way(StrEnum):
    """How a process is interfered with."""

    KILL = "kill"
    TERM = "term"
    STOP = "stop"
    """Stopped for longer than a lease, while its task waits for it."""
    ZOMBIE = "zombie"
    """Stopped for so long that its task is tried again; it continues beside its successor for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object of the source."""

    key: str
    size_bytes: int
    part_bytes: int
    """0 for a single PUT."""
    arguments: dict[str, object]
    """As boto3's put_object takes them: metadata, content type, storage class, …"""
    there: There


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that happens when a server has received a number of requests of a kind: see `Trigger`."""

    what: str
    """`replace`, `remove`, `add`, `retouch` at the source, `foreign write`, `foreign delete`, or a Way."""
    on: str
    """A key, or the task whose process it is."""
    index: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """`deed` is done when `server` gets its `count`th request that matches, while `task` runs."""

    server: str
    match: str
    count: int
    task: str
    deed: Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that happens in one seed."""

    seed: int
    story: Story
    overwrite: str
    delete: str
    source_prefix: str
    destination_prefix: str
    items: tuple[Item, ...]
    neighbours: tuple[str, ...]
    """Keys outside the source prefix."""
    extraneous: tuple[str, ...]
    """Names under the destination prefix that the source does not have."""
    strangers: tuple[str, ...]
    """Names outside the destination prefix."""
    faults: dict[str, tuple[dict[str, object], ...]]
    """By server."""
    duplicates: float
    reorder: bool
    triggers: tuple[Trigger, ...]
    workers: int
    threads: int
    recovery: str
    """How the person repairs a red run: `replay` or `only_failed`."""

    def name_of(self, key: str) -> str:
        """A key's name at the destination."""
        return self.destination_prefix + key[len(self.source_prefix) :]
