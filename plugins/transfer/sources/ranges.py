"""A bucket's listing as one ascending stream, though many ranges of its keys are listed at a time.

    (after ─── page ─── page ───▶ ]   (S₁ ─── page ───▶ ]   (S₂ ─── page ───▶
     head: everybody waits for it      asked ahead, a few pages at most

A page names where the next one begins, so a range alone is serial. While threads are idle, a range near the head that has more
than a few pages to go is split: a guess S asks for what comes behind it. A guess whose first key is F becomes a range of its
own, from F up to where its parent ended, and the parent then ends before F. Where to guess: `transfer/sources/key_space.py`.

StartAfter is asked, and not believed. A server that keeps keys in folders may skip all of `S/…` when S is a folder's name. So
nothing is cut off at S: the parent lists on up to F by its own tokens, and meets what the guess skipped. Only a key behind F
would be in neither, and `S/…` comes behind F just when F is below `S/`: such a guess is dropped. A guess that finds nothing
proves nothing; it only says where not to guess again. A listing that goes on behind a key asks from the key before it, which
has to bring that key first; otherwise it begins at the beginning and leaves out what it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from operator import lt
from typing import Generic, Protocol, TypeVar

from transfer.errors import EndpointRejected, Stage, Stopped, TransferError
from transfer.march import out_of_order
from transfer.sources.key_space import key_ahead
from transfer.stopping import NEVER, POLL_S, Stop

THREADS = 8
"""Requests at a time; boto3's clients keep 10 connections."""
PAGES_AHEAD = 8
"""How many pages of a range may wait, and how many a guess should leave to the range that it splits."""
MAX_RANGES = 32
MAX_PAGES = 64
"""How many may wait in all, but for a page of the head and those asked for: some 30 MiB of pages of 1,000 objects."""
PAGES_PER_GUESS = 4
"""A guess may be wasted, and each request costs money: no more than one for so many pages. Fewer pages see none."""
PAGES_MEASURED = 4
"""Of a range, how many pages tell how close together its keys are."""

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Page(Generic[T]):
    """What one request brought."""

    items: list[T]
    is_last: bool
    token: str
    """Stands for the page after this one; empty where the server gives none."""


A = TypeVar("A")


