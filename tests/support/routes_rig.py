"""Routes for the end-to-end tests, and the Airflow that has them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import boto3
from moto.server import ThreadedMotoServer

from demo.airflow_stack import REPOSITORY, AirflowStack
from demo.postgres import Postgres
from frugal import IDLE
from localcloud.supervisor import LocalCloud
from needs import program
from pipeline import Pipeline

BERLIN = ZoneInfo("Europe/Berlin")
PUBLIC_BUCKET = "edgehaul-public-copy"
ROUTES = """
routes:
  - name: signed
    source: {bucket: SOURCE, prefix: "days/%Y/%m/%d/"}
    edge: {connection: cloudfront_default}
    destination: {bucket: DESTINATION, prefix: "archive/dt=%Y-%m-%d/"}
    schedule: {cron: "@daily", timezone: Europe/Berlin, start: TODAY}
    max_active_runs: 2
    parameters: {workers: 1, threads: 4, allow_empty: true}
  - name: broken
    source: {bucket: SOURCE, prefix: "days/%Q/"}
    edge: {connection: cloudfront_default}
    destination: {bucket: DESTINATION}
  - name: public
    source: {bucket: SOURCE, prefix: "days/%Y/%m/%d/"}
    edge: {connection: cloudfront_public}
    destination: {bucket: PUBLIC, prefix: "{route}/%Y-%m/%-d/"}
    schedule: {cron: "@daily"}
    parameters: {workers: 1, threads: 4, allow_empty: true}
  - name: notified
    source: {bucket: SOURCE, prefix: incoming/}
    edge: {connection: cloudfront_default}
    destination: {bucket: DESTINATION, prefix: arrived/}
    schedule: {sqs: "QUEUE", connection: aws_queue}
    parameters: {workers: 1, threads: 4}
"""
DOWNSTREAM = """
from airflow.sdk import DAG, Asset, task

with DAG("downstream", schedule=Asset("gs://PUBLIC/")):

    @task
    def see(triggering_asset_events=None):
        (events,) = triggering_asset_events.values()
        return [event.extra["destination"] for event in events]

    see()
"""


@dataclass(frozen=True)
class Queue:
    """A queue of moto's SQS, to which S3 would send its notifications."""

    endpoint: str
    sqs: Any
    name: str = "incoming"
    region: str = "eu-west-1"
    account: str = "123456789012"  # moto's

    @classmethod
    @contextmanager
    def serve(cls) -> Iterator[Self]:
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
            endpoint = f"http://{host}:{port}"
            sqs = boto3.client("sqs", endpoint_url=endpoint, region_name=cls.region, **keys)
            sqs.create_queue(QueueName=cls.name)
            yield cls(endpoint, sqs)
        finally:
            server.stop()

    @property
    def url(self) -> str:
        return f"https://sqs.{self.region}.amazonaws.com/{self.account}/{self.name}"

    @property
    def connection(self) -> dict[str, Any]:
        return {"conn_type": "aws", "login": "any", "password": "any", "extra": {"endpoint_url": self.endpoint}}

    def notify(self, bucket: str, key: str) -> None:
        """What S3 sends of a new object, in short (Amazon S3 user guide, "Event message structure")."""
        entity = {"bucket": {"name": bucket}, "object": {"key": key}}
        body = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}]}
        self.sqs.send_message(QueueUrl=self.url, MessageBody=json.dumps(body))

    def messages(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))


@contextmanager
def routes_pipeline(cloud: LocalCloud, queue: Queue, folder: Path, days: Iterable[str]) -> Iterator[Pipeline]:
    """An Airflow with these routes, and two objects for each of the days and for those around today.

    Its database is PostgreSQL: on SQLite a backfill may be refused while the scheduler writes.
    """
    today = datetime.now(BERLIN).date()

    def fill_in(text: str) -> str:
        names = {"SOURCE": cloud.source_bucket, "DESTINATION": cloud.destination_bucket, "PUBLIC": PUBLIC_BUCKET}
        names |= {"TODAY": str(today), "QUEUE": queue.url}
        return re.sub("|".join(names), lambda match: names[match[0]], text)

    shutil.copytree(REPOSITORY / "dags", folder / "dags")
    (folder / "dags" / "downstream.py").write_text(fill_in(DOWNSTREAM))
    (folder / "routes.yaml").write_text(fill_in(ROUTES))
    environment = {
        **cloud.environment(),
        "EDGEHAUL_ROUTES": str(folder / "routes.yaml"),
        "AIRFLOW_CONN_AWS_QUEUE": json.dumps(queue.connection),
    }
    program("postgres", hint="Debian's package is postgresql")
    with Postgres(folder / "postgres.log") as database:
        stack = AirflowStack(
            folder / "airflow",
            environment=environment,
            settings=IDLE,
            dags_folder=folder / "dags",
            database_url=database.url,
        )
        pipeline = Pipeline(cloud, stack)
        pipeline.gcs.create_bucket(PUBLIC_BUCKET)
        for day in [*days, *(f"{today - timedelta(days):%Y/%m/%d}" for days in range(-1, 4))]:
            for name in ("a", "b"):
                pipeline.put(f"days/{day}/{name}", f"{day} {name}".encode())
        with stack:
            yield pipeline
