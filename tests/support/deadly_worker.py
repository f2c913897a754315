"""One worker as a process of its own that a certain key kills: what a crash in a library, or too little memory, does.

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


def kill_at_deadly(move: Any) -> Any:
    def moved(self: ObjectCopier, item: Any) -> Any:
        if item.key.endswith(DEADLY):
            os.kill(os.getpid(), signal.SIGKILL)
        return move(self, item)

    return moved


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    transfer.worker.drain.PULL_WAIT_S = 0.3
    ObjectCopier.move = kill_at_deadly(ObjectCopier.move)  # type: ignore[method-assign]
    nowhere = SimpleNamespace(url="http://127.0.0.1:9", access_key_id="", secret_access_key="", region="us-east-1")
    rig = EngineRig(
        s3=nowhere,  # type: ignore[arg-type]
        edge=SimpleNamespace(url=told["edge"]),  # type: ignore[arg-type]
        gcs=SimpleNamespace(url=told["gcs"]),  # type: ignore[arg-type]
        run_id=told["run_id"],
    )
    summary = ListingSummary(counts=ListingCounts(messages=told["messages"], objects=told["messages"]))
    rig.worker(summary, name=told["slot"], attempt=told["attempt"], listing=told["listing"]).run()
