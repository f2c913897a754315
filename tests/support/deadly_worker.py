"""A worker process that is killed by a certain key, as by a crash in a library or by too little memory.

python deadly_worker.py '{"edge": url, "gcs": url, "run_id": …, "listing": …, "messages": …, "slot": …, "attempt": …}'
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import transfer.worker.drain
from engine_rig import EngineRig
from transfer.copying.whole import ObjectCopier
from transfer.listing.publish import ListingSummary
from transfer.records.listing_record import ListingCounts

DEADLY = "deadly"


def kill_at_deadly(copy: Any) -> Any:
    def deadly(self: ObjectCopier, item: Any) -> Any:
        if item.key.endswith(DEADLY):
            os.kill(os.getpid(), signal.SIGKILL)
        return copy(self, item)

    return deadly


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    transfer.worker.drain.PULL_WAIT_S = 0.3
    ObjectCopier.copy = kill_at_deadly(ObjectCopier.copy)  # type: ignore[method-assign]
    nowhere = SimpleNamespace(url="http://127.0.0.1:9", access_key_id="", secret_access_key="", region="us-east-1")
    rig = EngineRig(
        s3=nowhere,  # type: ignore[arg-type]
        edge=SimpleNamespace(url=spec["edge"]),  # type: ignore[arg-type]
        gcs=SimpleNamespace(url=spec["gcs"]),  # type: ignore[arg-type]
        run_id=spec["run_id"],
    )
    summary = ListingSummary(counts=ListingCounts(messages=spec["messages"], objects=spec["messages"]))
    rig.worker(summary, name=spec["slot"], attempt=spec["attempt"], listing=spec["listing"]).run()
