"""The probes of `transfer.preflight.checks` over Airflow connections. Problems with a connection become engine errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from hooks.cloudfront import NETWORK_FIELDS, CloudfrontHook
from hooks.engine import Messaging, destination
from hooks.pubsub import PubSubQueueHook
from hooks.s3 import S3SourceHook
from hooks.source import SourceList

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from google.cloud.pubsub_v1 import PublisherClient

    from transfer.backends.cloudfront.signing import UrlAuthorizer
    from transfer.backends.gcs.client import GcsClient
    from transfer.errors import Stage
    from transfer.model import SourceKey
    from transfer.preflight.edge_answers import EdgeAnswer
    from transfer.preflight.probes import ListedPage


class S3Probe:
    """A `SourceProbe` of an S3 bucket."""

    def __init__(self, conn_id: str, bucket: str, prefix: str) -> None:
        self.conn_id, self.bucket, self.prefix = conn_id, bucket, prefix

    @cached_property
    def _client(self) -> BaseClient:
        return S3SourceHook(self.conn_id).get_conn()

    def page(self, after: str = "") -> ListedPage:
        """The first objects under the prefix, or the first after a key."""
        from transfer.backends.s3.listing import one_page
        from transfer.errors import Stage

        with connection_errors(self.conn_id, Stage.LIST):
            return one_page(self._client, self.bucket, self.prefix, after=after)

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        """Whether the bucket has each of the keys."""
        from transfer.backends.s3.keys import S3Keys
        from transfer.errors import Stage

        with connection_errors(self.conn_id, Stage.LIST):
            return S3Keys(self._client, self.bucket).ask(keys)

    def read(self, key: str) -> None:
        """Read the first byte of an object, as a sample is read."""
        from transfer.backends.sample_readers import read_first_byte
        from transfer.errors import Stage

        with connection_errors(self.conn_id, Stage.DOWNLOAD):
            read_first_byte(self._client, self.bucket, key)


class SourceListProbe:
    """A `SourceListProbe` of `transfer.preflight.probes`."""

    def __init__(self, source_list: SourceList) -> None:
        self.uri = source_list.uri
        self._source_list = source_list

    def check(self) -> None:
        """Read the beginning of the list, which shows its format."""
        from transfer.errors import Stage

        of_google = self.uri.startswith("gs://")
        with connection_errors(
            self._source_list.gcp_conn_id if of_google else self._source_list.aws_conn_id, Stage.LIST
        ):
            self._source_list.check()


class CloudfrontProbe:
    """An `EdgeProbe` of a distribution. Its signatures are valid for the whole prefix, like those of workers."""

    def __init__(self, conn_id: str, prefix: str) -> None:
        self.conn_id = conn_id
        self._prefix = prefix
        self._hook = CloudfrontHook(conn_id)

    @cached_property
    def _signer(self) -> UrlAuthorizer:
        return self._hook.get_signer()

    def ask(self, key: str) -> EdgeAnswer:
        """Ask for the first byte of an object. A key outside the prefix is requested as if it were under the prefix."""
        from transfer.backends.cloudfront.probe import EdgeUnreachable, probe_edge
        from transfer.errors import SourceUnavailable, Stage
        from transfer.naming import escape_key

        path = escape_key(key if key.startswith(self._prefix) else self._prefix + key)
        with connection_errors(self.conn_id, Stage.DOWNLOAD):
            base_url, query = self._hook.base_url, self._signer.query(escape_key(self._prefix))
        try:
            return probe_edge(base_url, path, query)
        except EdgeUnreachable as error:
            message = f"no answer from {base_url} ({error}); check {NETWORK_FIELDS} of connection {self.conn_id!r}"
            raise SourceUnavailable(message, stage=Stage.DOWNLOAD) from error

    def signature_life_s(self) -> float:
        """Half the lifetime of a signature, in seconds: signatures are renewed then. Infinite without signatures."""
        return self._hook.get_url_lifetime_s() / 2 if self._hook.is_signed else float("inf")


class GcsProbe:
    """A `BucketProbe` of a Cloud Storage bucket."""

    def __init__(self, conn_id: str, bucket: str) -> None:
        self.conn_id, self.bucket = conn_id, bucket
        self._stop = threading.Event()

    @cached_property
    def _client(self) -> GcsClient:
        from transfer.errors import Stage

        with connection_errors(self.conn_id, Stage.UPLOAD):
            return destination(self.conn_id, self.bucket).client()

    def list(self) -> str:
        """List one object; returns the `Date` header of the answer."""
        from transfer.backends.http.loop import complete

        url = f"{self._client.objects_url}?{urlencode({'maxResults': '1', 'fields': 'items(name)'})}"
        return complete(self._client.send("GET", url), self._stop).headers.get("date", "")

    def kept_by(self) -> str:
        """A retention policy or default hold of the bucket, in words; empty for none.

        Without the permission to read the bucket, the first listed object shows them."""
        import json

        from transfer.backends.http.loop import complete

        bucket_url = self._client.objects_url.removesuffix("/o")
        objects = urlencode({"maxResults": "1", "fields": "items(name,retentionExpirationTime,eventBasedHold)"})
        may_not_look = (400, 403, 404, 405, 501)
        for url in (
            f"{bucket_url}?fields=retentionPolicy,defaultEventBasedHold",
            f"{self._client.objects_url}?{objects}",
        ):
            answer = complete(self._client.send("GET", url, accept=(200, *may_not_look)), self._stop)
            try:
                found = json.loads(bytes(answer.body)) if answer.status == 200 else None
            except ValueError:
                found = None
            if not isinstance(found, dict):
                continue
            shown = (found.get("items") or [found])[0]
            if policy := shown.get("retentionPolicy"):
                return f"a retention policy of {policy.get('retentionPeriod', '?')} s"
            if until := shown.get("retentionExpirationTime"):
                return f"a retention policy, which keeps {shown.get('name')!r} until {until}"
            if shown.get("defaultEventBasedHold") or shown.get("eventBasedHold"):
                return "a default event-based hold"
            return ""
        return ""

    def create(self, name: str) -> None:
        """Store an empty object."""
        from transfer.backends.gcs.sink import GcsSink
        from transfer.backends.http.loop import complete

        complete(GcsSink(self._client).put(name, b"", {"contentType": "text/plain"}, None), self._stop)

    def label(self, name: str) -> None:
        """Change the metadata of an object, as is done when a copy gets its proof."""
        from transfer.backends.gcs.sink import GcsSink
        from transfer.backends.http.loop import complete

        sink = GcsSink(self._client)
        stored = complete(sink.stat(name), self._stop)
        if stored is not None:
            complete(sink.set_proof(stored, "preflight"), self._stop)

    def delete(self, name: str) -> None:
        """Delete an object."""
        from transfer.backends.gcs.sink import GcsSink
        from transfer.backends.http.loop import complete

        complete(GcsSink(self._client).delete(name), self._stop)

    def begin_parts(self, name: str) -> bool:
        """Start and abort an upload in parts; False where the server does not support it."""
        from transfer.backends.gcs.multipart import NO_SUCH_THING, GcsPartsUpload, begin_parts
        from transfer.backends.gcs.verification import Capabilities
        from transfer.backends.http.loop import complete

        client, capabilities = self._client, Capabilities()
        token = complete(begin_parts(client, name, {}, capabilities, no_such_thing=NO_SUCH_THING), self._stop)
        if token is not None:
            complete(GcsPartsUpload(client, name, token, capabilities).abort(), self._stop)
        return token is not None


class PubSubProbe:
    """A `TopicProbe` of a Pub/Sub topic."""

    def __init__(self, conn_id: str, topic: str, project: str | None) -> None:
        self.conn_id, self.topic = conn_id, topic
        self._project = project

    @cached_property
    def _publisher(self) -> PublisherClient:
        return PubSubQueueHook(self.conn_id).get_publisher()

    def granted(self, permissions: Sequence[str]) -> Sequence[str] | None:
        """The permissions among these that the connection has; None where the server does not report permissions."""
        from transfer.backends.pubsub.topics import granted_permissions
        from transfer.errors import Stage

        with connection_errors(self.conn_id, Stage.MESSAGE):
            self.topic = Messaging(gcp_conn_id=self.conn_id, project=self._project).topic_path(self.topic)
            return granted_permissions(self._publisher, self.topic, permissions)

    def exists(self) -> bool | None:
        """Whether the topic exists; None without the permission to ask."""
        from transfer.backends.pubsub.topics import topic_exists

        return topic_exists(self._publisher, self.topic)


@contextmanager
def connection_errors(conn_id: str, stage: Stage) -> Iterator[None]:
    """Raises CredentialsRejected for a missing or invalid connection, and for unusable credentials."""
    from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
    from google.auth.exceptions import GoogleAuthError

    from hooks.errors import InvalidConnection
    from transfer.errors import CredentialsRejected

    try:
        yield
    except InvalidConnection as error:
        raise CredentialsRejected(str(error), stage=stage) from error
    except AirflowNotFoundException as error:
        message = f"there is no connection {conn_id!r}: create it under Admin, Connections, or correct its id"
        raise CredentialsRejected(message, stage=stage) from error
    except (AirflowException, GoogleAuthError) as error:
        raise CredentialsRejected(f"connection {conn_id!r}: {error}", stage=stage) from error
