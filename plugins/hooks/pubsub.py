"""Turns a Google Cloud connection into Pub/Sub clients for many messages."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from hooks.errors import InvalidConnection

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.pubsub import PubSubHook
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

MAX_BATCH_MESSAGES = 1000
MAX_BATCH_BYTES = 9_000_000
"""Pub/Sub refuses a publish request of more than 10 MB or 1,000 messages; the difference leaves room for the envelope."""
MAX_BATCH_LATENCY_S = 0.05
MAX_OUTSTANDING_MESSAGES = 10 * MAX_BATCH_MESSAGES
MAX_OUTSTANDING_BYTES = 64 * 1024 * 1024


class PubSubQueueHook(BaseHook):
    """The queue between listing and workers. `PUBSUB_EMULATOR_HOST` sets another address, as for Google's clients.

    Clients may be shared between threads, but not across a fork: get them inside a task.

    Args:
        gcp_conn_id: the Google Cloud connection.
    """

    def __init__(self, gcp_conn_id: str = "google_cloud_default") -> None:
        super().__init__()
        self.gcp_conn_id = gcp_conn_id

    @cached_property
    def _hook(self) -> PubSubHook:
        from airflow.providers.google.cloud.hooks.pubsub import PubSubHook

        return PubSubHook(gcp_conn_id=self.gcp_conn_id)

    @property
    def project_id(self) -> str:
        """The project that the connection names or its credentials belong to.

        Raises:
            InvalidConnection: neither the connection nor its credentials name a project.
        """
        if project_id := self._hook.project_id:
            return project_id
        raise InvalidConnection(
            self.gcp_conn_id, "Project Id", "no Google Cloud project is set here or in the credentials; set it"
        )

    def get_publisher(self) -> PublisherClient:
        """A new publisher that sends full requests. Its `publish()` blocks while too many messages are unsent."""
        from google.cloud.pubsub_v1 import PublisherClient
        from google.cloud.pubsub_v1.types import (
            BatchSettings,
            LimitExceededBehavior,
            PublisherOptions,
            PublishFlowControl,
        )

        flow_control = PublishFlowControl(
            message_limit=MAX_OUTSTANDING_MESSAGES,
            byte_limit=MAX_OUTSTANDING_BYTES,
            limit_exceeded_behavior=LimitExceededBehavior.BLOCK,
        )
        return PublisherClient(
            batch_settings=BatchSettings(
                max_messages=MAX_BATCH_MESSAGES, max_bytes=MAX_BATCH_BYTES, max_latency=MAX_BATCH_LATENCY_S
            ),
            publisher_options=PublisherOptions(flow_control=flow_control),
            credentials=self._hook.get_credentials(),
            client_options=self._hook.get_client_options(),
        )

    def get_subscriber(self) -> SubscriberClient:
        """A new subscriber client, for pulls and for managing subscriptions."""
        from google.cloud.pubsub_v1 import SubscriberClient

        return SubscriberClient(
            credentials=self._hook.get_credentials(), client_options=self._hook.get_client_options()
        )
