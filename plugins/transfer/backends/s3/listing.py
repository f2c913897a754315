"""Lists the source bucket as one ascending stream of objects, made of many ranges of keys that are listed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transfer.backends.s3.pages import S3Pages
from transfer.model import ObjectMeta
from transfer.preflight.probes import ListedPage
from transfer.sources.ranges import RangedListing
from transfer.stopping import NEVER, Stop


def list_objects(
    client: Any, bucket: str, prefix: str, *, after: str = "", before: str = "", stop: Stop = NEVER
) -> Iterator[ObjectMeta]:
    """The objects under a prefix in byte order, those after the key `after` where one is given; botocore retries.

    `before` is the key that came just before `after` in an earlier listing. Without it, everything is listed, and the keys up
    to `after` are left out. Raises BucketMissing, CredentialsRejected, SourceUnavailable, EndpointRejected, ListingOutOfOrder,
    Stopped.
    """
    pages = S3Pages(client, bucket, prefix)
    return RangedListing(
        pages, key_of=lambda item: item.key, prefix=prefix, after=after, before=before, stop=stop
    ).items()


def one_page(client: Any, bucket: str, prefix: str, *, after: str = "") -> ListedPage:
    """Up to 1,000 objects under a prefix: the first ones, or those after a key. Raises the errors that `list_objects` raises."""
    pages = S3Pages(client, bucket, prefix)
    page = pages.read(pages.ask(after=after))
    return ListedPage(objects=page.items, date=page.date)
