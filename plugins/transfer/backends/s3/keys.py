"""Asks S3 by HEAD requests whether it has single keys; boto3 signs the requests and retries them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from transfer.backends.s3.answers import code_of, head_error, status_of
from transfer.backends.s3.files import LANES
from transfer.model import KeyState, SourceKey
from transfer.sources.key_space import MAX_KEY_BYTES
from transfer.stopping import NEVER, Stop, result_of

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405


class S3Keys:
    """A `SourceKeys` over one S3 bucket. The client needs LANES connections."""

    def __init__(self, client: BaseClient, bucket: str, *, stop: Stop = NEVER) -> None:
        self._client = client
        self._bucket = bucket
        self._stop = stop

    def ask(self, keys: Sequence[str]) -> list[SourceKey]:
        """Whether the bucket has each of the keys, in their order. Raises Stopped after a stop request."""
        pool = ThreadPoolExecutor(LANES, thread_name_prefix="ask")
        try:
            asked = [pool.submit(self._ask, key) for key in keys]
            return [result_of(future, self._stop) for future in asked]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # botocore may wait for minutes, and cannot be interrupted

    def _ask(self, key: str) -> SourceKey:
        """The state of one key. Only S3's own 404 proves that it is gone (S3 API Reference, HeadObject)."""
        if not 0 < len(key.encode("utf-8", "surrogatepass")) <= MAX_KEY_BYTES:
            return SourceKey(state=KeyState.GONE)  # S3 cannot hold such a key, and would answer 400
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and _is_gone(error):
                return SourceKey(state=KeyState.GONE)
            refusal = head_error(error, bucket=self._bucket, key=key, version_id="")
            return SourceKey(state=KeyState.UNSURE, error=refusal)
        modified = head.get("LastModified")
        return SourceKey(state=KeyState.THERE, last_modified_s=modified.timestamp() if modified else 0.0)


def _is_gone(error: ClientError) -> bool:
    status = status_of(error)
    if status == METHOD_NOT_ALLOWED:
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        return str(headers.get("x-amz-delete-marker", "")).lower() == "true"
    # The answer to a HEAD has no body, so botocore uses the status as its code; any other code means something else.
    return status == NOT_FOUND and code_of(error) in ("", "404", "NoSuchKey", "NotFound")
