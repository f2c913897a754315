"""Whether the distribution serves the source's objects, does not cache them, and lets unusual names through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transfer.comparison import etag_value, has_etag
from transfer.errors import EdgeBlocked, TransferError
from transfer.model import ObjectMeta
from transfer.preflight.clocks import ClockCheck
from transfer.preflight.edge_answers import EdgeAnswer, edge_problem, object_problem
from transfer.preflight.findings import Finding, Mark, failed, passed
from transfer.preflight.odd_keys import odd_keys_problem
from transfer.preflight.probes import EdgeProbe, SourceProbe
from transfer.preflight.source import spread

SAMPLE_FOLDERS = 8
"""After how many folders another object is requested before the distribution counts as unable to read the bucket."""
LAST_CHARACTER = "\U0010ffff"
"""Sorts after every other character."""
TEMPORARY_STATUSES = (429, 500, 502, 503, 504)
"""Statuses of an edge or origin that is overloaded: another attempt may succeed."""
CACHING = "check whether the edge caches"


class EdgeCheck:
    """The checks of the distribution. Use from one thread.

    Args:
        source: where more objects are listed when the first ones cannot be read; None when S3 is not listed.
        absent_key: a key that nothing has.
    """

    def __init__(self, edge: EdgeProbe, source: SourceProbe | None, clocks: ClockCheck, *, absent_key: str) -> None:
        self._edge = edge
        self._source = source
        self._clocks = clocks
        self._absent_key = absent_key
        self._check = f"read through the edge with connection {edge.conn_id!r}"

    def findings(self, objects: Sequence[ObjectMeta]) -> Iterator[Finding]:
        """Request one byte of a listed object, or of a missing key when none is listed: the edge answers that as well."""
        bucket = self._source.bucket if self._source else ""
        first_problem = ""
        try:
            for item in self._candidates(objects):
                answer = self._ask(item)
                problem = edge_problem(answer)
                if problem and answer.rule is not None and answer.rule.error is EdgeBlocked:
                    # Only this object's name may be blocked.
                    first_problem = first_problem or (f"{item.key!r}: {problem}" if item else problem)
                    continue
                if problem:
                    is_temporary = answer.status in TEMPORARY_STATUSES
                    yield Finding(mark=Mark.FAILED, check=self._check, detail=problem, is_temporary=is_temporary)
                    return
                if item is None:
                    yield passed(self._check, "the edge let the request through; there was no listed object to read")
                    yield Finding(mark=Mark.NOT_MADE, check=CACHING, detail="no listed object to request twice")
                    return
                if not (problem := object_problem(answer, bucket)):
                    yield self._served(item, answer)
                    yield self._caching(item, answer)
                    yield self._odd_names()
                    return
                first_problem = first_problem or f"{item.key!r}: HTTP {answer.status} {answer.error_code}: {problem}"
            yield Finding(mark=Mark.FAILED, check=self._check, detail=first_problem)
        except TransferError as error:
            yield failed(self._check, error)

    def _ask(self, item: ObjectMeta | None) -> EdgeAnswer:
        answer = self._edge.ask(item.key if item else self._absent_key)
        self._clocks.signature_life_s = self._edge.signature_life_s()
        self._clocks.note("the edge", answer.headers.get("date", ""), answer.headers.get("age", ""))
        return answer

    def _candidates(self, objects: Sequence[ObjectMeta]) -> Iterator[ObjectMeta | None]:
        """Listed objects, or None when there are none. An unreadable folder may fill a page, so objects after it follow."""
        near = spread(objects)
        yield from near or (None,)
        if near and self._source:
            for end in _ends_of_folders(near[-1].key)[:SAMPLE_FOLDERS]:
                yield from spread(self._source.page(end).objects)[:1]

    def _served(self, item: ObjectMeta, answer: EdgeAnswer) -> Finding:
        if has_etag(answer.headers):
            return passed(self._check, f"{item.key!r}, bytes 0-0")
        detail = (
            f"{item.key!r} came without its ETag: let the distribution's response headers policy pass ETag on; until then"
            " objects whose listed checksum cannot be computed again fail as SourceUnproven"
        )
        return Finding(mark=Mark.WARNED, check=self._check, detail=detail)

    def _caching(self, item: ObjectMeta, first: EdgeAnswer) -> Finding:
        """Request the same byte again: the answer's headers show whether the edge kept it."""
        again = self._edge.ask(item.key)
        if not (first.is_from_cache or again.is_from_cache):
            return passed(CACHING, "no: S3 served the same bytes twice")
        etag = etag_value(again.headers.get("etag", ""))
        is_stale = bool(etag) and etag != item.etag
        found = f"yes, and its copy of {item.key!r} is stale" if is_stale else "yes, so a copy may be stale"
        detail = f"{found}: use the cache policy CachingDisabled; each object is read once, and a cache gains nothing"
        return Finding(mark=Mark.WARNED, check=CACHING, detail=detail)

    def _odd_names(self) -> Finding:
        check = "check whether the edge lets unusual names through"
        if problem := odd_keys_problem(self._edge.ask, self._absent_key):
            return Finding(mark=Mark.WARNED, check=check, detail=problem)
        return passed(check)


def _ends_of_folders(key: str) -> list[str]:
    """A key after everything in a folder, for each folder that the key is in, the innermost first."""
    names = key.split("/")[:-1]
    return ["/".join([*names[:depth], LAST_CHARACTER]) for depth in range(len(names), 0, -1)]
