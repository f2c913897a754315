"""The source bucket's listing: one ascending stream of objects, made of many ranges of keys at a time."""

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
    """The objects under a prefix, behind the key `after` if there is one, in byte order; botocore retries.

    `before` is the key that a listing had just before that one; without it, what is up to `after` is listed and left out.
    Raises BucketMissing, CredentialsRejected, SourceUnavailable, EndpointRejected, ListingOutOfOrder, Stopped.
    """
    pages = S3Pages(client, bucket, prefix)
    return RangedListing(
        pages, key_of=lambda item: item.key, prefix=prefix, after=after, before=before, stop=stop
    ).items()


def one_page(client: Any, bucket: str, prefix: str, *, after: str = "") -> ListedPage:
    """The first objects under a prefix, or the first after a key, up to 1,000 of them. Raises as `list_objects` does."""
    pages = S3Pages(client, bucket, prefix)
    page = pages.read(pages.ask(after=after))
    return ListedPage(objects=page.items, date=page.date)
