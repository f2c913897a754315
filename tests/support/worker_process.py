"""One worker in a process of its own, as an Airflow task runs it: `python worker_process.py SPEC` with a JSON object.

SIGTERM stops it as Airflow's `on_kill` does. It prints its statistics as the last line when all is settled.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine_rig import EngineRig
    from transfer.listing.publish import ListingSummary

ROOT = Path(__file__).resolve().parents[2]


def start(
    rig: EngineRig, summary: ListingSummary, *, attempt: int, name: str = "w0", ack_deadline_s: int = 10
) -> subprocess.Popen[str]:
    """A worker on the rig's servers; its settings are the rig's."""
    spec = {
        "s3": {
            "url": rig.s3.url,
            "access_key_id": rig.s3.access_key_id,
            "secret_access_key": rig.s3.secret_access_key,
            "region": rig.s3.region,
        },
        "edge": {"url": rig.edge.url},
        "gcs": {"url": rig.gcs.url},
        "run_id": rig.run_id,
        "threads": rig.config.threads,
        "part_size_bytes": rig.config.part_size_bytes,
        "parallel_bytes": rig.config.parallel_bytes,
        "summary": {
            "messages": summary.counts.messages,
            "message_bytes": summary.counts.message_bytes,
            "objects": summary.counts.objects,
            "size_bytes": summary.counts.size_bytes,
        },
        "attempt": attempt,
        "name": name,
        "ack_deadline_s": ack_deadline_s,
    }
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(spec)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def main() -> None:
    """Work until all is settled or a signal comes."""
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "tests/support")]
    from engine_rig import EngineRig
    from transfer.errors import Stopped
    from transfer.reconciliation.passes import Republished
    from transfer.stopping import StopRequest

    spec = json.loads(sys.argv[1])
    servers: dict[str, Any] = {name: SimpleNamespace(**spec[name]) for name in ("s3", "edge", "gcs")}
    rig = EngineRig(**servers, run_id=spec["run_id"], stop=StopRequest())
    rig.config = replace(rig.config, **{name: spec[name] for name in ("threads", "part_size_bytes", "parallel_bytes")})
    kept = {name: spec[name] for name in ("name", "attempt", "ack_deadline_s")}
    worker = rig.worker(Republished(**spec["summary"]), **kept)
    signal.signal(signal.SIGTERM, lambda *_: rig.stop.set())
    try:
        print(json.dumps(worker.run().to_dict()))
    except Stopped:
        print("stopped")


if __name__ == "__main__":
    main()
