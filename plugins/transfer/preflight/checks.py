"""Everything that a run needs, tried before anything moves: all of it, so that one look shows all that has to change.

About a dozen small requests. Nothing is left behind but, where it may not be deleted, one empty object, which is named.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum

from transfer.comparison import etag_value, has_etag
from transfer.errors import (
    CredentialsRejected,
    DestinationForbidden,
    DestinationHeld,
    EdgeBlocked,
    GenerationMismatch,
    RetryableError,
    TokenRefused,
    TransferError,
)
from transfer.model import ARCHIVE_CLASSES, KeyState, ObjectMeta, SourceKey
from transfer.preflight.edge_answers import EdgeAnswer, edge_problem, object_problem
from transfer.preflight.odd_keys import odd_keys_problem
from transfer.preflight.probes import BucketProbe, EdgeProbe, SourceListProbe, SourceProbe, TopicProbe

SKEW_WORTH_A_WORD_S = 30.0
MAX_SKEW_S = 300.0
"""Google refuses to give tokens to a clock further off, AWS takes no signature from one 15 minutes off."""
TRIED_OBJECTS = 3
"""How many objects of the first page are read at most, until one was given."""
TRIED_FOLDERS = 8
"""Behind how many folders another one is tried before the distribution is taken not to read the bucket."""
LAST = "\U0010ffff"
"""The last character there is."""
PASSING = (429, 500, 502, 503, 504)
"""Answers of the edge that another try may not meet: it is busy, or its origin is."""
PUBLISH, ATTACH = "pubsub.topics.publish", "pubsub.topics.attachSubscription"


ANOTHER_BUCKET = "name a bucket without one as state_bucket"
ONE_STREAM = "large objects go in one stream each"


class Mark(StrEnum):
    """How a check ended, as the table shows it."""

    PASSED = "✓"
    WARNED = "!"
    NOT_MADE = "–"
    FAILED = "✗"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table."""

    mark: Mark
    tried: str
    said: str = ""
    """What came of it; when it failed, also what to change."""
    is_passing: bool = False
    """Whether it failed for a reason that another try may not meet."""

    def __str__(self) -> str:
        return f"{self.mark} {self.tried}{': ' if self.said else ''}{self.said}"


