"""Checks that the source bucket, or a list in place of its listing, can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transfer.errors import RetryableError, TransferError
from transfer.model import ARCHIVE_CLASSES, KeyState, ObjectMeta, SourceKey
from transfer.preflight.clocks import ClockCheck
from transfer.preflight.findings import Finding, Mark, failed, passed
from transfer.preflight.probes import SourceListProbe, SourceProbe

SAMPLE_OBJECTS = 3
"""How many objects of a page are requested at most, until one is served."""


class SourceCheck:
    """The checks of the source bucket. Use from one thread.

    Args:
        absent_key: a key below the source prefix that nothing has.
        deletes: whether the run deletes what the source does not have, so that S3 is asked about single keys.
        samples: whether copies are compared with the source afterwards, so that S3 itself is read.
    """

    def __init__(
        self, source: SourceProbe, clocks: ClockCheck, *, absent_key: str, deletes: bool = False, samples: bool = False
    ) -> None:
        self._source = source
        self._clocks = clocks
        self._absent_key = absent_key
        self._deletes = deletes
        self._samples = samples
        self.objects: Sequence[ObjectMeta] = ()
        """The first page of the listing, once `findings` has listed it."""

    def findings(self) -> Iterator[Finding]:
        """Make the checks, one after another."""
        listed = self._list()
        yield listed
        if self._deletes and listed.mark is Mark.PASSED:
            yield self._ask()
        if self._samples and (objects := spread(self.objects)):
            yield self._read(objects)

    def _list(self) -> Finding:
        check = f"list s3://{self._source.bucket}/{self._source.prefix} with connection {self._source.conn_id!r}"
        try:
            page = self._source.page()
        except TransferError as error:
            return failed(check, error)
        self._clocks.note("S3", page.date)
        self.objects = page.objects
        return passed(check, "" if page.objects else "nothing there")

    def _ask(self) -> Finding:
        """Ask for listed keys and for a missing one: only both answers together show that deletions can be detected."""
        check = f"ask s3://{self._source.bucket} for single keys, as is done before a copy is deleted"
        listed = [item.key for item in self.objects[:SAMPLE_OBJECTS]]
        try:
            *answers, absent = self._source.ask([*listed, self._absent_key])
        except TransferError as error:
            return failed(check, error)
        if listed and not any(answer.state is KeyState.THERE for answer in answers):
            return _doubted(check, f"{listed[0]!r} was listed, but S3 does not find it when asked for the key", answers)
        if absent.state is KeyState.THERE:
            detail = "S3 reports a key that nobody has written, so nothing could ever be deleted: check the endpoint"
            return Finding(mark=Mark.FAILED, check=check, detail=detail)
        if absent.state is KeyState.UNSURE:
            detail = (
                "S3 reports that a key is missing only to accounts that may also list (s3:ListBucket on the bucket)"
            )
            return _doubted(check, detail, [absent])
        return passed(check)

    def _read(self, objects: Sequence[ObjectMeta]) -> Finding:
        """Read single objects until one is served: a refusal may concern that object alone."""
        check = (
            f"read s3://{self._source.bucket} itself with connection {self._source.conn_id!r}, as verify_sample does"
        )
        refused: list[TransferError] = []
        for item in objects:
            try:
                self._source.read(item.key)
            except TransferError as error:
                refused.append(error)
            else:
                return passed(check)
        return failed(check, refused[0])


def source_list_finding(source_list: SourceListProbe) -> Finding:
    """Whether the inventory or manifest in place of a listing can be read."""
    check = f"read {source_list.uri}"
    try:
        source_list.check()
    except TransferError as error:
        return failed(check, error)
    return passed(check)


def spread(objects: Sequence[ObjectMeta]) -> list[ObjectMeta]:
    """The first object that has bytes to read, and two from elsewhere, since a rule of the edge may concern a single object."""
    readable = [
        item for item in objects if item.size_bytes and (item.storage_class not in ARCHIVE_CLASSES or item.is_restored)
    ]
    step = max(1, (len(readable) - 1) // (SAMPLE_OBJECTS - 1))
    return readable[::step][:SAMPLE_OBJECTS]


def _doubted(check: str, detail: str, answers: Sequence[SourceKey]) -> Finding:
    """The finding for answers that leave open whether a key is there."""
    errors = [answer.error for answer in answers if answer.error]
    is_temporary = bool(errors) and all(isinstance(error, RetryableError) for error in errors)
    why = f" ({errors[0].message})" if errors else ""
    return Finding(mark=Mark.FAILED, check=check, detail=f"{detail}{why}", is_temporary=is_temporary)
