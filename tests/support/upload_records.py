"""The records of uploads at the destination, and the end of a run, which aborts those that are left."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

from engine_rig import STATE_PREFIX, EngineRig
from large_objects import records
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.state import GcsState
from transfer.backends.http.loop import complete
from transfer.copying.abandoned_uploads import abort_abandoned_uploads, close_uploads


def end_of_run(rig: EngineRig) -> int:
    """Close the run and abort the uploads that are left; how many were aborted."""
    retrier = rig.retrier()
    close_uploads(whole_state(rig), rig.run_id, "opening-1")
    return abort_abandoned_uploads(
        whole_state(rig), GcsSink(rig.gcs_client()), lambda step: complete(retrier.call(step), rig.stop), open_runs=()
    )


def whole_state(rig: EngineRig) -> GcsState:
    return GcsState(rig.gcs_client(), rig.retrier(), threading.Event(), prefix=STATE_PREFIX)


def record_name(rig: EngineRig, key: str) -> str:
    return f"{STATE_PREFIX}uploads/{rig.run_id}/{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


def only_record(rig: EngineRig) -> dict[str, Any]:
    """The one upload on record with its id."""
    (record,) = (record for record in records(rig).values() if record["token"])
    return record
