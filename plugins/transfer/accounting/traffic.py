"""Counts the requests and bytes of a worker's connections where they are sent, without a lock: each lane counts for itself."""

from __future__ import annotations

from dataclasses import dataclass


class Traffic:
    """What one connection has sent and received. Written by one thread at a time; any thread may read it."""

    __slots__ = ("received_bytes", "requests")

    def __init__(self) -> None:
        self.requests = 0
        """Requests sent. One that libcurl repeats by itself, because a kept connection was closed, counts once."""
        self.received_bytes = 0
        """Bytes of bodies received, those of answers that were not used included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTraffic:
    """The requests and bytes of all connections of a worker."""

    edge_requests: int = 0
    edge_bytes: int = 0
    gcs_requests: int = 0

    @property
    def is_some(self) -> bool:
        """Whether anything was sent or received."""
        return bool(self.edge_requests or self.edge_bytes or self.gcs_requests)

    def __add__(self, other: WorkerTraffic) -> WorkerTraffic:
        return WorkerTraffic(
            edge_requests=self.edge_requests + other.edge_requests,
            edge_bytes=self.edge_bytes + other.edge_bytes,
            gcs_requests=self.gcs_requests + other.gcs_requests,
        )

    def __sub__(self, other: WorkerTraffic) -> WorkerTraffic:
        return WorkerTraffic(
            edge_requests=self.edge_requests - other.edge_requests,
            edge_bytes=self.edge_bytes - other.edge_bytes,
            gcs_requests=self.gcs_requests - other.gcs_requests,
        )


class TrafficMeter:
    """Adds up the traffic of all lanes of one worker. `edge`, `gcs` and `so_far` are thread-safe."""

    def __init__(self) -> None:
        self._edge: list[Traffic] = []
        self._gcs: list[Traffic] = []
        self._taken = WorkerTraffic()

    def edge(self) -> Traffic:
        """A counter for one more connection to the edge."""
        return _added(self._edge)

    def gcs(self) -> Traffic:
        """A counter for one more connection to Cloud Storage."""
        return _added(self._gcs)

    def so_far(self) -> WorkerTraffic:
        """The traffic of all connections until now."""
        edge = list(self._edge)
        return WorkerTraffic(
            edge_requests=sum(each.requests for each in edge),
            edge_bytes=sum(each.received_bytes for each in edge),
            gcs_requests=sum(each.requests for each in list(self._gcs)),
        )

    def untaken(self) -> WorkerTraffic:
        """The traffic since the last `take`."""
        return self.so_far() - self._taken

    def take(self, traffic: WorkerTraffic) -> None:
        """Count this traffic as recorded. Call it from one thread."""
        self._taken += traffic


def _added(counters: list[Traffic]) -> Traffic:
    counters.append(traffic := Traffic())
    return traffic
