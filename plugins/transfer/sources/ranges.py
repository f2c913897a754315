"""Lists a bucket as one ascending stream, while many ranges of its keys are listed at a time.

    (after ─── page ─── page ───▶ ]   (S₁ ─── page ───▶ ]   (S₂ ─── page ───▶
     head: its pages come next         requested ahead, a few pages at most

A page names where the next one begins, so a single range is serial. While threads are idle, a range near the head with more than
a few pages left is split: a guess S requests the keys after S. A guess whose first key is F becomes a range, from F up to the end
of its parent, and the parent then ends before F. `transfer/sources/key_space.py` chooses S.

StartAfter is used, but not trusted. A server that keeps keys in folders may skip all of `S/…` when S is the name of a folder.
So the parent does not end at S: it continues by its own tokens up to F, and lists the keys that the guess skipped. Only a skipped
key after F would be in neither range. `S/…` comes after F only when F is less than `S/`, and such a guess is dropped. A guess
that finds nothing proves nothing; it only shows where not to guess again. A listing that resumes after a key requests the keys
after the one before it, and that key has to come first; otherwise it starts from the beginning and leaves out the keys it had.
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
"""How many requests are in flight at a time; boto3's clients keep 10 connections."""
PAGES_AHEAD = 8
"""How many pages of a range may wait, and how many a guess should leave to the range that it splits."""
MAX_RANGES = 32
MAX_PAGES = 64
"""How many pages may wait in all, besides one of the head and those requested: some 30 MiB of pages of 1,000 objects."""
PAGES_PER_GUESS = 4
"""How many pages have to be listed for each guess: a guess may be wasted, and each request costs money."""
PAGES_MEASURED = 4
"""How many of the last pages of a range measure how close together its keys are."""

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a listing."""

    items: list[T]
    is_last: bool
    token: str
    """The token of the next page; empty where the server gives none."""


A = TypeVar("A")


class Pages(Protocol[A, T]):
    """A source of pages. Both methods raise TransferError and nothing else."""

    def ask(self, *, after: str = "", token: str = "") -> A:
        """Request the page after the key `after`, or the one that a token stands for. Called from many threads."""

    def read(self, answer: A) -> Page[T]:
        """Read the page in an answer. Called from one thread, since parsing holds the interpreter's lock."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Range(Generic[T]):
    after: str
    """The last key listed, or the key after which the range begins."""
    until: str | None
    """The first key of the next range; None for the last range."""
    nothing_from: str | None = None
    """The key after which a guess found nothing, where no other guess is made."""
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
    """Whether a key after this range had been listed already when its last page was requested."""

    @property
    def span(self) -> tuple[str, str, int]:
        """The first and the last key of the pages listed last, and the number of these pages."""
        return self.firsts[0], self.after, len(self.firsts)

    def key_ahead(self, prefix: str) -> str | None:
        """A key after which another range could begin; None where there is none."""
        spans = [self.span]
        if self.parents_span is not None and len(self.firsts) < PAGES_MEASURED:
            spans.append(self.parents_span)
        ends = [end for end in (self.until, self.nothing_from) if end is not None]
        return key_ahead(
            self.after, min(ends, default=None), pages=PAGES_AHEAD, sample=self.sample, spans=spans, prefix=prefix
        )


class RangedListing(Generic[A, T]):
    """Lists every key after `after` once. Not thread-safe; it makes requests from threads that it starts.

    `before` is the key that came just before `after` in an earlier listing; without it, pages are requested from the beginning.
    Iteration raises ListingOutOfOrder, EndpointRejected, Stopped, and the errors of `pages`.
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
        # Keys of a folder `before/` would come after `after`, where it would go unnoticed that a server skips them.
        self._witness = before if after >= f"{before}/" else ""
        """The key after which the server has to list `_skipped_to` first, to show that it skips nothing."""
        self._ranges = [_Range[T](after=self._witness, until=None)]
        self._asked: dict[Future[A], Callable[[Future[A]], None]] = {}
        self._can_split = True
        self._pages = 0
        self._guesses = 0

    def items(self) -> Iterator[T]:
        """The items in ascending order of their keys."""
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
        """The items of a page after the key where the listing resumes."""
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
        """Keep the threads busy with the ranges nearest to the head.

        While the caller does not wait, one page ahead is enough, and nothing is guessed.
        """
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
        """Request the keys some pages after those listed of a range."""
        if not parent.firsts or parent.is_done or parent.has_guess or len(self._asked) >= THREADS:
            return
        if not self._can_split or len(self._ranges) >= MAX_RANGES or self._guesses >= self._pages // PAGES_PER_GUESS:
            return
        point = parent.key_ahead(self._prefix)
        if point is not None:
            self._guesses += 1
            parent.has_guess = True
            self._asked[pool.submit(partial(self._source.ask, after=point))] = partial(self._take_guess, parent, point)

    def _take(self, asked: _Range[T], future: Future[A]) -> None:
        asked.is_asked = False
        page = self._source.read(future.result())
        if self._witness and not self._pages:
            is_seen = bool(page.items) and self._key_of(page.items[0]) == self._skipped_to
            self._witness = ""
            if not is_seen:  # the key was deleted since, or StartAfter does not work as it should
                asked.after = ""
                return
        self._add(asked, page)

    def _add(self, to: _Range[T], page: Page[T]) -> None:
        """Add a page to its range, without the items of the next range."""
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
            raise EndpointRejected("the listing says that there is more, but names no next page", stage=Stage.LIST)
        if page.is_last and to.was_bounded and to.until is not None and before[-1] < to.until:
            raise EndpointRejected(
                f"a page of the listing ends at {before[-1]!r} and says that it is the last, but {to.until!r} had been listed"
                " before: keys are missing between them, or many were deleted just now; run again, and if this happens again,"
                " check for a proxy between this machine and S3",
                stage=Stage.LIST,
            )
        if items:
            to.pages.append(items)
        if keys:
            to.firsts.append(keys[0])
            to.sample = keys[:: max(1, len(keys) // 16)]
            to.after = keys[-1]
        to.token = page.token

    def _take_guess(self, parent: _Range[T], point: str, future: Future[A]) -> None:
        """Make a range of a guess that found keys."""
        parent.has_guess = False
        try:
            page = self._source.read(future.result())
        except TransferError:
            self._can_split = False  # an error that is not the guess's fault will be met by the ranges as well
            return
        if not page.items:
            parent.nothing_from = point if page.is_last else parent.nothing_from
            return
        first = self._key_of(page.items[0])
        if first <= point:
            self._can_split = False  # the server does not know StartAfter
            return
        if first < f"{point}/" or parent.is_done or parent.after >= first or (parent.until and first >= parent.until):
            return  # the server may have skipped keys, or the parent has listed F by now, or F is of the next range
        found = _Range[T](after=point, until=parent.until, nothing_from=parent.nothing_from, parents_span=parent.span)
        self._add(found, page)
        self._ranges.insert(self._ranges.index(parent) + 1, found)
        parent.until = first