class Preflight:
    """The checks of one run.

    Args:
        source: None when S3 is not listed, since a run takes up what an earlier one left.
        source_list: what stands in place of a listing, if anything does; the listing then only shows what the edge can read.
        edge: the distribution.
        buckets: the destination bucket, and the state bucket if it is another one.
        topics: for requests and for failures.
        object_name: a name under the state prefix that nobody else uses.
        samples: whether copies are to be read back and compared with the source, which S3 is then read for.
        deletes: whether what the source does not have is to be deleted, which S3 is asked about key by key.
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
        self._source = source
        self._source_list = source_list
        self._deletes = deletes
        self._samples = samples
        self._edge = edge
        self._buckets = buckets
        self._topics = topics
        self._object_name = object_name
        self._clock = clock
        self._signature_life_s = math.inf
        self._skews_s: dict[str, float] = {}
        """How far each server's clock is ahead of ours."""

    def findings(self) -> Iterator[Finding]:
        """Make every check; each as soon as it is made."""
        objects: Sequence[ObjectMeta] = ()
        if self._source is None:
            yield Finding(mark=Mark.NOT_MADE, tried="list the source", said="not needed: an earlier run's objects move")
        else:
            finding, objects = self._list_source(self._source)
            yield finding
            if self._deletes and finding.mark is Mark.PASSED:
                yield self._ask_source(self._source, objects)
            if self._samples and _spread(objects):
                yield self._read_source(self._source, _spread(objects))
        if self._source_list is not None:
            yield self._read_list(self._source_list)
        yield from self._read(objects)
        for bucket in self._buckets:
            yield from self._write(bucket)
        for topic in self._topics:
            yield self._publish(topic)
        yield self._compare_clocks()

    def _read_list(self, source_list: SourceListProbe) -> Finding:
        tried = f"read {source_list.uri}"
        try:
            source_list.check()
        except TransferError as error:
            return _failed(tried, error)
        return _passed(tried)

    def _list_source(self, source: SourceProbe) -> tuple[Finding, Sequence[ObjectMeta]]:
        tried = f"list s3://{source.bucket}/{source.prefix} with connection {source.conn_id!r}"
        try:
            page = source.page()
        except TransferError as error:
            return _failed(tried, error), ()
        self._note_clock("S3", page.date)
        said = "" if page.objects else "nothing there"
        return Finding(mark=Mark.PASSED, tried=tried, said=said), page.objects

    def _ask_source(self, source: SourceProbe, objects: Sequence[ObjectMeta]) -> Finding:
        """Keys that are listed and one that is not: only who gets both answers can tell what is gone."""
        tried = f"ask s3://{source.bucket} for single keys, as is done before a copy is deleted"
        listed = [item.key for item in objects[:TRIED_OBJECTS]]
        try:
            *answers, absent = source.ask([*listed, f"{source.prefix}{self._object_name}"])
        except TransferError as error:
            return _failed(tried, error)
        there = any(answer.state is KeyState.THERE for answer in answers)
        if listed and not there:
            said = f"{listed[0]!r} was listed, and S3 does not give it back when it is asked for it"
            return _doubted(tried, said, answers)
        if absent.state is KeyState.THERE:
            said = "it says that it has a key which nobody has written, so nothing could ever be deleted: check the endpoint"
            return Finding(mark=Mark.FAILED, tried=tried, said=said)
        if absent.state is KeyState.UNSURE:
            said = "of a key that is not there S3 says so only to who may also list (s3:ListBucket on the bucket)"
            return _doubted(tried, said, [absent])
        return _passed(tried)

    def _read_source(self, source: SourceProbe, objects: Sequence[ObjectMeta]) -> Finding:
        """One of them is enough: another may have a rule of its own."""
        tried = f"read s3://{source.bucket} itself with connection {source.conn_id!r}, as verify_sample does"
        refused: list[TransferError] = []
        for item in objects:
            try:
                source.read(item.key)
            except TransferError as error:
                refused.append(error)
            else:
                return _passed(tried)
        return _failed(tried, refused[0])

    def _read(self, objects: Sequence[ObjectMeta]) -> Iterator[Finding]:
        """One byte of a listed object, and where there is none, of one that is not there: the edge then still answers."""
        tried = f"read through the edge with connection {self._edge.conn_id!r}"
        bucket = self._source.bucket if self._source else ""
        said = ""
        try:
            for item in self._tried(objects):
                answer = self._edge.ask(item.key if item else self._object_name)
                self._signature_life_s = self._edge.signature_life_s()
                self._note_clock("the edge", answer.headers.get("date", ""), answer.headers.get("age", ""))
                problem = edge_problem(answer)
                if problem and answer.rule is not None and answer.rule.error is EdgeBlocked:
                    said = said or (f"{item.key!r}: {problem}" if item else problem)  # perhaps for its name alone
                    continue
                if problem:
                    yield Finding(mark=Mark.FAILED, tried=tried, said=problem, is_passing=answer.status in PASSING)
                    return
                if item is None:
                    said = "the edge let the request through; there was no listed object to read"
                    yield Finding(mark=Mark.PASSED, tried=tried, said=said)
                    yield Finding(
                        mark=Mark.NOT_MADE, tried="does the edge cache", said="no listed object to ask for twice"
                    )
                    return
                if not (problem := object_problem(answer, bucket)):
                    yield self._was_read(tried, item, answer)
                    yield self._ask_again(item, answer)
                    yield self._ask_for_odd_keys()
                    return
                said = said or f"{item.key!r}: HTTP {answer.status} {answer.error_code}: {problem}"
            yield Finding(mark=Mark.FAILED, tried=tried, said=said)
        except TransferError as error:
            yield _failed(tried, error)

    def _tried(self, objects: Sequence[ObjectMeta]) -> Iterator[ObjectMeta | None]:
        """Listed objects, None where there are none. A locked folder may fill a page: the next are from behind it."""
        near = _spread(objects)
        yield from near or (None,)
        if near and self._source:
            for end in _ends_of_folders(near[-1].key)[:TRIED_FOLDERS]:
                yield from _spread(self._source.page(end).objects)[:1]

    def _was_read(self, tried: str, item: ObjectMeta, answer: EdgeAnswer) -> Finding:
        if has_etag(answer.headers):
            return Finding(mark=Mark.PASSED, tried=tried, said=f"{item.key!r}, bytes 0-0")
        said = (
            f"{item.key!r} came without its ETag: let the distribution's response headers policy pass ETag on; until then"
            " objects whose bytes are no proof of themselves fail as SourceUnproven"
        )
        return Finding(mark=Mark.WARNED, tried=tried, said=said)

    def _ask_for_odd_keys(self) -> Finding:
        tried = "does the edge let odd names through"
        if problem := odd_keys_problem(self._edge.ask, self._object_name):
            return Finding(mark=Mark.WARNED, tried=tried, said=problem)
        return _passed(tried)

    def _ask_again(self, item: ObjectMeta, first: EdgeAnswer) -> Finding:
        tried = "does the edge cache"
        again = self._edge.ask(item.key)
        if not (first.is_from_cache or again.is_from_cache):
            return Finding(mark=Mark.PASSED, tried=tried, said="no: the same bytes asked for twice came from S3 twice")
        etag = etag_value(again.headers.get("etag", ""))
        is_stale = bool(etag) and etag != item.etag
        said = f"yes, and its copy of {item.key!r} is stale: " if is_stale else "yes, so a copy may be stale: "
        said += "use the cache policy CachingDisabled; each object is read once, and a cache gains nothing"
        return Finding(mark=Mark.WARNED, tried=tried, said=said)

    def _write(self, bucket: BucketProbe) -> Iterator[Finding]:
        """What a worker does: list, create, begin an upload in parts, delete."""
        name = self._object_name
        place = f"gs://{bucket.bucket}"
        try:
            self._note_clock("Cloud Storage", bucket.list())
            yield _passed(f"list {place}")
        except TransferError as error:
            yield _refused(f"list {place}", error, "storage.objects.list", bucket)
            if error.http_status != 403:  # no such bucket, no credentials: what follows would only say it again
                return
        if (kept := self._kept(bucket)) is not None:
            yield kept
            if kept.mark is Mark.FAILED:
                return
        tried = f"create {place}/{name}"
        try:
            if kept is None:
                bucket.create(name)
                yield _passed(tried)
        except TransferError as error:
            yield _refused(tried, error, "storage.objects.create", bucket)
            return
        if kept is None and bucket is self._buckets[0]:  # where copies go
            yield from self._label(bucket)
        tried = f"begin an upload in parts in {place}"
        try:
            if bucket.begin_parts(name):
                yield _passed(tried)
            else:
                said = f"this server has none: {ONE_STREAM}"
                yield Finding(mark=Mark.NOT_MADE, tried=tried, said=said)
        except TransferError as error:
            permissions = "storage.multipartUploads.create and storage.multipartUploads.abort"
            refused = _refused(tried, error, permissions, bucket)
            if error.http_status == 403:  # nothing worse than slower
                refused = replace(refused, mark=Mark.WARNED, said=f"{refused.said}; until then {ONE_STREAM}")
            yield refused
        tried = f"delete {place}/{name}"
        try:
            if kept is None:
                bucket.delete(name)
                yield _passed(tried)
        except DestinationHeld as error:
            said = f"{error.message}: {ANOTHER_BUCKET}; {name} stays there until then"
            yield Finding(mark=Mark.FAILED, tried=tried, said=said)
        except TransferError as error:
            yield _refused(tried, error, "storage.objects.delete", bucket)

    def _label(self, bucket: BucketProbe) -> Iterator[Finding]:
        """Of what was just created; told only where it fails, and nothing worse than copying again comes of it."""
        tried = f"change the metadata of gs://{bucket.bucket}/{self._object_name}"
        try:
            bucket.label(self._object_name)
        except GenerationMismatch:  # somebody else's preflight of that name: nothing is shown
            return
        except TransferError as error:
            refused = _refused(tried, error, "storage.objects.update", bucket)
            said = f"{refused.said}; until then nothing binds the labels of large copies, and each later run copies them again"
            yield replace(refused, mark=Mark.WARNED, said=said)

    def _kept(self, bucket: BucketProbe) -> Finding | None:
        """What keeps objects from being replaced and deleted: fatal for a run's records, and for objects a thing to know.

        Asked before anything is created, since that would stay. None where nothing keeps them.
        """
        try:
            kept_by = bucket.kept_by()
        except TransferError as error:
            return _failed(f"look at gs://{bucket.bucket}", error)
        if not kept_by:
            return None
        tried = f"replace and delete in gs://{bucket.bucket}"
        if bucket is self._buckets[-1]:  # where the records are
            said = f"{kept_by} keeps a run's own records from being replaced and deleted: {ANOTHER_BUCKET}"
            return Finding(mark=Mark.FAILED, tried=tried, said=said)
        said = f"{kept_by}: what is there already can be neither replaced nor deleted; creating was not tried, it would stay"
        return Finding(mark=Mark.WARNED, tried=tried, said=said)

    def _publish(self, topic: TopicProbe) -> Finding:
        """Asked, not tried: a message that was published would be there."""
        tried = f"publish and subscribe to {topic.topic}"
        wanted = (PUBLISH, ATTACH)
        try:
            granted = topic.granted(wanted)
            if granted is not None and not set(wanted) - set(granted):
                return _passed(tried)
            exists = topic.exists()
        except TransferError as error:
            return _failed(tried, error)
        if exists is False:
            return Finding(
                mark=Mark.NOT_MADE, tried=tried, said="not there yet: open_run creates it, with pubsub.topics.create"
            )
        if granted is None:
            said = "this server does not tell permissions; the topic is there"
            return Finding(mark=Mark.NOT_MADE, tried=tried, said=said)
        missing = " and ".join(name for name in wanted if name not in granted)
        unsure = "" if exists else ", if it exists at all"
        said = f"grant {missing} on it to the account of connection {topic.conn_id!r}{unsure}"
        return Finding(mark=Mark.FAILED, tried=tried, said=said)

    def _note_clock(self, server: str, date: str, age: str = "") -> None:
        """Remember by how much a server's clock is ahead; an answer from a cache bears the date at which it was made."""
        try:
            at_s = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self._skews_s[server] = at_s + (int(age) if age.isdigit() else 0) - self._clock()

    def _compare_clocks(self) -> Finding:
        tried = "compare clocks"
        if not self._skews_s:
            return Finding(mark=Mark.NOT_MADE, tried=tried, said="no server told the time")
        server, ahead_s = max(self._skews_s.items(), key=lambda pair: abs(pair[1]))
        if abs(ahead_s) <= SKEW_WORTH_A_WORD_S:
            return _passed(tried)
        way = "behind" if ahead_s > 0 else "ahead of"
        said = f"this machine's is {abs(ahead_s):,.0f} s {way} that of {server}: set it by NTP"
        # A signature by a clock that is behind ends early, by as much.
        is_fatal = abs(ahead_s) > MAX_SKEW_S or ahead_s > self._signature_life_s
        return Finding(mark=Mark.FAILED if is_fatal else Mark.WARNED, tried=tried, said=said)


