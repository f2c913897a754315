"""Counts the requests and bytes that a run would use, without sending any: they follow from each object's size and ETag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from transfer.config import MAX_GET_BYTES, TransferConfig
from transfer.copying.metadata import STORAGE_CLASSES
from transfer.copying.parts import layout_of, missing_ranges
from transfer.copying.proof import server_md5
from transfer.model import ObjectMeta

PAGE_OBJECTS = 1_000
"""How many objects one page of a listing has (S3, "ListObjectsV2"; Cloud Storage, "Objects: list")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRequests:
    """The requests that copying one object takes, without retries."""

    edge_gets: int
    class_a: int
    """Cloud Storage's more expensive operations: writes and listings."""
    class_b: int
    """Cloud Storage's cheaper operations: reads. Reads that find nothing are counted, although they may not be charged."""


def requests_of(item: ObjectMeta, config: TransferConfig) -> ObjectRequests:
    """The requests that `transfer/copying/whole.py` sends to copy one object, by its size and ETag.

    size                        upload   edge GETs      class A                             class B
    below `parallel_bytes`      at once  1              1: insert (+ 1, see below)          0
    from there, ETag an MD5     stream   1 per 32 GiB   2: session (once), its record       2: object, record
    from there, any other ETag  parts    1 per range    parts + 5: note, start, record,     4: object, record, and the object
                                                        complete, proof                     before and after completing

    An object larger than `whole_bytes` whose ETag is not an MD5 gets its proof in one more request
    (`transfer/copying/binding.py`). With KMS the ETag looks like an MD5, so that this request is not counted.

    The record of an upload is rewritten about every 2 s while the upload lasts. How often depends on the bandwidth, and is not
    counted.
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
    """The requests and bytes of a run, without its own records (manifest, ledger, report): a few requests per 1,000 objects."""

    edge_requests: int
    edge_bytes: int
    """Of the bodies, without the headers, which are about 500 bytes per answer."""
    s3_list_requests: int
    s3_gets: Mapping[str, int]
    """GET requests by the storage class in the source; each GET of the edge causes one."""
    s3_read_bytes: Mapping[str, int]
    """Bytes read by the storage class in the source."""
    pubsub_bytes: int
    """Billed bytes: each message is published once and delivered once, in a separate request."""
    class_a: Mapping[str, int]
    """Class A operations by the storage class in Cloud Storage."""
    class_b: Mapping[str, int]
    """Class B operations by the storage class in Cloud Storage."""


class UsageMeter:
    """Counts the usage of the copies of a run, planned or done. Use from one thread."""

    def __init__(self, config: TransferConfig) -> None:
        self._config = config
        self._whole_bytes = config.whole_bytes
        self._edge_requests = self._edge_bytes = 0
        self._whole: Counter[str] = Counter()  # objects that take one GET and one insert, by storage class
        self._s3_gets: Counter[str] = Counter()
        self._s3_bytes: Counter[str] = Counter()
        self._class_a: Counter[str] = Counter()
        self._class_b: Counter[str] = Counter()

    def count_copy(self, item: ObjectMeta) -> None:
        """Count the requests of copying one object."""
        self._edge_bytes += item.size_bytes
        self._s3_bytes[item.storage_class] += item.size_bytes
        if item.size_bytes <= self._whole_bytes:  # almost all objects of a large run
            self._whole[item.storage_class] += 1
            return
        needed = requests_of(item, self._config)
        self._edge_requests += needed.edge_gets
        self._s3_gets[item.storage_class] += needed.edge_gets
        stored_as = STORAGE_CLASSES.get(item.storage_class, "STANDARD")
        self._class_a[stored_as] += needed.class_a
        self._class_b[stored_as] += needed.class_b

    def usage(self, *, listed: int | None, stored: int, message_bytes: int) -> Usage:
        """The usage so far.

        `listed` is how many objects S3 listed, None where it was not asked. `stored` is how many objects the destination has: it
        is listed twice, before the copies and by the reconciliation. `message_bytes` are billed for messages.
        """
        class_a = Counter({"STANDARD": 2 * _pages(stored)}) + self._class_a
        for storage_class, objects in self._whole.items():
            class_a[STORAGE_CLASSES.get(storage_class, "STANDARD")] += objects
        return Usage(
            edge_requests=self._edge_requests + self._whole.total(),
            edge_bytes=self._edge_bytes,
            s3_list_requests=0 if listed is None else _pages(listed),
            s3_gets=dict(self._s3_gets + self._whole),
            s3_read_bytes=dict(self._s3_bytes),
            pubsub_bytes=message_bytes,
            class_a=dict(class_a),
            class_b=dict(self._class_b),
        )


def _pages(objects: int) -> int:
    return max(1, -(-objects // PAGE_OBJECTS))
