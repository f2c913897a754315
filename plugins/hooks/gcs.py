"""Turns a Google Cloud connection into a Cloud Storage endpoint and a token for it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.gcs import GCSHook
    from google.cloud.storage import Client

    from hooks.assembly import GcsEndpoint


class GCSSinkHook(BaseHook):
    """Access to Cloud Storage, to which objects are written.

    The endpoint is `STORAGE_EMULATOR_HOST` when set, else Google's own. A connection with `is_anonymous` has no token.

    Args:
        gcp_conn_id: the Google Cloud connection.
    """

    def __init__(self, gcp_conn_id: str = "google_cloud_default") -> None:
        super().__init__()
        self.gcp_conn_id = gcp_conn_id

    @cached_property
    def _hook(self) -> GCSHook:
        from airflow.providers.google.cloud.hooks.gcs import GCSHook

        return GCSHook(gcp_conn_id=self.gcp_conn_id)

    @property
    def project_id(self) -> str | None:
        """The project that the connection names or its credentials belong to, if any."""
        return self._hook.project_id or None

    def get_conn(self) -> Client:
        """google-cloud-storage's client, for requests outside the data path.

        Raises:
            AirflowNotFoundException: there is no such connection.
            google.auth.exceptions.DefaultCredentialsError: the connection holds no credentials and the environment has none.
        """
        return self._hook.get_conn()

    @property
    def user_project(self) -> str:
        """The project that is billed when a bucket's requester pays: the connection's "Quota Project ID"; empty for none."""
        return getattr(self._hook.get_credentials(), "quota_project_id", None) or ""

    def get_endpoint(self) -> GcsEndpoint:
        """The endpoint that google-cloud-storage's client would use, and a token. Raises the same errors as `get_conn`."""
        from hooks.assembly import GcsEndpoint
        from transfer.backends.gcs.token import GoogleToken

        return GcsEndpoint(
            base_url=self.get_conn().api_endpoint.rstrip("/"),
            token=GoogleToken(self._hook.get_credentials()),
            user_project=self.user_project,
        )
