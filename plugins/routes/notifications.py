"""Starts a route when S3 reports a change to an SQS queue, which Airflow's triggerer watches."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

from airflow.sdk import Asset

QUEUE = r"^https://sqs\.[a-z0-9\-]+\.amazonaws\.com(\.cn)?/[0-9]{12}/[A-Za-z0-9_\-]{1,80}$"
QUEUE_MEANING = "the URL of a standard SQS queue, as in https://sqs.eu-west-1.amazonaws.com/111122223333/name"

POLL_S = 15
"""Seconds between two polls of an empty queue."""
BATCHES = 5
"""Requests in each poll, which get 10 messages each at most (SQS API reference, ReceiveMessage)."""


def can_watch() -> bool:
    """Whether the library is installed with which the triggerer reads queues."""
    return find_spec("aiobotocore") is not None


def queue_asset(url: str, aws_conn_id: str) -> Asset:
    """The asset that gets an event whenever the queue has messages, which are then deleted from it.

    The content of a message is never used: write access to the queue allows starting the route, and no more. All routes
    that name the same queue are started.
    """
    # Imported here because it imports boto3, which only DAGs with a queue need.
    from airflow.providers.amazon.aws.triggers.sqs import SqsSensorTrigger
    from airflow.sdk import AssetWatcher

    host = urlsplit(url).hostname or ""
    trigger = SqsSensorTrigger(
        sqs_queue=url,
        aws_conn_id=aws_conn_id,
        region_name=host.split(".")[1],
        max_messages=10,
        num_batches=BATCHES,
        wait_time_seconds=0,
        waiter_delay=POLL_S,
    )
    return Asset(name=url, uri=url, watchers=[AssetWatcher(name=f"SQS with {aws_conn_id}", trigger=trigger)])
