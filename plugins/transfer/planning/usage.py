"""What a run asks of both clouds, counted without asking: the requests of an object follow from its size and ETag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from transfer.config import MAX_GET_BYTES, TransferConfig
from transfer.copying.metadata import STORAGE_CLASSES
from transfer.copying.parts import layout_of, missing_ranges
from transfer.copying.proof import server_md5
from transfer.model import ObjectMeta, TransferRequest
from transfer.records.messages import encode_request

PAGE_OBJECTS = 1_000
"""In one page of a listing, on either side (S3, "ListObjectsV2"; Cloud Storage, "Objects: list")."""
MIN_BILLED_BYTES = 1_000
"""For each publish or pull request (Pub/Sub pricing)."""
MESSAGE_EXTRA_BYTES = 20 + 17
"""Billed with a message besides body and attributes: its time, and its id, which has about 17 digits (Pub/Sub pricing)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRequests:
    """What moving one object takes, when nothing has to be tried again."""

    edge_gets: int
    class_a: int
    """Cloud Storage's dearer operations: what writes or lists."""
    class_b: int
    """Its cheaper ones: what reads. One that finds nothing is counted, too, though it may not be charged."""


def requests_of(item: ObjectMeta, config: TransferConfig) -> ObjectRequests:
    """The requests of one object, which `transfer/copying/whole.py` sends as its size and ETag demand.

    size                        way      edge GETs      class A                             class B
    up to `parallel_bytes`      at once  1              1: insert (+ 1, see below)          0
    from there, ETag an MD5     stream   1 in 32 GiB    2: a session (once), its record     2: look before, and for a record
    from there, any other ETag  parts    1 a range      parts + 5: note, begin, record,     4: and before and after the end
                                                        complete, proof

    What is over `whole_bytes` and has an ETag that is no MD5 gets its proof in one more request
    (`transfer/copying/binding.py`). An ETag of KMS's looks like an MD5, so that this request is not counted.

    The record of an upload is written again about every 2 s while it lasts; that depends on the line and is not counted.
    """
    if item.size_bytes < config.parallel_bytes:
        is_bound_afterwards = item.size_bytes > config.whole_bytes and not server_md5(item, {})
        return ObjectRequests(edge_gets=1, class_a=1 + is_bound_afterwards, class_b=0)
    if server_md5(item, {}):
        return ObjectRequests(edge_gets=-(-item.size_bytes // MAX_GET_BYTES), class_a=2, class_b=2)
    layout = layout_of(item, config.part_size_bytes)
    ranges = sum(1 for _ in missing_ranges(layout, {}, config.part_size_bytes))
    return ObjectRequests(edge_gets=ranges, class_a=layout.count + 5, class_b=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run uses. Its own records (manifest, ledger, report) come on top: a few requests for thousands of objects."""

    edge_requests: int
    edge_bytes: int
    """Of bodies; headers, about half a kilobyte an answer, come on top."""
    s3_list_requests: int
    s3_gets: Mapping[str, int]
    """By the source's storage class; each GET of the edge is one."""
    s3_read_bytes: Mapping[str, int]
    pubsub_bytes: int
    """Billed: published once and delivered once, each message counted as a request of its own."""
    class_a: Mapping[str, int]
    """By Cloud Storage's storage class."""
    class_b: Mapping[str, int]


class UsageMeter:
    """Counts a run that is only planned. Use from one thread."""

    def __init__(self, config: TransferConfig) -> None:
        self._config = config
        self._edge_requests = self._edge_bytes = self._listed = self._stored = self._pubsub_bytes = 0
        self._s3_gets: Counter[str] = Counter()
        self._s3_bytes: Counter[str] = Counter()
        self._class_a: Counter[str] = Counter()
        self._class_b: Counter[str] = Counter()

    def listed(self) -> None:
        """One object in the source's listing."""
        self._listed += 1

    def stored(self) -> None:
        """One object in the destination's listing."""
        self._stored += 1

    def moves(self, item: ObjectMeta) -> None:
        """One object that is to move."""
        needed = requests_of(item, self._config)
        self._edge_requests += needed.edge_gets
        self._edge_bytes += item.size_bytes
        self._s3_gets[item.storage_class] += needed.edge_gets
        self._s3_bytes[item.storage_class] += item.size_bytes
        kept_as = STORAGE_CLASSES.get(item.storage_class, "STANDARD")
        self._class_a[kept_as] += needed.class_a
        self._class_b[kept_as] += needed.class_b

    def publishes(self, request: TransferRequest) -> None:
        """One message to the workers, and its delivery."""
        body, attributes = encode_request(request)
        named = sum(len(name) + len(value) for name, value in attributes.items())
        self._pubsub_bytes += 2 * max(MIN_BILLED_BYTES, len(body) + named + MESSAGE_EXTRA_BYTES)

    def usage(self, *, is_listed_in_s3: bool) -> Usage:
        """All of it. The destination is listed twice: before the transfers, and by the reconciliation."""
        listings = Counter({"STANDARD": 2 * _pages(self._stored)})
        return Usage(
            edge_requests=self._edge_requests,
            edge_bytes=self._edge_bytes,
            s3_list_requests=_pages(self._listed) if is_listed_in_s3 else 0,
            s3_gets=dict(self._s3_gets),
            s3_read_bytes=dict(self._s3_bytes),
            pubsub_bytes=self._pubsub_bytes,
            class_a=dict(self._class_a + listings),
            class_b=dict(self._class_b),
        )


def _pages(objects: int) -> int:
    return max(1, -(-objects // PAGE_OBJECTS))
