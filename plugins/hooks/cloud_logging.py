"""Turns a Google Cloud connection into the event log of a task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from hooks.errors import InvalidConnection

if TYPE_CHECKING:
    from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
    from google.cloud.logging_v2 import Client

    from transfer.event_log import EventLog

ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"
"""gcloud's environment variable for another address of the Logging API, which is then used over HTTP."""


class CloudLoggingHook(BaseHook):
    """Writes entries to Cloud Logging.

    Args:
        gcp_conn_id: the Google Cloud connection.
        project_id: the project that the log belongs to; the connection's when not given.
    """

    def __init__(self, gcp_conn_id: str = "google_cloud_default", project_id: str | None = None) -> None:
        super().__init__()
        self.gcp_conn_id = gcp_conn_id
        self.project_id = project_id

    @cached_property
    def _hook(self) -> GoogleBaseHook:
        from airflow.providers.google.common.hooks.base_google import GoogleBaseHook

        return GoogleBaseHook(gcp_conn_id=self.gcp_conn_id)

    def get_project_id(self) -> str:
        """The project that the log belongs to. Raises the same errors as `get_conn`."""
        if project_id := self.project_id or self._hook.project_id:
            return project_id
        problem = "no Google Cloud project is set here or in the credentials; set it"
        raise InvalidConnection(self.gcp_conn_id, "Project Id", problem)

    def get_conn(self) -> Client:
        """A new google-cloud-logging client, which must not be carried across a fork.

        Raises:
            AirflowNotFoundException: there is no such connection.
            InvalidConnection: neither the argument, the connection nor its credentials name a project.
        """
        from google.cloud.logging_v2 import Client

        hook, project_id = self._hook, self.get_project_id()
        credentials = hook.get_credentials()
        if endpoint := os.environ.get(ENDPOINT_VARIABLE):
            options = hook.get_client_options(api_endpoint_override=endpoint.rstrip("/"))
            return Client(project=project_id, credentials=credentials, client_options=options, _use_grpc=False)
        return Client(project=project_id, credentials=credentials, client_options=hook.get_client_options())

    def get_event_log(
        self,
        log_name: str | None,
        *,
        is_verbose: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> EventLog:
        """The event log of this name; without a name, one that drops everything. The caller closes it.

        Raises:
            ValueError: Cloud Logging does not accept such a log name.
            AirflowNotFoundException, InvalidConnection: as documented at `get_conn`.
        """
        from transfer.event_log import NoEventLog

        if not log_name:
            return NoEventLog()
        from transfer.backends.cloud_logging import CloudEventLog

        return CloudEventLog(
            self.get_conn(),
            log_name,
            is_verbose=is_verbose,
            labels=labels,
        )
