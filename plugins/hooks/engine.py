"""Objects of the engine made from Airflow connections, for operators to use.

Each function makes objects for one task. They must not be kept across a fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from hooks.assembly import Destination, Edge, GcsEndpoint
from hooks.cloudfront import CloudfrontHook
from hooks.gcs import GCSSinkHook
from hooks.pubsub import PubSubQueueHook
from hooks.s3 import S3SourceHook
from transfer.backends.pubsub.topics import (
    PubSubFailures,
    PubSubQueue,
    PubSubRequests,
    create_subscription,
    delete_subscription,
    ensure_topic,
)
from transfer.backends.s3.files import LANES as S3_LANES
from transfer.backends.s3.keys import S3Keys
from transfer.backends.s3.listing import list_objects
from transfer.backends.sample_readers import SampleReaders
from transfer.config import TransferConfig
from transfer.event_log import EventLog
from transfer.model import ObjectMeta
from transfer.reconciliation.sampling import LANES as SAMPLE_LANES
from transfer.stopping import NEVER, Stop, StopRequest


def source_listing(
    aws_conn_id: str, bucket: str, prefix: str, *, after: str = "", before: str = "", stop: Stop = NEVER
) -> Iterator[ObjectMeta]:
    """The source bucket's objects under a prefix in byte order, after the key `after` if it is given.

    `before` is the key that was listed immediately before `after`.
    """
    client = S3SourceHook(aws_conn_id).get_conn()
    return list_objects(client, bucket, prefix, after=after, before=before, stop=stop)


def source_keys(aws_conn_id: str, bucket: str, *, stop: Stop = NEVER) -> S3Keys:
    """A client that asks the source bucket for single keys."""
    return S3Keys(S3SourceHook(aws_conn_id).get_conn(connections=S3_LANES), bucket, stop=stop)


def sample_reader(aws_conn_id: str, source_bucket: str, gcp_conn_id: str, destination_bucket: str) -> SampleReaders:
    """A reader of both sides for a sample. It uses other libraries than the copying does."""
    s3, google = S3SourceHook(aws_conn_id).get_conn(connections=SAMPLE_LANES), GCSSinkHook(gcp_conn_id)
    return SampleReaders(
        s3,
        source_bucket,
        lambda: GCSSinkHook(gcp_conn_id).get_conn(),
        destination_bucket,
        user_project=google.user_project,
    )


def destination(
    gcp_conn_id: str,
    bucket: str,
    *,
    state_bucket: str = "",
    config: TransferConfig | None = None,
    endpoint: GcsEndpoint | None = None,
    stop: StopRequest | None = None,
) -> Destination:
    """The destination bucket of one task. `config` is for a task that copies; without `stop`, nothing stops it.

    `endpoint` is the connection's, where the task has it already. Raises what `GCSSinkHook.get_endpoint` raises.
    """
    return Destination(
        endpoint=endpoint or GCSSinkHook(gcp_conn_id).get_endpoint(),
        bucket=bucket,
        state_bucket=state_bucket,
        config=config or TransferConfig(),
        stop=stop or StopRequest(),
    )


def edge(cloudfront_conn_id: str) -> Edge:
    """The distribution of a connection. Raises what `CloudfrontHook` raises."""
    hook = CloudfrontHook(cloudfront_conn_id)
    return Edge(base_url=hook.base_url, authorizer=hook.get_signer())


@dataclass(frozen=True, kw_only=True)
class Messaging:
    """The topics and subscriptions of one Google Cloud project."""

    gcp_conn_id: str
    project: str | None
    stop: Stop = NEVER

    @cached_property
    def _hook(self) -> PubSubQueueHook:
        return PubSubQueueHook(self.gcp_conn_id)

    def requests(self, topic: str, events: EventLog) -> PubSubRequests:
        """A publisher of transfer requests."""
        return PubSubRequests(self._hook.get_publisher(), self.topic_path(topic), events, stop=self.stop)

    def failures(self, topic: str, *, run_id: str) -> PubSubFailures:
        """A publisher of failure records of one run."""
        return PubSubFailures(self._hook.get_publisher(), self.topic_path(topic), run_id=run_id, stop=self.stop)

    def queue(self, subscription: str, *, ack_deadline_s: int) -> PubSubQueue:
        """A queue that pulls from a subscription."""
        return PubSubQueue(
            self._hook.get_subscriber(),
            self.subscription_path(subscription),
            ack_deadline_s=ack_deadline_s,
            stop=self.stop,
        )

    def open(self, subscription: str, *, topic: str, run_id: str, ack_deadline_s: int) -> None:
        """Create the topic if it is missing, and a new subscription for one run, replacing an old one of that name."""
        ensure_topic(self._hook.get_publisher(), self.topic_path(topic))
        self.close(subscription)
        create_subscription(
            self._hook.get_subscriber(),
            self.subscription_path(subscription),
            topic=self.topic_path(topic),
            run_id=run_id,
            ack_deadline_s=ack_deadline_s,
        )

    def close(self, subscription: str) -> None:
        """Delete a subscription, if it exists."""
        delete_subscription(self._hook.get_subscriber(), self.subscription_path(subscription))

    def topic_path(self, topic: str) -> str:
        """The topic's full name; a full name is returned unchanged."""
        return topic if topic.startswith("projects/") else f"projects/{self._project()}/topics/{topic}"

    def subscription_path(self, subscription: str) -> str:
        """The subscription's full name."""
        return f"projects/{self._project()}/subscriptions/{subscription}"

    def _project(self) -> str:
        return self.project or self._hook.project_id
