"""The parts of a delivery: a message under lease, a subscription's queue of them, a stream's flow control.

Not thread-safe: they live on the server's event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from localcloud.pubsub.store import Backlog, Message


@dataclass(slots=True, eq=False)
class Stream:
    """The flow control of one streaming pull; 0 means no limit."""

    ack_deadline_s: int
    max_messages: int
    max_bytes: int
    messages: int = 0
    bytes: int = 0

    def has_room(self) -> bool:
        """Whether one more message may be outstanding."""
        fits = self.max_messages <= 0 or self.messages < self.max_messages
        return fits and (self.max_bytes <= 0 or self.bytes < self.max_bytes)


@dataclass(slots=True, eq=False)
class Delivery:
    """One message in delivery to one subscription's clients."""

    message: Message
    attempts: int = 0
    is_duplicate: bool = False
    ack_id: str = ""
    deadline_s: float = 0.0
    stream: Stream | None = None


@dataclass(slots=True, eq=False)
class Queue:
    """A subscription's deliveries: waiting, leased, or held back until a time."""

    backlog: Backlog
    ready: deque[Delivery] = field(default_factory=deque)
    leases: dict[str, Delivery] = field(default_factory=dict)
    expiries: list[tuple[float, str]] = field(default_factory=list)
    """A heap of lease ends; entries of ended or extended leases are skipped."""
    delayed: list[tuple[float, int, Delivery]] = field(default_factory=list)
    """A heap of backoffs."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a message may have become ready, or a stream may have room again."""
    streams: int = 0
    """Streaming pulls that are open."""
    used_s: float = 0.0
    """When somebody last consumed from it or changed it: it expires when that is long ago."""

    def end_lease(self, ack_id: str) -> Delivery | None:
        """Take the lease away from its holder."""
        delivery = self.leases.pop(ack_id, None)
        if delivery is not None and delivery.stream is not None:
            delivery.stream.messages -= 1
            delivery.stream.bytes -= len(delivery.message.data)
            delivery.stream = None
            self.wake.set()
        return delivery
