"""The results that the tasks of a run hand to each other through XCom, besides the run's identity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from operators.run_identity import RunIdentity
from operators.xcom_record import XComRecord

SUMMARY_KEY = "summary"
"""The XCom key of the `ListingResult` of the listing and of the `FirstPassResult` of the reconciliation."""
PLAN_KEY = "plan"
"""The XCom key of the plan that the listing made with `mode=plan`."""

OBJECTS_PER_SLOT = 256
BYTES_PER_SLOT = 256 * 1024 * 1024
"""Another worker is started for each so many objects or bytes. Its task takes Airflow 1 to 2 s to start and to end (measured);
one worker with 16 threads copies as much in that time, at 100 ms an object or 128 MiB/s."""


@dataclass(frozen=True, kw_only=True)
class Work(XComRecord):
    """Published messages for workers to drain."""

    run: RunIdentity
    """The opening of the run whose subscription has the messages."""
    listing: str
    """The name of the listing, or of the later round of it, that published the messages."""
    messages: int
    objects: int
    bytes: int
    skipped_numbers: str = ""
    """The numbers of messages to ignore, as `transfer.records.numbers` writes them: their objects were published again under
    other numbers."""

    def slots(self, most: int) -> list[dict[str, Any]]:
        """A `WorkerSlot` for each worker that the work needs, `most` at most, for `CloudfrontToGcsWorker.expand(slot=…)`."""
        workers = min(most, self.messages, max(-(-self.objects // OBJECTS_PER_SLOT), -(-self.bytes // BYTES_PER_SLOT)))
        shared = {name: getattr(self, name) for name in Work.__dataclass_fields__}
        labels = [f"worker {index + 1} of {workers}" for index in range(workers)]
        return [WorkerSlot(**shared, workers=workers, label=label).to_dict() for label in labels]


@dataclass(frozen=True, kw_only=True)
class WorkerSlot(Work):
    """One worker's part: all workers share the messages."""

    workers: int
    """How many workers share them."""
    label: str = ""
    """The name of the mapped task in Airflow's UI."""


@dataclass(frozen=True, kw_only=True)
class ListingResult(Work):
    """The result of the listing."""

    mode: str
    listed: int
    skipped: int
    is_whole_source: bool
    """Whether S3 itself was listed, so that the listing has every object of the source."""
    workers: int
    """The most workers that the run may have."""
    began_at_s: float = 0.0
    """Unix time at which the listing began, by Cloud Storage's clock."""
    ended_at_s: float = 0.0
    """Unix time at which the listing ended, by the clock of the machine that listed."""
    message_bytes: int = 0
    """The bytes that Pub/Sub bills for the messages."""
    allow_empty: bool = False


@dataclass(frozen=True, kw_only=True)
class PassResult(XComRecord):
    """The counts of a reconciliation."""

    run_id: str
    listed: int
    copied: int
    skipped: int
    failed: int
    matched: int
    missing: int
    differing: int
    extra: int
    bytes_copied: int
    seconds: float
    """Seconds since the run was opened."""
    report_uri: str


@dataclass(frozen=True, kw_only=True)
class FirstPassResult(PassResult):
    """The counts of the first reconciliation, and of the objects that it published again."""

    republished: int
    """How many objects were published again."""
    run: RunIdentity
    messages: int = 0
    """How many messages were published; `message_bytes` is what Pub/Sub bills for them."""
    message_bytes: int = 0
    began_at_s: float = 0.0
    ended_at_s: float = 0.0
    """Unix time at which the pass began and ended."""

    @classmethod
    def after(cls, result: PassResult, **more: Any) -> FirstPassResult:
        """The result of a pass that published objects again; `more` are the further fields."""
        return cls(**asdict(result), **more)
