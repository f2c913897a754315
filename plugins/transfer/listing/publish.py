"""The first step of a run: march the source listing against the destination's, publish what has to move, write the manifest.

Nothing about an object passes through Airflow: keys go from S3's pages into messages and manifest shards, page by page,
in constant memory at any count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from threading import Event

from transfer.accounting.progress import Progress, ProgressReporter, TransferStats
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
from transfer.records.manifest import Manifest

REPORT_EVERY = 100
"""Objects between two looks at the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingSummary:
    """What a listing found and published."""

    listed: int
    listed_bytes: int
    messages: int
    objects: int
    """Objects published: those that have to move."""
    bytes: int
    skipped: int
    left_out: int = 0
    """Of those skipped, how many the selection left out."""
    passed_over: int = 0
    """Of those skipped, how many no run copies as they are: left out, archived, or the prefix itself."""
    skipped_numbers: str = ""
    """Numbers, as ranges, of what a try published that died before it could count it: not for workers."""
    began_at_s: float = 0.0
    """Before the first page of the first try, by Cloud Storage's clock; 0 where that is not known."""

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing, or nothing of it can be copied: more likely a mistake than a success."""
        return self.listed == self.passed_over


def list_and_publish(
    source: Iterable[ObjectMeta],
    destination: Iterable[DestinationObject],
    *,
    naming: Naming,
    overwrite: Overwrite,
    publisher: RequestPublisher,
    manifest: Manifest,
    run_id: str,
    listing: str,
    progress: Progress,
    stop: Event,
    began_at_s: float = 0.0,
    is_planned: bool = False,
    selection: Selection | None = None,
    cursor: ListingCursor | None = None,
    on_cursor: Callable[[ListingCursor], None] | None = None,
    on_report: Callable[[TransferStats], None] = lambda stats: None,
    on_pair: Callable[[ObjectMeta | None, DestinationObject | None, SkipReason | None], None] = lambda *pair: None,
) -> ListingSummary:
    """List, decide, publish and record; returns once Pub/Sub and the manifest hold everything.

    `listing` names this very listing: a repeated one must have another name, so that messages of a listing that was
    broken off can be told apart, unless it goes on from the `cursor` of that one, and then both sides need to be listed
    from there only. `on_cursor` gets a cursor for each manifest shard, once everything up to there is stored.
    `began_at_s` is when Cloud Storage says that it is, before the first page is asked for; a cursor's own comes before it.
    `is_planned` is whether the source is a plan's: uploads then stay conditional on the generations that the plan saw, so
    that nothing is overwritten that it did not know. `selection` is what the run is to move of it; None for all. `on_pair`
    is told every name of either side, and why its object need not move. Raises ListingOutOfOrder, Stopped, or what the
    backends raise.
    """
    reporter = ProgressReporter(progress, on_report)
    start = cursor.skipping(manifest.shard_lines) if cursor else ListingCursor(listing=listing, began_at_s=began_at_s)
    if cursor and on_cursor:
        on_cursor(start)  # before the first message
    batches = Batches(publisher, run_id=run_id, listing=listing, start=start)
    listed, listed_bytes, skipped = start.listed, start.listed_bytes, start.skipped
    left_out, passed_over = start.left_out, start.passed_over
    shards, told, last = manifest.shards, (0, 0), start.after
    pairs = march(
        (item for item in source if item.key > cursor.after) if cursor else source,
        destination,
        left_name=lambda item: naming.name_of(item.key),
        right_name=lambda stored: stored.name,
    )
    for item, stored in pairs:
        if stop.is_set():
            raise Stopped
        if item is None:
            on_pair(None, stored, None)
            continue
        listed += 1
        listed_bytes += item.size_bytes
        why_not = selection.why_not(item, naming.below_source(item.key)) if selection is not None else None
        reason = decide(item, stored, overwrite, why_not) if naming.name_of(item.key) else SkipReason.PREFIX_ITSELF
        generation = item.replaces_generation if is_planned else stored.generation if stored is not None else 0
        on_pair(item, stored, reason)
        manifest.add(item, reason, replaces=generation)
        if reason is not None:
            skipped += 1
            left_out += reason is why_not
            passed_over += reason in NEVER_COPIED
        else:
            batches.add(
                item if item.replaces_generation == generation else replace(item, replaces_generation=generation)
            )
        if manifest.shards > shards and on_cursor:
            shards = manifest.shards
            batches.flush()
            publisher.flush()
            on_cursor(
                batches.cursor(
                    after=item.key,
                    before=last,
                    began_at_s=start.began_at_s,
                    shards=shards,
                    listed=listed,
                    listed_bytes=listed_bytes,
                    skipped=skipped,
                    left_out=left_out,
                    passed_over=passed_over,
                )
            )
        last = item.key
        if listed % REPORT_EVERY == 0:
            told = _tell(progress, told, listed, batches.bytes)
            reporter.report()
    _tell(progress, told, listed, batches.bytes)
    batches.flush()
    publisher.flush()
    manifest.flush()
    reporter.report(force=True)
    return ListingSummary(
        listed=listed,
        listed_bytes=listed_bytes,
        messages=batches.messages,
        skipped_numbers=batches.skipped_numbers,
        objects=batches.objects,
        bytes=batches.bytes,
        skipped=skipped,
        left_out=left_out,
        passed_over=passed_over,
        began_at_s=start.began_at_s,
    )


def _tell(progress: Progress, told: tuple[int, int], listed: int, size_bytes: int) -> tuple[int, int]:
    """What was listed, and of that to move in bytes, since it was told last."""
    progress.listed(listed - told[0], size_bytes - told[1])
    return listed, size_bytes
