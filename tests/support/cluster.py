"""The clouds, and the Airflow that runs as docker-compose.yaml says: what tests/cluster has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import requests

import thousand_objects
from compose_stack import ComposeStack
from demo.airflow_api import Run
from demo.verify import Verification
from localcloud.supervisor import LocalCloud
from pipeline import requests_of

PAGE_TIMEOUT_S = 30
UPLOADS = ("objects.insert", "xml.put")


@dataclass
class Cluster:
    """A thousand objects in the local cloud, and the services that copy them."""

    cloud: LocalCloud
    airflow: ComposeStack

    def fill(self) -> None:
        """Put the objects into the source."""
        thousand_objects.fill(self.cloud.environment())

    def trigger(self, destination_prefix: str, **conf: object) -> Run:
        """Start a run that copies all of them."""
        return self.airflow.trigger("s3_to_gcs", thousand_objects.conf(destination_prefix, **conf))

    def uploads(self) -> int:
        """How many uploads Cloud Storage has answered."""
        return sum(count for kind, count in requests_of(self.cloud.gcs_url).items() if kind.startswith(UPLOADS))

    def compared(self, destination_prefix: str) -> Verification:
        """What a reader that shares no code with the engine finds on both sides."""
        return thousand_objects.compared(self.cloud.environment(), destination_prefix)

    def page(
        self, path: str, query: Mapping[str, str] = MappingProxyType({}), *, is_signed_in: bool = True
    ) -> requests.Response:
        """A page of ours in Airflow's UI."""
        url, headers = self.airflow.url, {}
        if is_signed_in:
            assert self.airflow.credentials is not None
            user = dict(zip(("username", "password"), self.airflow.credentials, strict=True))
            token = requests.post(f"{url}/auth/token", json=user, timeout=PAGE_TIMEOUT_S).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{url}/edgehaul/{path}", params=query, headers=headers, timeout=PAGE_TIMEOUT_S)
