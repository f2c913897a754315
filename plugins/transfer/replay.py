"""What an earlier run left unfinished, or planned, so that another moves exactly that without listing the source again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from transfer.errors import InvalidMessage, RunUnknown, Stage
from transfer.model import UNTOLD, ObjectMeta, SkipReason
from transfer.plan import PLAN
from transfer.ports import StateStore
from transfer.records import MANIFEST, UNFINISHED, read_manifest, readable
from transfer.report import REPORT, ReconciliationReport

RECORD = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """From where to where a run copies."""

    run_id: str
    source_bucket: str
    source_prefix: str
    destination_bucket: str
    destination_prefix: str

    def write(self, state: StateStore) -> None:
        """Store it as run.json among the run's records."""
        body = json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "surrogatepass")
        state.write(RECORD, body, content_type="application/json")

    @property
    def way(self) -> str:
        """For people."""
        return f"s3://{self.source_bucket}/{self.source_prefix} to gs://{self.destination_bucket}/{self.destination_prefix}"


def unfinished_objects(state: StateStore, *, run: str, now: RunRecord) -> Iterator[ObjectMeta]:
    """What the run with these records did not bring over, as it listed it, in listing order.

    Raises RunUnknown when it has no report, or copied something else than this run (`now`) does. `run` is its name.
    """
    body = _record_of(
        state,
        REPORT,
        f"only_failed names the run {run!r}, of which {state.uri} has no report: it ended before its reconciliation,"
        " its records were removed (keep_runs), or there was no such run; name another, or leave only_failed empty",
        f"only_failed names the run {run!r}",
        now,
    )
    with readable(state, REPORT):
        report = ReconciliationReport.decode(body)
    return _to_move(state, report.unfinished, UNFINISHED) if report.unfinished else iter(())


def planned_objects(state: StateStore, *, run: str, now: RunRecord) -> Iterator[ObjectMeta]:
    """What the plan of the run with these records would move, as it was listed then, in listing order.

    Each has the destination's generation that the plan saw. Raises RunUnknown when there is no plan, or one of another way.
    """
    body = _record_of(
        state,
        PLAN,
        f"plan_run names the run {run!r}, of which {state.uri} has no plan: it was no run with mode=plan, it failed, or its"
        " records were removed (keep_runs); name another, or leave plan_run empty",
        f"plan_run names the run {run!r}",
        now,
    )
    with readable(state, PLAN):
        listing = str(json.loads(body)["listing"])
    return _to_move(state, listing, MANIFEST)


def _record_of(state: StateStore, name: str, has_none: str, names_run: str, now: RunRecord) -> bytes:
    """A record of a run that copied the same way."""
    try:
        with readable(state, RECORD):
            earlier = RunRecord(**json.loads(state.read(RECORD)))
        body = state.read(name)
    except InvalidMessage as error:
        raise RunUnknown(has_none, stage=Stage.LIST) from error
    if earlier.way != now.way:
        raise RunUnknown(
            f"{names_run}, which was for {earlier.way}, and this run copies {now.way}: give it the same buckets and prefixes",
            stage=Stage.LIST,
        )
    return body


def _to_move(state: StateStore, listing: str, folder: str) -> Iterator[ObjectMeta]:
    for item, skipped in read_manifest(state, listing, folder=folder):
        if skipped is None:
            # Records do not say that an archived object was restored; it would not have been to move otherwise.
            unreadable = SkipReason(item.etag) if item.etag in UNTOLD else None
            yield replace(item, is_restored=True, unreadable=unreadable)
