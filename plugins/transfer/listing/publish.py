"""The first step of a run: list the source and the destination side by side, publish what has to be copied, write the manifest.

Nothing about an object passes through Airflow: keys go from S3's pages into messages and manifest shards, page by page,
in constant memory at any count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from transfer.accounting.listing_progress import ListingProgress, ListingStats
from transfer.accounting.progress_reporter import ProgressReporter
from transfer.config import Overwrite
from transfer.errors import Stopped
from transfer.listing.batches import Batches
from transfer.listing.cursor import ListingCursor
from transfer.listing.decision import decide
from transfer.listing.selection import Selection
from transfer.march import march
from transfer.model import NEVER_COPIED, DestinationObject, ObjectMeta, SkipReason
from transfer.naming import Naming
from transfer.ports import RequestPublisher
from transfer.records.listing_record import ListingCounts
from transfer.records.manifest import Manifest
from transfer.stopping import Stop

REPORT_EVERY = 100
"""Progress is reported after this many objects, if it is due."""

OnPair = Callable[[ObjectMeta | None, DestinationObject | None, SkipReason | None], None]
"""Called for every name with its object on either side (None where it is absent), and why it need not be copied
(None: it is copied, or is not in the source)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingJob:
    """The parameters of one listing of a run."""

    run_id: str
    """The transfer id, which the messages carry."""
    listing: str
    """The name of this listing in messages and records. A repeated listing needs another name, so that messages of an
    interrupted one can be recognized; only a listing that resumes from a cursor keeps the name."""
    naming: Naming
    overwrite: Overwrite
    selection: Selection | None = None
    """Which objects of the source the run copies; None for all."""
    is_planned: bool = False
    """Whether the source is an earlier plan. Uploads then stay conditional on the generations that the plan recorded, so
    that no object is overwritten that is newer than the plan."""
    began_at_s: float = 0.0
    """The time before the first page is requested, by Cloud Storage's clock; the one in a cursor takes precedence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingSummary:
    """What a listing found and published."""

    counts: ListingCounts
    skipped_numbers: str = ""
    """Numbers, as ranges, of messages that a killed attempt may have published after its cursor: workers must ignore these."""
    began_at_s: float = 0.0
    """Unix time just before the first page of the first attempt was requested, by Cloud Storage's clock; 0 if unknown."""

    @property
    def is_empty(self) -> bool:
        """Whether no listed object can be copied, or none was listed: more likely a mistake than a success."""
        return self.counts.listed == self.counts.passed_over


class Lister:
    """Decides on each listed object, publishes those to copy, and records all. For one listing; use from one thread.

    Args:
        publisher: gets the messages; the topic, or the tally of a plan.
        manifest: gets every listed object. Its shards are those of the cursor.
        cursor: where an earlier attempt at this listing stopped; both sides then need to be listed from there only.
        on_cursor: called with a cursor for each manifest shard, once everything up to it is stored.
        on_pair: called for each name of either side.
    """

    def __init__(
        self,
        job: ListingJob,
        *,
        publisher: RequestPublisher,
        manifest: Manifest,
        cursor: ListingCursor | None = None,
        on_cursor: Callable[[ListingCursor], None] | None = None,
        on_pair: OnPair | None = None,
    ) -> None:
        if cursor is None:
            start = ListingCursor(listing=job.listing, began_at_s=job.began_at_s)
        else:
            start = cursor.skipping(manifest.shard_lines)
        self._job = job
        self._start = start
        self._publisher = publisher
        self._manifest = manifest
        self._on_cursor = on_cursor
        self._on_pair = on_pair
        self._counts = replace(start.counts)
        self._batches = Batches(
            publisher, run_id=job.run_id, listing=job.listing, counts=self._counts, next_number=start.next_number
        )
        self._shards = manifest.shards
        self._before, self._after = start.before, start.after
        self._nameless_key = None if job.naming.destination_prefix else job.naming.source_prefix
        """The one key that leaves no name at the destination."""

    def run(
        self,
        source: Iterable[ObjectMeta],
        destination: Iterable[DestinationObject],
        *,
        on_report: Callable[[ListingStats], None] = lambda stats: None,
        stop: Stop,
    ) -> ListingSummary:
        """List both sides to their end; returns once Pub/Sub and the manifest hold everything.

        `on_report` is called about once a second with the progress so far. Raises ListingOutOfOrder, Stopped, or what the
        backends raise.
        """
        after, naming = self._start.after, self._job.naming
        progress = ListingProgress()
        reporter = ProgressReporter(progress, on_report)
        if self._start.skipped_numbers and self._on_cursor:
            # The listing resumes: store the skipped numbers before the first message is published.
            self._on_cursor(self._start)
        pairs = march(
            (item for item in source if item.key > after) if after else source,
            destination,
            left_name=lambda item: naming.name_of(item.key),
            right_name=lambda stored: stored.name,
        )
        for item, stored in pairs:
            if stop.is_set():
                raise Stopped
            if item is None:
                if self._on_pair:
                    self._on_pair(None, stored, None)
                continue
            self.take(item, stored)
            if self._manifest.shards > self._shards and self._on_cursor:
                self._on_cursor(self.checkpoint())
            if self._counts.listed % REPORT_EVERY == 0:
                progress.counted(self._stats())
                reporter.report()
        self._batches.flush()
        self._publisher.flush()
        self._manifest.flush()
        progress.counted(self._stats())
        reporter.report(is_last=True)
        return self.summary()

    def take(self, item: ObjectMeta, stored: DestinationObject | None) -> None:
        """Decide on one listed object, and publish and record it; `stored` is the destination's object of that name."""
        job, counts = self._job, self._counts
        self._before, self._after = self._after, item.key
        counts.listed += 1
        counts.listed_bytes += item.size_bytes
        left_out = None
        if job.selection is not None:
            left_out = job.selection.why_not(item, job.naming.below_source(item.key))
        if item.key == self._nameless_key:
            reason: SkipReason | None = SkipReason.PREFIX_ITSELF
        else:
            reason = decide(item, stored, job.overwrite, left_out)
        there = 0 if stored is None else stored.generation
        generation = item.replaces_generation if job.is_planned else there
        if self._on_pair:
            self._on_pair(item, stored, reason)
        self._manifest.add(item, reason, replaces=generation)
        if reason is None:
            is_same = item.replaces_generation == generation
            self._batches.add(item if is_same else replace(item, replaces_generation=generation))
            return
        counts.skipped += 1
        counts.left_out += reason is left_out
        counts.passed_over += reason in NEVER_COPIED

    def checkpoint(self) -> ListingCursor:
        """Store all messages so far, and return a cursor to the last object. The manifest must be flushed up to there."""
        self._batches.flush()
        self._publisher.flush()
        self._shards = self._manifest.shards
        return replace(
            self._start,
            after=self._after,
            before=self._before,
            shards=self._shards,
            next_number=self._batches.next_number,
            counts=replace(self._counts),
        )

    def summary(self) -> ListingSummary:
        """A summary of what has been found and published so far."""
        return ListingSummary(
            counts=replace(self._counts),
            skipped_numbers=self._start.skipped_numbers,
            began_at_s=self._start.began_at_s,
        )

    def _stats(self) -> ListingStats:
        counts = self._counts
        return ListingStats(
            listed=counts.listed,
            listed_bytes=counts.listed_bytes,
            skipped=counts.skipped,
            objects_total=counts.objects,
            bytes_total=counts.size_bytes,
        )
