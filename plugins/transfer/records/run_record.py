"""The record run.json: the source and the destination of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from transfer.ports import StateStore
from transfer.records.json_record import read_json, write_json
from transfer.records.layout import RUN_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The source and the destination of a run."""

    run_id: str
    source_bucket: str
    source_prefix: str
    destination_bucket: str
    destination_prefix: str

    def write(self, state: StateStore) -> None:
        """Store this record as run.json."""
        write_json(state, RUN_JSON, asdict(self))

    @property
    def endpoints(self) -> str:
        """The source and the destination as text, for messages to people."""
        return f"s3://{self.source_bucket}/{self.source_prefix} to gs://{self.destination_bucket}/{self.destination_prefix}"


def read_run(state: StateStore) -> RunRecord:
    """The run.json of a run. Raises InvalidMessage when there is none, and RecordDamaged when it cannot be read."""
    return read_json(state, RUN_JSON, lambda fields: RunRecord(**fields))
