"""What starts a route when S3 says that something has changed: an SQS queue, watched by Airflow's triggerer."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

from airflow.sdk import Asset

QUEUE = r"^https://sqs\.[a-z0-9\-]+\.amazonaws\.com(\.cn)?/[0-9]{12}/[A-Za-z0-9_\-]{1,80}$"
QUEUE_MEANING = "the URL of a standard SQS queue, as in https://sqs.eu-west-1.amazonaws.com/111122223333/name"

POLL_S = 15
"""How often an empty queue is asked."""
BATCHES = 5
"""How often it is asked each time; with 10 messages at most an answer (SQS API reference, ReceiveMessage)."""


def can_watch() -> bool:
    """Whether the library that the triggerer reads queues with is installed."""
    return find_spec("aiobotocore") is not None


def queue_asset(url: str, aws_conn_id: str) -> Asset:
    """The asset that gets an event whenever the queue had messages, which are then gone from it.

    Nothing of a message is ever used: who can write to the queue can start the route, and no more. Routes that name the
    same queue are all started.
    """
    # Here, since it brings boto3 along: only DAGs with a queue need it.
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
