"""What an earlier run left unfinished, so that another can move exactly that without listing the source again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from transfer.errors import InvalidMessage, RunUnknown, Stage
from transfer.model import ObjectMeta
from transfer.ports import StateStore
from transfer.records import UNFINISHED, read_manifest
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
    try:
        earlier = RunRecord(**json.loads(state.read(RECORD)))
        report = ReconciliationReport.decode(state.read(REPORT))
    except InvalidMessage as error:
        raise RunUnknown(
            f"only_failed names the run {run!r}, of which {state.uri} has no report: it ended before its reconciliation,"
            " its records were removed (keep_runs), or there was no such run; name another, or leave only_failed empty",
            stage=Stage.LIST,
        ) from error
    if earlier.way != now.way:
        raise RunUnknown(
            f"only_failed names the run {earlier.run_id!r}, which copied {earlier.way}, and this run copies {now.way}:"
            " give it the same buckets and prefixes",
            stage=Stage.LIST,
        )
    if not report.unfinished:
        return iter(())
    return (item for item, _ in read_manifest(state, report.unfinished, folder=UNFINISHED))
