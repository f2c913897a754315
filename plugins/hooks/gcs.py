"""A Google Cloud connection becomes a Cloud Storage endpoint and a token for it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.gcs import GCSHook
    from google.cloud.storage import Client

    from transfer.backends.gcs.token import GoogleToken


class GcsEndpoint(NamedTuple):
    """Where and as whom to talk to Cloud Storage over HTTP."""

    base_url: str
    """Scheme and host without a trailing slash: `https://storage.googleapis.com`."""
    token: GoogleToken
    """Call it for each request: the bearer token, or None for anonymous access."""


class GCSSinkHook(BaseHook):
    """The bucket that is written.

    The endpoint is `STORAGE_EMULATOR_HOST` when set, else Google's own. A connection that `is_anonymous` has no token.

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
        """google-cloud-storage's own client, for what is not the data path.

        Raises:
            AirflowNotFoundException: there is no such connection.
            google.auth.exceptions.DefaultCredentialsError: it holds no credentials and the environment has none.
        """
        return self._hook.get_conn()

    @property
    def user_project(self) -> str:
        """The project that pays where a bucket's requester does: the connection's "Quota Project ID"; empty for none."""
        return getattr(self._hook.get_credentials(), "quota_project_id", None) or ""

    def get_endpoint(self) -> GcsEndpoint:
        """The endpoint that google-cloud-storage's client would use, and a token; raises what `get_conn` raises."""
        from transfer.backends.gcs.token import GoogleToken

        return GcsEndpoint(self.get_conn().api_endpoint.rstrip("/"), GoogleToken(self._hook.get_credentials()))
