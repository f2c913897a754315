"""Turns an AWS connection into a boto3 S3 client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from botocore.client import BaseClient


class S3SourceHook(BaseHook):
    """Access to the source bucket: lists it and reads single objects. The data path goes through CloudFront.

    The endpoint is the connection's `endpoint_url`, else `AWS_ENDPOINT_URL_S3`, else AWS's own.

    Args:
        aws_conn_id: the AWS connection; None for boto3's default search for credentials (environment, instance role, …).
    """

    def __init__(self, aws_conn_id: str | None = "aws_default") -> None:
        super().__init__()
        self.aws_conn_id = aws_conn_id

    def get_conn(self, *, connections: int = 10) -> BaseClient:
        """A new client that retries throttling and server errors (botocore's `standard` mode, 5 attempts).

        It keeps up to `connections` connections open: set one for each thread that uses the client.

        The connection's own `config_kwargs` take precedence. Clients may be shared between threads, but not across a fork.

        Raises:
            AirflowNotFoundException: there is no such connection.
        """
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from botocore.config import Config

        if self.aws_conn_id is not None:
            # The provider treats a missing connection like None, so a misspelt id would use any credentials that it finds.
            self.get_connection(self.aws_conn_id)
        hook = S3Hook(aws_conn_id=self.aws_conn_id)
        defaults = Config(
            retries={"mode": "standard", "total_max_attempts": 5},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=connections,
        )
        # Not get_client_type: to name its caller to AWS, it reads the source of every module on the stack (0.3 s of CPU).
        return hook.get_session().client(
            "s3",
            endpoint_url=hook.conn_config.get_service_endpoint_url("s3"),
            config=defaults.merge(hook.config),
            verify=hook.verify,
        )
