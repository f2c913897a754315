"""Checks everything that a run needs before anything is copied, and reports all problems at once.

The checks send about a dozen small requests. They leave no object behind, except one empty object where deleting is not
allowed; the finding then names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from transfer.model import ObjectMeta
from transfer.preflight.clocks import ClockCheck
from transfer.preflight.destination import BucketCheck
from transfer.preflight.edge import EdgeCheck
from transfer.preflight.findings import Finding, Mark, table
from transfer.preflight.probes import BucketProbe, EdgeProbe, SourceListProbe, SourceProbe, TopicProbe
from transfer.preflight.source import SourceCheck, source_list_finding
from transfer.preflight.topics import topic_finding

__all__ = ["Finding", "Mark", "Preflight", "table"]


class Preflight:
    """The checks of one run. Use from one thread.

    Args:
        source: the source bucket; None when S3 is not listed, because the run copies objects of an earlier run.
        source_list: the inventory or manifest in place of a listing, if any; the listing then only finds objects to read
            through the edge.
        edge: the distribution.
        buckets: the destination bucket, and the state bucket if it is another one.
        topics: the topics for transfer requests and for failures.
        object_name: a name under the state prefix that no other run uses.
        samples: whether copies are compared with the source afterwards, so that objects are read from S3 itself.
        deletes: whether the run deletes objects that the source does not have, so that S3 is asked about single keys.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        *,
        source: SourceProbe | None,
        edge: EdgeProbe,
        buckets: Sequence[BucketProbe],
        topics: Sequence[TopicProbe],
        object_name: str,
        source_list: SourceListProbe | None = None,
        deletes: bool = False,
        samples: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clocks = ClockCheck(clock)
        self._source = None
        if source is not None:
            absent_key = f"{source.prefix}{object_name}"
            self._source = SourceCheck(source, self._clocks, absent_key=absent_key, deletes=deletes, samples=samples)
        self._source_list = source_list
        self._edge = EdgeCheck(edge, source, self._clocks, absent_key=object_name)
        self._buckets = [
            BucketCheck(
                bucket,
                self._clocks,
                object_name=object_name,
                holds_copies=bucket is buckets[0],
                holds_records=bucket is buckets[-1],
            )
            for bucket in buckets
        ]
        self._topics = topics

    def findings(self) -> Iterator[Finding]:
        """Make every check, and yield each finding as soon as there is one."""
        objects: Sequence[ObjectMeta] = ()
        if self._source is None:
            detail = "not needed: the objects of an earlier run are copied"
            yield Finding(mark=Mark.NOT_MADE, check="list the source", detail=detail)
        else:
            yield from self._source.findings()
            objects = self._source.objects
        if self._source_list is not None:
            yield source_list_finding(self._source_list)
        yield from self._edge.findings(objects)
        for bucket in self._buckets:
            yield from bucket.findings()
        for topic in self._topics:
            yield topic_finding(topic)
        yield self._clocks.finding()
