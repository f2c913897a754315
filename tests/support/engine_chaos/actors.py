"""The tasks of a run as processes, on the engine alone: the only file of the chaos suite that knows the engine.

`act` is one attempt of one task. It does what the operator of that name does, reads what earlier tasks returned from its
specification, and leaves its own result as a file, as XCom would hold it. It may be killed at any time.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.config import Config

from engine_chaos.scale import CLOCK_SPEED, LARGE_BYTES, LEASE_S, PART_BYTES, SHARD_LINES, WHOLE_BYTES, shrink_engine
from engine_rig import DESTINATION, SOURCE, STATE_PREFIX, EngineRig
from transfer.backends.gcs.state import GcsState
from transfer.backends.pubsub.topics import PubSubQueue, delete_subscription
from transfer.config import Mode, Overwrite, RetryPolicy, Timeouts, TransferConfig
from transfer.deletion.extraneous import DeleteExtraneous, permission
from transfer.deletion.sweep import record_refusal
from transfer.errors import FatalError, Stopped, TransferError
from transfer.listing.cursor import ListingCursor
from transfer.naming import Naming
from transfer.planning.plan import write_plan
from transfer.reconciliation.passes import round_name
from transfer.reconciliation.report import read_report
from transfer.reconciliation.verdicts import Pass
from transfer.records.layout import RUN_JSON
from transfer.records.run_record import RunRecord
from transfer.records.runs import RunIndex
from transfer.sources.replay import planned_objects, unfinished_objects
from transfer.stopping import StopRequest

DAG = "chaos"
HEEDS_TERM = frozenset({"list", "transfer", "retry", "delete_extraneous"})
"""Tasks whose operators have an `on_kill`."""


class _QuickQueue(PubSubQueue):
    """Says how long a lease is to last in the seconds of the local Pub/Sub, whose clock runs fast."""

    def extend(self, ack_ids: Any, seconds: int) -> None:
        super().extend(ack_ids, seconds * CLOCK_SPEED)


@dataclass
class _ActorRig(EngineRig):
    """The rig of one opening of one run."""

    @cached_property
    def client(self) -> Any:
        """As the hook makes it, with less patience."""
        config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=2, read_timeout=3)
        return boto3.client(
            "s3",
            endpoint_url=self.s3.url,
            aws_access_key_id=self.s3.access_key_id,
            aws_secret_access_key=self.s3.secret_access_key,
            region_name=self.s3.region,
            config=config,
        )

    @property
    def state_prefix(self) -> str:
        return f"{STATE_PREFIX}{self.run_id.rpartition('-')[0]}/"

    def queue(self, subscription: str, *, ack_deadline_s: int = LEASE_S) -> PubSubQueue:
        return _QuickQueue(self.subscriber, subscription, ack_deadline_s=ack_deadline_s)

    def whole_state(self) -> GcsState:
        return self.destination.state(STATE_PREFIX)


def warm_up() -> None:
    """In the process that the others are forked from: all that takes long, and nothing that opens a connection."""
    shrink_engine()
    boto3.client("s3", aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1")
    gc.collect()
    gc.freeze()  # or each collection of a child would copy all that they share


def act(spec: dict[str, Any]) -> None:
    """Run one attempt of a task to its end; the process ends with it."""
    out = Path(spec["out"])
    log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, force=True)
    os.environ["PUBSUB_EMULATOR_HOST"] = spec["pubsub"]
    stop = StopRequest()
    if spec["task"] in HEEDS_TERM:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        ended = {"state": "success", "summary": _TASKS[spec["task"]](_rig(spec, stop), spec)}
    except Stopped:
        ended = {"state": "retry", "said": "stopped"}
    except FatalError as error:
        ended = {"state": "fail", "said": f"{error.code}: {error.message}"}
    except TransferError as error:
        ended = {"state": "retry", "said": f"{error.code}: {error.message}"}
    except BaseException as error:  # noqa: BLE001 - the process's outermost frame: reported as a fault of the engine
        ended = {"state": "retry", "said": f"{type(error).__name__}: {error}", "unexpected": traceback.format_exc()}
    fresh = out.with_suffix(".new")
    fresh.write_text(json.dumps(ended))
    fresh.rename(out)
    os._exit(0)


def _rig(spec: dict[str, Any], stop: StopRequest) -> _ActorRig:
    servers: dict[str, Any] = {name: SimpleNamespace(url=spec[name]) for name in ("edge", "gcs")}
    servers["s3"] = SimpleNamespace(**spec["s3"])
    rig = _ActorRig(
        **servers,
        run_id=f"{spec['run']}-{spec['opening']}",
        stop=stop,
        opening=f"{spec['run']}-{spec['opening']}",
        config=replace(
            TransferConfig(),
            threads=spec["threads"],
            workers=spec["workers"],
            whole_bytes=WHOLE_BYTES,
            parallel_bytes=LARGE_BYTES,
            part_size_bytes=PART_BYTES,
            timeouts=Timeouts(connect_s=2, stall_s=1),
            retry=RetryPolicy(attempts=5, base_s=0.02, cap_s=0.2, total_s=10),
        ),
        naming=Naming(
            source_prefix=spec["source_prefix"],
            destination_prefix=spec["destination_prefix"],
            state_prefix=STATE_PREFIX,
        ),
    )
    rig.listed = spec.get("listing", {}).get("listed", 0)
    return rig


def _open(rig: _ActorRig, spec: dict[str, Any]) -> dict[str, Any]:
    opened_at_s = time.time()
    for subscription in (rig.subscription, rig.error_subscription):
        delete_subscription(rig.subscriber, subscription)
    rig.open()
    return {"opened_at_s": opened_at_s}


def _list(rig: _ActorRig, spec: dict[str, Any]) -> dict[str, Any]:
    mode, earlier, path = Mode(spec["mode"]), spec["earlier"], Path(spec["cursor"])
    record = RunRecord(
        run_id=spec["run"],
        source_bucket=SOURCE,
        source_prefix=spec["source_prefix"],
        destination_bucket=DESTINATION,
        destination_prefix=spec["destination_prefix"],
    )
    RunIndex(rig.whole_state(), DAG).open(spec["run"], spec["opened_at_s"])
    state = rig.state()
    record.write(state)
    began_at_s = state.created_at_s(RUN_JSON)
    is_resumable = mode is Mode.TRANSFER and not earlier
    cursor = ListingCursor.of(json.loads(path.read_text())) if is_resumable and path.exists() else None
    listing = cursor.listing if cursor else f"{spec['opening']}-{spec['attempt']}"

    def save(new: ListingCursor) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(new.to_dict()))
        fresh.rename(path)

    found = {"listing": listing, "mode": str(mode), "opening": spec["opening"], "is_whole_source": not earlier}
    overwrite = Overwrite(spec["overwrite"])
    if mode is Mode.PLAN:
        plan = rig.plan(overwrite=overwrite, listing=listing)
        write_plan(rig.state(), plan)
        return {**found, "listed": plan.listed.objects, "messages": 0, "to_copy": plan.to_copy.objects}
    if mode is Mode.VERIFY:
        return {**found, "listed": rig.list_to_compare(listing=listing), "messages": 0}
    objects_of = {"plan_run": planned_objects, "only_failed": unfinished_objects}.get(spec["earlier_kind"])
    planned = None
    if objects_of is not None:
        state = rig.destination.state(f"{STATE_PREFIX}{earlier}/")
        planned = objects_of(state, run=earlier, now=record)
    summary = rig.list(
        overwrite=overwrite,
        listing=listing,
        planned=planned,
        is_planned=spec["earlier_kind"] == "plan_run",
        cursor=cursor,
        on_cursor=save if is_resumable else None,
        shard_lines=SHARD_LINES,
        began_at_s=began_at_s,
    )
    path.unlink(missing_ok=True)
    return {
        **found,
        **summary.counts.to_dict(),
        "size_bytes": summary.counts.size_bytes,
        "skipped_numbers": summary.skipped_numbers,
        "began_at_s": summary.began_at_s,
    }


def _work(rig: _ActorRig, spec: dict[str, Any]) -> dict[str, Any]:
    slot: Any = SimpleNamespace(**spec["slot"])
    worker = rig.worker(
        slot,
        name=f"{spec['task']}-{spec['index']}",
        attempt=spec["attempt"],
        listing=slot.listing,
        ack_deadline_s=LEASE_S,
    )
    return dict(worker.run().to_dict())


def _judge(rig: _ActorRig, spec: dict[str, Any]) -> dict[str, Any]:
    which, listing = Pass(spec["pass"]), spec["listing"]["listing"]
    if spec["is_reopened"] and spec["task"] == "reconcile":
        RunIndex(rig.whole_state(), DAG).open(spec["run"], spec["opened_at_s"])
    if spec["stands"]:
        report = rig.report()
        return {"report": report.to_dict(), "is_green": report.is_green}
    report, published = rig.one_pass(
        which,
        listing=listing,
        attempt=spec["attempt"],
        may_replace=spec["overwrite"] != "never",
        is_reopened=spec["is_reopened"],
    )
    slot = {"listing": round_name(listing, spec["attempt"], which), **asdict(published)}
    return {"report": report.to_dict(), "is_green": report.is_green, "slot": slot}


def _sweep(rig: _ActorRig, spec: dict[str, Any]) -> dict[str, Any]:
    listing, state = spec["listing"], rig.state()
    may = permission(
        DeleteExtraneous(spec["delete"]),
        mode=Mode(listing["mode"]),
        is_whole_source=listing["is_whole_source"],
        is_own_listing=listing["opening"] == spec["opening"],
        listed=listing["listed"],
        is_green=read_report(state).is_green,
    )
    if may.action is DeleteExtraneous.OFF:
        record_refusal(state, may.why_not)
        return {"skipped": may.why_not}
    return rig.sweep(
        may,
        listed=listing["listed"],
        listing=listing["listing"],
        began_at_s=listing["began_at_s"],
        max_percent=50,
        attempt=spec["attempt"],
    ).to_dict()


def _close(rig: _ActorRig, spec: dict[str, Any]) -> dict[str, Any]:
    for opening in range(1, spec["opening"] + 1):
        name = f"projects/{rig.subscription.split('/')[1]}/subscriptions/{spec['run']}-{opening}"
        delete_subscription(rig.subscriber, name)
        delete_subscription(rig.subscriber, f"{name}-errors")
    said = ""
    with contextlib.suppress(FatalError):
        try:
            rig.destination.end_uploads(STATE_PREFIX, spec["run"], rig.opening)
            RunIndex(rig.whole_state(), DAG).close(spec["run"], spec["opened_at_s"])
        except TransferError as error:  # as the operator does: a later run aborts what is left
            said = f"{error.code}: {error.message}"
    return {"not_cleaned": said}


_TASKS = {
    "open_run": _open,
    "list": _list,
    "transfer": _work,
    "retry": _work,
    "reconcile": _judge,
    "verify": _judge,
    "delete_extraneous": _sweep,
    "close_run": _close,
}

if __name__ != "__main__":
    warm_up()  # imported by the fork server before it forks anything
