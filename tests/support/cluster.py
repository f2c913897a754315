"""A thousand objects in the local cloud, and docker-compose.yaml's services that copy them: what tests/cluster does with both."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from google.cloud import storage

from compose_stack import ComposeStack
from demo.airflow_api import Run
from demo.upload import s3_client
from demo.verify import Verification, gcs_client, verify
from localcloud.supervisor import LocalCloud
from pipeline import requests_of

OBJECTS = 1000
SOURCE_PREFIX = "data/"
UPLOADS = ("objects.insert", "xml.put")


@dataclass
class Cluster:
    """The clouds, and the Airflow that runs as docker-compose.yaml says."""

    cloud: LocalCloud
    airflow: ComposeStack
    s3: Any = field(init=False)
    gcs: storage.Client = field(init=False)

    def __post_init__(self) -> None:
        cloud = self.cloud
        self.s3 = s3_client(cloud.s3_url, cloud.access_key_id, cloud.secret_access_key, cloud.region)
        self.gcs = gcs_client(cloud.gcs_url, cloud.project)

    def fill(self) -> None:
        """Put the objects into the source: small ones, empty ones, and one that is copied in parts."""
        draw = random.Random(20261129)
        bodies = {
            f"{SOURCE_PREFIX}{index % 17:02}/{index:05}": draw.randbytes(draw.choice((0, 1, 100, 4096, 20_000)))
            for index in range(OBJECTS - 1)
        }
        bodies[f"{SOURCE_PREFIX}large"] = draw.randbytes(17 * 1024 * 1024)
        for number, (key, body) in enumerate(bodies.items()):
            self.s3.put_object(Bucket=self.cloud.source_bucket, Key=key, Body=body, Metadata={"number": str(number)})

    def trigger(self, destination_prefix: str, **conf: Any) -> Run:
        """Start a run that copies all of them."""
        return self.airflow.trigger(
            "s3_to_gcs",
            {
                "source_bucket": self.cloud.source_bucket,
                "source_prefix": SOURCE_PREFIX,
                "destination_bucket": self.cloud.destination_bucket,
                "destination_prefix": destination_prefix,
                "part_size_mib": 8,
                **conf,
            },
        )

    def uploads(self) -> int:
        """How many uploads Cloud Storage has answered."""
        return sum(count for kind, count in requests_of(self.cloud.gcs_url).items() if kind.startswith(UPLOADS))

    def compared(self, destination_prefix: str) -> Verification:
        """What a reader that shares no code with the engine finds on both sides."""
        return verify(
            self.s3,
            self.cloud.source_bucket,
            self.gcs,
            self.cloud.destination_bucket,
            source_prefix=SOURCE_PREFIX,
            destination_prefix=destination_prefix,
        )
