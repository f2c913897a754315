"""Engine objects made from Airflow connections: what an operator hands to `transfer`.

Each function makes what one task needs; nothing here may be kept across a fork, and each lane gets handles of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hooks.cloudfront import CloudfrontHook
from hooks.gcs import GCSSinkHook
from hooks.pubsub import PubSubQueueHook
from hooks.s3 import S3SourceHook
from transfer.stopping import NEVER, RECORDS_S, Grace, Stop, StopRequest

if TYPE_CHECKING:
    from transfer.backends.gcs.client import GcsClient
    from transfer.backends.gcs.sink import GcsSink
    from transfer.backends.gcs.state import GcsListing, GcsState
    from transfer.backends.http.loop import CurlLoop
    from transfer.backends.pubsub.topics import PubSubFailures, PubSubQueue, PubSubRequests
    from transfer.backends.s3.keys import S3Keys
    from transfer.backends.sample_readers import SampleReaders
    from transfer.config import TransferConfig
    from transfer.copying.whole import ObjectCopier, WorkerContext
    from transfer.event_log import EventLog
    from transfer.model import ObjectMeta
    from transfer.naming import Naming
    from transfer.retry import Retrier


def source_listing(
    aws_conn_id: str, bucket: str, prefix: str, *, after: str = "", before: str = "", stop: Stop = NEVER
) -> Iterator[ObjectMeta]:
    """The source bucket's objects under a prefix, behind the key `after` if there is one, in byte order.

    `before` is the key that a listing had just before that one.
    """
    from transfer.backends.s3.listing import list_objects

    client = S3SourceHook(aws_conn_id).get_conn()
    return list_objects(client, bucket, prefix, after=after, before=before, stop=stop)


def source_keys(aws_conn_id: str, bucket: str, *, stop: Stop = NEVER) -> S3Keys:
    """Asks the source bucket for single keys."""
    from transfer.backends.s3.files import LANES
    from transfer.backends.s3.keys import S3Keys

    return S3Keys(S3SourceHook(aws_conn_id).get_conn(connections=LANES), bucket, stop=stop)


def sample_reader(aws_conn_id: str, source_bucket: str, gcp_conn_id: str, destination_bucket: str) -> SampleReaders:
    """Reads both sides for a sample, by other means than those that copy."""
    from transfer.backends.sample_readers import SampleReaders
    from transfer.reconciliation.sampling import LANES

    s3, google = S3SourceHook(aws_conn_id).get_conn(connections=LANES), GCSSinkHook(gcp_conn_id)
    return SampleReaders(
        s3,
        source_bucket,
        lambda: GCSSinkHook(gcp_conn_id).get_conn(),
        destination_bucket,
        user_project=google.user_project,
    )


@dataclass(frozen=True, kw_only=True)
class Destination:
    """One destination bucket for one task."""

    gcp_conn_id: str
    bucket: str
    config: TransferConfig
    stop: StopRequest
    state_bucket: str = ""
    """Where the run's own records are; empty for the destination bucket."""

    @classmethod
    def of_records(
        cls, gcp_conn_id: str, bucket: str, state_bucket: str, *, stop: StopRequest | None = None
    ) -> Destination:
        """For a task that moves no objects; without `stop`, for one that nothing stops."""
        from transfer.config import TransferConfig

        return cls(
            gcp_conn_id=gcp_conn_id,
            bucket=bucket,
            state_bucket=state_bucket,
            config=TransferConfig(),
            stop=stop or StopRequest(),
        )

    def client(self) -> GcsClient:
        """Single requests to the bucket."""
        return self._client_factory()()

    def listing(self) -> GcsListing:
        """Pages through the bucket's objects."""
        from transfer.backends.gcs.state import GcsListing
        from transfer.retry import Retrier

        return GcsListing(self.client(), Retrier(self.config.retry), self.stop)

    def state(self, prefix: str) -> GcsState:
        """The run's own records under a prefix of their bucket. They can still be written for a while when the task stops."""
        from transfer.backends.gcs.state import GcsState
        from transfer.retry import Retrier

        end = Grace(self.stop, RECORDS_S)
        return GcsState(self._of_state().client(), Retrier(self.config.retry), end, prefix=prefix)

    def end_uploads(self, state_root: str, run: str, opening: str) -> int:
        """End the unfinished uploads to this bucket of a run that closes, and of all that are closed or gone; how many.

        `state_root` is the prefix of all runs' records, `opening` what the run's workers were given.
        """
        from transfer.backends.gcs.sink import GcsSink
        from transfer.backends.gcs.verification import Capabilities
        from transfer.backends.http.loop import complete
        from transfer.copying.abandoned_uploads import abort_abandoned_uploads, close_uploads
        from transfer.records.runs import open_runs
        from transfer.retry import Retrier

        state, retrier = self.state(state_root), Retrier(self.config.retry)
        sink = GcsSink(self._client_factory()(), Capabilities())
        close_uploads(state, run, opening)
        going_on = open_runs(state) - {run}
        return abort_abandoned_uploads(
            state, sink, lambda step: complete(retrier.call(step), self.stop), open_runs=going_on
        )

    def _of_state(self) -> Destination:
        return replace(self, bucket=self.state_bucket or self.bucket)

    def loop(self) -> CurlLoop:
        """Drives transfers; one a thread."""
        from transfer.backends.http.loop import CurlLoop

        return CurlLoop(self.stop)

    def sinks(self, count: int) -> list[tuple[GcsSink, Retrier]]:
        """For lanes that only write or delete, one a lane."""
        from transfer.backends.gcs.sink import GcsSink
        from transfer.retry import Retrier

        new_client = self._client_factory()
        return [(GcsSink(new_client()), Retrier(self.config.retry)) for _ in range(count)]

    def mover_factory(
        self, cloudfront_conn_id: str, *, naming: Naming, state_prefix: str, opening: str
    ) -> Callable[[WorkerContext], ObjectCopier]:
        """Makes one mover a lane; the signature and the token are shared by all of them.

        `opening` is what closing this opening of the run will name.
        """
        from transfer.backends.cloudfront.source import EdgeSource
        from transfer.backends.gcs.sink import GcsSink
        from transfer.backends.gcs.verification import Capabilities
        from transfer.backends.http.client import CurlClient
        from transfer.copying.uploads import UploadRecords
        from transfer.copying.whole import ObjectCopier
        from transfer.errors import SourceUnavailable, Stage
        from transfer.retry import Retrier

        edge = CloudfrontHook(cloudfront_conn_id)
        base_url, authorizer = edge.base_url, edge.get_signer()
        new_client, new_record_client = self._client_factory(), self._of_state()._client_factory()
        capabilities = Capabilities()

        def new_mover(share: WorkerContext) -> ObjectCopier:
            pacer = share.pacer
            curl = CurlClient(
                unavailable=SourceUnavailable,
                stage=Stage.DOWNLOAD,
                timeouts=self.config.timeouts,
                book=pacer.request_wait_s,
            )
            source = EdgeSource(
                curl,
                base_url=base_url,
                prefix=naming.source_prefix,
                authorizer=authorizer,
                wait_for=pacer.bytes_wait_s if pacer.has_bandwidth_limit else None,
            )
            sink = GcsSink(new_client(pacer.request_wait_s), capabilities)
            retrier = Retrier(self.config.retry, on_slow=pacer.slowed, others_pass=pacer.others_pass)
            return ObjectCopier(
                source,
                sink,
                naming=naming,
                retrier=retrier,
                config=self.config,
                records=UploadRecords(GcsSink(new_record_client()), state_prefix, retrier, opening=opening),
                share=share,
            )

        return new_mover

    def _client_factory(self) -> Callable[..., GcsClient]:
        from transfer.backends.gcs.client import GcsClient
        from transfer.backends.http.client import CurlClient
        from transfer.errors import SinkUnavailable, Stage

        hook = GCSSinkHook(self.gcp_conn_id)
        endpoint, user_project = hook.get_endpoint(), hook.user_project

        def new_client(book: Callable[[], float] = lambda: 0.0) -> GcsClient:
            curl = CurlClient(unavailable=SinkUnavailable, stage=Stage.UPLOAD, timeouts=self.config.timeouts, book=book)
            return GcsClient(
                curl,
                base_url=endpoint.base_url,
                bucket=self.bucket,
                token=endpoint.token,
                user_project=user_project,
            )

        return new_client