class Pages(Protocol[A, T]):
    """Where pages come from. Both methods raise TransferError and nothing else."""

    def ask(self, *, after: str = "", token: str = "") -> A:
        """For what comes behind the key `after`, or what a token stands for. Called from many threads."""

    def read(self, answer: A) -> Page[T]:
        """The page in an answer. Called from one thread: what needs the interpreter only makes threads wait for it."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Range(Generic[T]):
    after: str
    """The last key listed, or where it begins."""
    until: str | None
    """The first key that is no longer its own, if it ends before the listing does."""
    nothing_from: str | None = None
    """Where a guess found nothing: no proof, but no place for another."""
    token: str = ""
    pages: deque[list[T]] = field(default_factory=deque)
    firsts: deque[str] = field(default_factory=lambda: deque(maxlen=PAGES_MEASURED))
    """The first keys of the pages listed last."""
    sample: Sequence[str] = ()
    parents_span: tuple[str, str, int] | None = None
    is_asked: bool = False
    is_done: bool = False
    has_guess: bool = False
    was_bounded: bool = False
    """Whether something behind it had been listed already when its last page was asked for."""

    @property
    def span(self) -> tuple[str, str, int]:
        """Between which keys so many pages were."""
        return self.firsts[0], self.after, len(self.firsts)

    def key_ahead(self, prefix: str) -> str | None:
        """Where another range could begin."""
        spans = [self.span]
        if self.parents_span is not None and len(self.firsts) < PAGES_MEASURED:
            spans.append(self.parents_span)
        ends = [end for end in (self.until, self.nothing_from) if end is not None]
        return key_ahead(
            self.after, min(ends, default=None), pages=PAGES_AHEAD, sample=self.sample, spans=spans, prefix=prefix
        )


class RangedListing(Generic[A, T]):
    """Lists everything behind `after` once. Use from one thread; requests are made by others.

    `before` is the key that the listing had just before `after`; without it, pages are asked for from the beginning.
    Raises ListingOutOfOrder, EndpointRejected, Stopped, and what `pages` raises.
    """

    def __init__(
        self,
        pages: Pages[A, T],
        *,
        key_of: Callable[[T], str],
        prefix: str = "",
        after: str = "",
        before: str = "",
        stop: Stop = NEVER,
    ) -> None:
        self._source = pages
        self._stop = stop
        self._key_of = key_of
        self._prefix = prefix
        self._skipped_to = after
        """Keys up to this one are left out."""
        # Keys of a folder `before/` would come behind `after`, where a server that skips them would not be found out.
        self._witness = before if after >= f"{before}/" else ""
        """From where on the server has to give `_skipped_to` first, to show that it skips nothing."""
        self._ranges = [_Range[T](after=self._witness, until=None)]
        self._asked: dict[Future[A], Callable[[Future[A]], None]] = {}
        self._can_split = True
        self._pages = 0
        self._guesses = 0

    def items(self) -> Iterator[T]:
        """All of them, in order."""
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="list")
        try:
            while self._ranges:
                if self._stop.is_set():
                    raise Stopped
                self._collect()
                head = self._ranges[0]
                if not head.pages and head.is_done:
                    self._ranges.pop(0)
                    continue
                page = head.pages.popleft() if head.pages else None
                self._ask_ahead(pool, is_waiting=page is None)
                if page is not None:
                    yield from self._unskipped(page)
                else:
                    wait(self._asked, timeout=POLL_S, return_when=FIRST_COMPLETED)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _unskipped(self, page: list[T]) -> Iterable[T]:
        """What of a page comes behind the key that the listing goes on from."""
        if not self._skipped_to:
            return page
        unskipped = [item for item in page if self._key_of(item) > self._skipped_to]
        if unskipped:
            self._skipped_to = ""
        return unskipped

    def _collect(self) -> None:
        for future in [future for future in self._asked if future.done()]:
            self._asked.pop(future)(future)

    def _ask_ahead(self, pool: ThreadPoolExecutor, *, is_waiting: bool) -> None:
        """Keep the threads busy with what is nearest to the head. While nobody waits, a page ahead and no guess is enough."""
        near = self._ranges[:THREADS]
        for each in near:
            self._ask(each, pool, pages=PAGES_AHEAD if is_waiting else 1)
        if is_waiting:
            for each in near:
                self._guess(each, pool)

    def _ask(self, each: _Range[T], pool: ThreadPoolExecutor, *, pages: int) -> None:
        if each.is_asked or each.is_done or len(each.pages) >= pages or len(self._asked) >= THREADS:
            return
        is_head = each is self._ranges[0]
        if not is_head and sum(len(other.pages) for other in self._ranges) + len(self._asked) >= MAX_PAGES:
            return
        each.is_asked, each.was_bounded = True, each.until is not None
        ask = partial(self._source.ask, token=each.token) if each.token else partial(self._source.ask, after=each.after)
        self._asked[pool.submit(ask)] = partial(self._take, each)

    def _guess(self, parent: _Range[T], pool: ThreadPoolExecutor) -> None:
        """Ask for what comes some pages behind what is listed of a range."""
        if not parent.firsts or parent.is_done or parent.has_guess or len(self._asked) >= THREADS:
            return
        if not self._can_split or len(self._ranges) >= MAX_RANGES or self._guesses >= self._pages // PAGES_PER_GUESS:
            return
        point = parent.key_ahead(self._prefix)
        if point is not None:
            self._guesses += 1
            parent.has_guess = True
            self._asked[pool.submit(partial(self._source.ask, after=point))] = partial(self._judge, parent, point)

    def _take(self, asked: _Range[T], future: Future[A]) -> None:
        asked.is_asked = False
        page = self._source.read(future.result())
        if self._witness and not self._pages:
            is_seen = bool(page.items) and self._key_of(page.items[0]) == self._skipped_to
            self._witness = ""
            if not is_seen:  # that key was deleted since, or StartAfter does not do what it should
                asked.after = ""
                return
        self._add(asked, page)

    def _add(self, to: _Range[T], page: Page[T]) -> None:
        """A page to its range, without what is another range's."""
        self._pages += 1
        keys = list(map(self._key_of, page.items))
        before = [to.after, *keys]
        if not all(map(lt, before, keys)):
            last, key = next((last, key) for last, key in zip(before, keys, strict=False) if key <= last)
            raise out_of_order("source listing", key, last)
        items, to.is_done = page.items, page.is_last
        if to.until is not None and keys and keys[-1] >= to.until:
            items, to.is_done = items[: bisect_left(keys, to.until)], True
        if not to.is_done and (not page.token or (not keys and page.token == to.token)):
            raise EndpointRejected("the listing goes on, it says, but not where", stage=Stage.LIST)
        if page.is_last and to.was_bounded and to.until is not None and before[-1] < to.until:
            raise EndpointRejected(
                f"a page of the listing ends at {before[-1]!r} and says that it is the last, and {to.until!r} had been listed"
                " before: keys are missing between them, or many were deleted just now; run again, and if it comes again,"
                " look at what stands between this machine and S3",
                stage=Stage.LIST,
            )
        if items:
            to.pages.append(items)
        if keys:
            to.firsts.append(keys[0])
            to.sample = keys[:: max(1, len(keys) // 16)]
            to.after = keys[-1]
        to.token = page.token

    def _judge(self, parent: _Range[T], point: str, future: Future[A]) -> None:
        """Make a range of a guess that found keys."""
        parent.has_guess = False
        try:
            page = self._source.read(future.result())
        except TransferError:
            self._can_split = False  # if it is not the guess that is at fault, the ranges will meet it, too
            return
        if not page.items:
            parent.nothing_from = point if page.is_last else parent.nothing_from
            return
        first = self._key_of(page.items[0])
        if first <= point:
            self._can_split = False  # the server does not know StartAfter
            return
        if first < f"{point}/" or parent.is_done or parent.after >= first or (parent.until and first >= parent.until):
            return  # not to be believed, overtaken, or of the next range
        found = _Range[T](after=point, until=parent.until, nothing_from=parent.nothing_from, parents_span=parent.span)
        self._add(found, page)
        self._ranges.insert(self._ranges.index(parent) + 1, found)
        parent.until = first
