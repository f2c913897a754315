"""From where to where a run copies, among its records."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from transfer.ports import StateStore
from transfer.records.layout import RUN_JSON


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
        state.write(RUN_JSON, body, content_type="application/json")

    @property
    def way(self) -> str:
        """For people."""
        return f"s3://{self.source_bucket}/{self.source_prefix} to gs://{self.destination_bucket}/{self.destination_prefix}"
