"""Whether S3 has single keys: HEADs, many at a time; boto3 signs and retries."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from transfer.backends.s3.files import LANES, head_error
from transfer.model import KeyState, SourceKey
from transfer.sources.key_space import MAX_KEY_BYTES
from transfer.stopping import NEVER, Stop, result_of

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405


class S3Keys:
    """A `SourceKeys` of one bucket. The client needs LANES connections."""

    def __init__(self, client: BaseClient, bucket: str, *, stop: Stop = NEVER) -> None:
        self._client = client
        self._bucket = bucket
        self._stop = stop

    def ask(self, keys: Sequence[str]) -> list[SourceKey]:
        """Of each key, whether the bucket has it. Raises Stopped."""
        pool = ThreadPoolExecutor(LANES, thread_name_prefix="ask")
        try:
            asked = [pool.submit(self._ask, key) for key in keys]
            return [result_of(future, self._stop) for future in asked]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # botocore waits for minutes, and cannot be broken off

    def _ask(self, key: str) -> SourceKey:
        """S3 API Reference, HeadObject: 404 for what is not there, or is behind a delete marker; all else is no such word."""
        if not 0 < len(key.encode("utf-8", "surrogatepass")) <= MAX_KEY_BYTES:
            return SourceKey(state=KeyState.GONE)  # it can never have been there, and S3 would answer 400
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _is_gone(error):
                return SourceKey(state=KeyState.GONE)
            return SourceKey(
                state=KeyState.UNSURE, error=head_error(error, bucket=self._bucket, key=key, version_id="")
            )
        except BotoCoreError as error:
            return SourceKey(
                state=KeyState.UNSURE, error=head_error(error, bucket=self._bucket, key=key, version_id="")
            )
        modified = head.get("LastModified")
        return SourceKey(state=KeyState.THERE, last_modified_s=modified.timestamp() if modified else 0.0)


def _is_gone(error: ClientError) -> bool:
    metadata = error.response.get("ResponseMetadata", {})
    status, headers = metadata.get("HTTPStatusCode"), metadata.get("HTTPHeaders", {})
    if status == METHOD_NOT_ALLOWED:
        return str(headers.get("x-amz-delete-marker", "")).lower() == "true"
    # The answer to a HEAD has no body, so botocore makes the code of the status; a server that names one has more to say.
    code = str(error.response.get("Error", {}).get("Code", ""))
    return status == NOT_FOUND and code in ("", "404", "NoSuchKey", "NotFound")