def table(findings: Iterable[Finding]) -> str:
    """One line a finding."""
    return "\n".join(map(str, findings))


def _spread(objects: Sequence[ObjectMeta]) -> list[ObjectMeta]:
    """The first object that can be read by range, and two from elsewhere: one alone may have a rule of its own."""
    readable = [
        item for item in objects if item.size_bytes and (item.storage_class not in ARCHIVE_CLASSES or item.is_restored)
    ]
    step = max(1, (len(readable) - 1) // (TRIED_OBJECTS - 1))
    return readable[::step][:TRIED_OBJECTS]


def _ends_of_folders(key: str) -> list[str]:
    """A key behind all that is in a folder, for each folder that the key is in, the innermost first."""
    names = key.split("/")[:-1]
    return ["/".join([*names[:depth], LAST]) for depth in range(len(names), 0, -1)]


def _passed(tried: str) -> Finding:
    return Finding(mark=Mark.PASSED, tried=tried)


def _failed(tried: str, error: TransferError) -> Finding:
    is_passing = isinstance(error, RetryableError) and not isinstance(error, TokenRefused)
    return Finding(mark=Mark.FAILED, tried=tried, said=error.message, is_passing=is_passing)


def _doubted(tried: str, said: str, answers: Iterable[SourceKey]) -> Finding:
    errors = [answer.error for answer in answers if answer.error]
    is_passing = bool(errors) and all(isinstance(error, RetryableError) for error in errors)
    why = f" ({errors[0].message})" if errors else ""
    return Finding(mark=Mark.FAILED, tried=tried, said=f"{said}{why}", is_passing=is_passing)


def _refused(tried: str, error: TransferError, permission: str, bucket: BucketProbe) -> Finding:
    if error.http_status != 403 or not isinstance(error, DestinationForbidden | CredentialsRejected):
        return _failed(tried, error)
    said = (
        f"Cloud Storage answered 403: grant {permission} on gs://{bucket.bucket} (roles/storage.objectUser) to the"
        f" account of connection {bucket.conn_id!r}"
    )
    return Finding(mark=Mark.FAILED, tried=tried, said=said)
