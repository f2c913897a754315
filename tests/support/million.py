"""Reconciles a million listed objects in a separate process, and prints its peak memory, seconds and counts as JSON.

python million.py FOLDER COUNT
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from counting_publisher import CountingPublisher
from memory_state import DirectoryState
from transfer.errors import Stage
from transfer.model import DestinationObject, Failed, ObjectMeta, SkipReason, TransferFailure
from transfer.naming import Naming
from transfer.ports import Delivery
from transfer.reconciliation.passes import run_pass
from transfer.reconciliation.reconcile import PassSettings
from transfer.reconciliation.run_context import RunContext
from transfer.reconciliation.verdicts import Pass
from transfer.records.ledger import Ledger
from transfer.records.manifest import Manifest
from transfer.records.messages import encode_failure

RUN = "run"
FAILED_EVERY, MISSING_EVERY, SKIPPED_EVERY = 10, 25, 3


def item(index: int) -> ObjectMeta:
    key = f"logs/service-{index // 1000:05d}/2026/01/01/part-{index:09d}.snappy.parquet"
    return ObjectMeta(key=key, size_bytes=index, etag=f"{index:032x}", last_modified_s=1_700_000_000)


def is_failed(index: int) -> bool:
    return index % FAILED_EVERY == 1


def is_there(index: int) -> bool:
    return not is_failed(index) and index % MISSING_EVERY != 2


def failure(index: int, message: str) -> TransferFailure:
    code = "SourceUnavailable" if index % 20 == 1 else "SourceNotFound"
    return TransferFailure(
        key=item(index).key, stage=Stage.DOWNLOAD, error_code=code, http_status=503, attempts=7, message=message
    )


def destination(count: int) -> Iterator[DestinationObject]:
    for index in filter(is_there, range(count)):
        meta = item(index)
        yield DestinationObject(
            name=meta.key,
            size_bytes=index,
            generation=1,
            source_etag=meta.etag,
            source_mtime=str(meta.last_modified_s),
            crc32c="AAAAAA==",
            proof="crc32c=AAAAAA==; proof=etag-multipart",
        )


class ErrorTopic:
    """A `RequestQueue` that delivers every failure out of order; messages that are given back come again."""

    ack_deadline_s = 30

    def __init__(self, count: int) -> None:
        self._indexes = filter(is_failed, reversed(range(count)))
        self._given_back: list[int] = []
        self.acked = 0

    def pull(self, max_messages: int, wait_s: float) -> Sequence[Delivery]:
        batch: list[Delivery] = []
        while len(batch) < max_messages:
            index = self._given_back.pop() if self._given_back else next(self._indexes, None)
            if index is None:
                break
            body, attributes = encode_failure(failure(index, "message " * 13), run_id=RUN)
            batch.append(Delivery(ack_id=str(index), body=body, attributes=attributes))
        return batch

    def ack(self, ack_ids: Sequence[str]) -> None:
        self.acked += len(ack_ids)

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        if not seconds:
            self._given_back += map(int, ack_ids)


def peak_mib() -> float:
    """The peak memory of this program alone: getrusage would also count the process that it was forked from."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    state = DirectoryState(folder)
    manifest, ledger = Manifest(state, "1"), Ledger(state, listing="1", worker="w")
    lines: list[Failed] = []
    for index in range(count):
        manifest.add(item(index), SkipReason.UNCHANGED if index % SKIPPED_EVERY == 0 and is_there(index) else None)
        if is_failed(index):
            lines.append(Failed(failure=failure(index, "")))
        if len(lines) >= 5_000:
            ledger.write(lines, [])
            lines = []
    ledger.write(lines, [])
    manifest.flush()
    del manifest, lines
    errors, publisher = ErrorTopic(count), CountingPublisher()
    started = time.monotonic()
    report, published = run_pass(
        RunContext(
            run_id=RUN,
            transfer_id=RUN,
            state=state,
            naming=Naming(source_prefix="", destination_prefix="", state_prefix=".edgehaul/"),
            listing="1",
            listed=count,
            attempt=1,
        ),
        PassSettings(which=Pass.FIRST, may_replace=True, has_extras=True),
        destination=destination(count),
        errors=errors,
        publisher=publisher,
    )
    found = {
        "peak_mib": peak_mib(),
        "seconds": time.monotonic() - started,
        "listed": report.listed,
        "sum": report.matched + report.skipped + report.failed + report.missing + report.differing,
        "failed": report.failed,
        "missing": report.missing,
        "republished": published.objects,
        "published": publisher.objects,
        "acked": errors.acked,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