@dataclass(frozen=True, kw_only=True)
class Messaging:
    """The topics and subscriptions of one Google Cloud project."""

    gcp_conn_id: str
    project: str | None
    stop: Stop = NEVER

    def requests(self, topic: str, events: EventLog) -> PubSubRequests:
        """Publishes transfer requests."""
        from transfer.backends.pubsub.topics import PubSubRequests

        hook = PubSubQueueHook(self.gcp_conn_id)
        return PubSubRequests(hook.get_publisher(), self.topic_path(topic), events, stop=self.stop)

    def failures(self, topic: str, *, run_id: str) -> PubSubFailures:
        """Publishes failure records."""
        from transfer.backends.pubsub.topics import PubSubFailures

        hook = PubSubQueueHook(self.gcp_conn_id)
        return PubSubFailures(hook.get_publisher(), self.topic_path(topic), run_id=run_id, stop=self.stop)

    def queue(self, subscription: str, *, ack_deadline_s: int) -> PubSubQueue:
        """Pulls from a subscription."""
        from transfer.backends.pubsub.topics import PubSubQueue

        hook = PubSubQueueHook(self.gcp_conn_id)
        return PubSubQueue(
            hook.get_subscriber(),
            self.subscription_path(subscription),
            ack_deadline_s=ack_deadline_s,
            stop=self.stop,
        )

    def open(self, subscription: str, *, topic: str, run_id: str, ack_deadline_s: int) -> None:
        """Create the topic if need be, and a new subscription for one run; one left over of that name is replaced."""
        from transfer.backends.pubsub.topics import create_subscription, ensure_topic

        hook = PubSubQueueHook(self.gcp_conn_id)
        ensure_topic(hook.get_publisher(), self.topic_path(topic))
        self.close(subscription)
        create_subscription(
            hook.get_subscriber(),
            self.subscription_path(subscription),
            topic=self.topic_path(topic),
            run_id=run_id,
            ack_deadline_s=ack_deadline_s,
        )

    def close(self, subscription: str) -> None:
        """Delete a subscription; one that is gone already is no error."""
        from transfer.backends.pubsub.topics import delete_subscription

        subscriber = PubSubQueueHook(self.gcp_conn_id).get_subscriber()
        delete_subscription(subscriber, self.subscription_path(subscription))

    def topic_path(self, topic: str) -> str:
        """The topic's full name; one that is full already stays as it is."""
        return topic if topic.startswith("projects/") else f"projects/{self._project()}/topics/{topic}"

    def subscription_path(self, subscription: str) -> str:
        """The subscription's full name."""
        return f"projects/{self._project()}/subscriptions/{subscription}"

    def _project(self) -> str:
        return self.project or PubSubQueueHook(self.gcp_conn_id).project_id
