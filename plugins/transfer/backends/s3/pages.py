"""Requests single pages of a bucket's listing: boto3 signs, chooses the endpoint and retries; this module reads the answers.

botocore's own parser reads some 10,000 keys a second of CPU time. An event handler therefore takes a complete listing before
botocore parses it, and leaves botocore an empty body. Errors and incomplete listings remain botocore's to read and to retry.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from transfer.backends.s3.answers import listing_error
from transfer.backends.s3.page_xml import S3Page, is_whole, read_page
from transfer.errors import EndpointRejected, Stage

_EVENT = "before-parse.*.ListObjectsV2"
"""botocore calls handlers of wildcard services before its own handlers of `s3.*`, which would parse the answer as well."""
_LISTED = "EdgehaulListed"
_ours = threading.local()
"""Whether this thread is listing for us: the same client may be used for other listings."""


class S3Pages:
    """Pages of the listing of one bucket under one prefix. Thread-safe, as boto3's clients are.

    `ask` raises BucketMissing, CredentialsRejected, SourceUnavailable or EndpointRejected; `read` raises EndpointRejected.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client: BaseClient = client
        self._bucket = bucket
        self._prefix = prefix
        client.meta.events.register(_EVENT, _take_ours, unique_id=_EVENT)

    def ask(self, *, after: str = "", token: str = "") -> S3Answer:
        """Request up to 1,000 objects: those after the key `after`, or those that the token of the previous page stands for."""
        place = {"ContinuationToken": token} if token else {"StartAfter": after} if after else {}
        _ours.is_asking = True
        try:
            answer = self._client.list_objects_v2(
                Bucket=self._bucket,
                Prefix=self._prefix,
                EncodingType="url",  # XML cannot hold every key
                OptionalObjectAttributes=["RestoreStatus"],
                **place,
            )
        except (ClientError, BotoCoreError) as error:
            raise listing_error(error, bucket=self._bucket) from error
        except ResponseParserError as error:
            raise self._rejected(error) from error
        finally:
            _ours.is_asking = False
        metadata = answer["ResponseMetadata"]
        if _LISTED not in answer:
            raise self._rejected(f"the server answered {metadata['HTTPStatusCode']}, but with no listing")
        return S3Answer(answer[_LISTED], metadata["HTTPHeaders"].get("date", ""))

    def read(self, answer: S3Answer) -> S3Page:
        """The page in an answer."""
        try:
            page = read_page(answer.body)
        except (ValueError, ElementTree.ParseError) as error:
            raise self._rejected(error) from error
        page.date = answer.date
        # The first and the last are enough: the keys are checked to ascend, and all keys of a prefix are neighbours.
        for item in page.items[:1] + page.items[-1:]:
            if not item.key.startswith(self._prefix):
                raise self._rejected(f"it returned {item.key!r}, which is not under the prefix {self._prefix!r}")
        return page

    def _rejected(self, why: object) -> EndpointRejected:
        return EndpointRejected(f"listing s3://{self._bucket}: {str(why)[:300]}", stage=Stage.LIST)


@dataclass(frozen=True, slots=True)
class S3Answer:
    """A page of a listing as the server sent it, and the answer's `Date` header."""

    body: bytes
    date: str


def _take_ours(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    if getattr(_ours, "is_asking", False) and response_dict["status_code"] == 200 and is_whole(response_dict["body"]):
        customized_response_dict[_LISTED] = response_dict["body"]
        response_dict["body"] = b""
