"""Single pages of a bucket's listing: boto3 signs, chooses the endpoint and retries; the answer is read here.

botocore's own parser makes some 10,000 keys a second of CPU. An event handler takes the answers to ListObjectsV2 out of its
hands, and leaves it empty ones; errors stay botocore's to read.
"""

from __future__ import annotations

import threading
from typing import Any
from xml.etree import ElementTree

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from transfer.backends.s3_errors import s3_error
from transfer.backends.s3_page_xml import EntryIncomplete, S3Page, read_page
from transfer.errors import EndpointRejected, Stage

_EVENT = "before-parse.s3.ListObjectsV2"
_LISTED = "EdgehaulListed"
_ours = threading.local()
"""Whether this thread is asking: the same client may be listing for somebody else."""


class S3Pages:
    """Pages of one bucket under one prefix. Thread-safe, as boto3's clients are.

    Every method raises BucketMissing, CredentialsRejected, SourceUnavailable or EndpointRejected.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client: BaseClient = client
        self._bucket = bucket
        self._prefix = prefix
        client.meta.events.register(_EVENT, _read_ours, unique_id=_EVENT)

    def page(self, *, after: str = "", token: str = "") -> S3Page:
        """The objects whose keys come after `after`, or those that a token of the page before stands for: up to 1,000."""
        place = {"ContinuationToken": token} if token else {"StartAfter": after} if after else {}
        return self._ask(Prefix=self._prefix, OptionalObjectAttributes=["RestoreStatus"], **place)

    def _ask(self, **parameters: Any) -> S3Page:
        said = f"listing s3://{self._bucket}"
        _ours.is_asking = True
        try:
            # XML cannot hold every key: url-encoded, it can.
            answer = self._client.list_objects_v2(Bucket=self._bucket, EncodingType="url", **parameters)
        except (ClientError, BotoCoreError) as error:
            raise s3_error(error, bucket=self._bucket) from error
        except (EntryIncomplete, ResponseParserError) as error:
            raise EndpointRejected(f"{said}: {str(error)[:300]}", stage=Stage.LIST) from error
        finally:
            _ours.is_asking = False
        metadata, page = answer["ResponseMetadata"], answer.get(_LISTED)
        if not isinstance(page, S3Page):
            status = metadata["HTTPStatusCode"]
            raise EndpointRejected(f"{said}: the server answered {status}, but with no listing", stage=Stage.LIST)
        page.date = metadata["HTTPHeaders"].get("date", "")
        return page


def _read_ours(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    if not getattr(_ours, "is_asking", False) or response_dict["status_code"] != 200:
        return
    try:
        page = read_page(response_dict["body"])
    except ElementTree.ParseError:
        return  # botocore takes half an answer for a server error, and asks again
    if page is not None:
        response_dict["body"] = b""
        customized_response_dict[_LISTED] = page
