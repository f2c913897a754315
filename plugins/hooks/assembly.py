"""Assembles the engine from plain values, for the hooks, the tests, and the benchmarks.

This module does not import Airflow. Its objects must not be kept across a fork.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from transfer.accounting.progress import TransferStats
from transfer.accounting.traffic import Traffic
from transfer.backends.cloudfront.signing import UrlAuthorizer
from transfer.backends.cloudfront.source import EdgeSource
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.state import GcsListing, GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.gcs.verification import Capabilities
from transfer.backends.http.client import CurlClient
from transfer.backends.http.loop import CurlLoop, complete
from transfer.config import TransferConfig
from transfer.copying.abandoned_uploads import abort_abandoned_uploads, close_uploads
from transfer.copying.uploads import UploadRecords
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.errors import SinkUnavailable, SourceUnavailable, Stage
from transfer.event_log import EventLog
from transfer.naming import Naming
from transfer.ports import FailureSink, RequestQueue
from transfer.records.in_flight import InFlightMessages
from transfer.records.ledger import Ledger
from transfer.records.runs import open_runs
from transfer.retry import Retrier
from transfer.stopping import RECORDS_S, Grace, StopRequest
from transfer.worker.assignment import Assignment
from transfer.worker.drain import Worker


@dataclass(frozen=True, kw_only=True)
class GcsEndpoint:
    """The Cloud Storage service: its address, and the identity of requests."""

    base_url: str
    """Scheme and host without a trailing slash: `https://storage.googleapis.com`."""
    token: GoogleToken
    """Called for each request: the bearer token, or None for anonymous access."""
    user_project: str = ""
    """The project that is billed where a bucket's requester pays; empty for none."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The CloudFront distribution that objects are read through."""

    base_url: str
    """Scheme and host without a trailing slash."""
    authorizer: UrlAuthorizer


@dataclass(frozen=True, kw_only=True)
class Destination:
    """One destination bucket, with the bucket of the run's records, for one task."""

    endpoint: GcsEndpoint
    bucket: str
    state_bucket: str = ""
    """The bucket of the run's records; empty for the destination bucket."""
    config: TransferConfig = field(default_factory=TransferConfig)
    stop: threading.Event = field(default_factory=StopRequest)
    capabilities: Capabilities = field(default_factory=Capabilities)
    """The features that the service has been found to support; shared by all lanes."""

    def client(self, book: Callable[[], float] = lambda: 0.0, traffic: Traffic | None = None) -> GcsClient:
        """A client for the bucket. `book` returns how many seconds a request has to wait; `traffic` counts requests."""
        curl = CurlClient(
            unavailable=SinkUnavailable,
            stage=Stage.UPLOAD,
            timeouts=self.config.timeouts,
            book=book,
            traffic=traffic,
        )
        return GcsClient(
            curl,
            base_url=self.endpoint.base_url,
            bucket=self.bucket,
            token=self.endpoint.token,
            user_project=self.endpoint.user_project,
        )

    def retrier(self) -> Retrier:
        """A retrier of single requests, with the limits of the configuration."""
        return Retrier(self.config.retry)

    def listing(self) -> GcsListing:
        """A listing of the bucket's objects."""
        return GcsListing(self.client(), self.retrier(), self.stop)

    def state(self, prefix: str) -> GcsState:
        """The records under a prefix of their bucket. They can still be written for a while after a stop request."""
        return GcsState(self._records().client(), self.retrier(), Grace(self.stop, RECORDS_S), prefix=prefix)

    def loop(self) -> CurlLoop:
        """A new event loop that drives HTTP transfers; use one per thread."""
        return CurlLoop(self.stop)

    def sinks(self, count: int) -> list[tuple[GcsSink, Retrier]]:
        """Sinks with their retriers, one for each of `count` lanes that only write or delete."""
        return [(GcsSink(self.client()), self.retrier()) for _ in range(count)]

    def end_uploads(self, state_root: str, run: str, opening: str) -> int:
        """Abort the unfinished uploads of a run that is closing, and of all closed or removed runs; returns their number.

        `state_root` is the prefix of all runs' records, `opening` the name that the run's workers gave to their uploads.
        """
        state, retrier = self.state(state_root), self.retrier()
        sink = GcsSink(self.client(), self.capabilities)
        close_uploads(state, run, opening)
        others = open_runs(state) - {run}
        return abort_abandoned_uploads(
            state, sink, lambda step: complete(retrier.call(step), self.stop), open_runs=others
        )

    def copier(
        self, edge: Edge, share: WorkerContext, *, naming: Naming, state_prefix: str, opening: str
    ) -> ObjectCopier:
        """A copier of objects for one lane, with separate connections to both sides.

        `opening` names the opening of the run that the uploads belong to; closing it aborts them.
        """
        pacer = share.pacer
        curl = CurlClient(
            unavailable=SourceUnavailable,
            stage=Stage.DOWNLOAD,
            timeouts=self.config.timeouts,
            book=pacer.request_wait_s,
            traffic=share.traffic.edge(),
        )
        source = EdgeSource(
            curl,
            base_url=edge.base_url,
            prefix=naming.source_prefix,
            authorizer=edge.authorizer,
            wait_for=pacer.bytes_wait_s if pacer.has_bandwidth_limit else None,
        )
        retrier = Retrier(self.config.retry, on_slow=pacer.slowed, others_pass=pacer.others_pass)
        return ObjectCopier(
            source,
            GcsSink(self.client(pacer.request_wait_s, share.traffic.gcs()), self.capabilities),
            naming=naming,
            retrier=retrier,
            config=self.config,
            records=UploadRecords(GcsSink(self._records().client()), state_prefix, retrier, opening=opening),
            share=share,
        )

    def worker(
        self,
        assignment: Assignment,
        edge: Edge,
        *,
        naming: Naming,
        state_prefix: str,
        opening: str,
        slot: str,
        attempt: int,
        queue: RequestQueue,
        failures: FailureSink,
        events: EventLog,
        on_report: Callable[[TransferStats], None] = lambda stats: None,
    ) -> Worker:
        """One worker of a run. `slot` is its name among the workers, the same in each `attempt` of its task."""
        state, listing = self.state(state_prefix), assignment.listing
        return Worker(
            assignment,
            queue=queue,
            failures=failures,
            ledger=Ledger(state, listing=listing, worker=f"{slot}-{attempt}"),
            in_flight=InFlightMessages(state, listing=listing, slot=slot, attempt=attempt),
            new_copier=lambda share: self.copier(
                edge, share, naming=naming, state_prefix=state_prefix, opening=opening
            ),
            new_loop=self.loop,
            config=self.config,
            events=events,
            stop=self.stop,
            on_report=on_report,
        )

    def _records(self) -> Destination:
        return replace(self, bucket=self.state_bucket or self.bucket)
