"""A whole run against real servers, and what it left at the destination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine_rig import DESTINATION, SOURCE, EngineRig
from large_objects import fresh, large_rig
from transfer.model import DestinationObject
from transfer.reconciliation.passes import round_name
from transfer.reconciliation.report import ReconciliationReport
from transfer.reconciliation.verdicts import Pass


@contextmanager
def comparison_rig(folder: Path) -> Iterator[EngineRig]:
    """Servers that are pulled from without long waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
        patch.setattr("transfer.reconciliation.failures.PULL_WAIT_S", 0.3)
        with large_rig(folder, patch.setenv) as made:
            yield made


def emptied(running: EngineRig) -> EngineRig:
    """Also with an empty source, and subscriptions that hold nothing."""
    for listed_object in running.client.list_objects_v2(Bucket=SOURCE).get("Contents", []):
        running.client.delete_object(Bucket=SOURCE, Key=listed_object["Key"])
    for subscription in (running.subscription, running.error_subscription):
        if any(
            found.name == subscription
            for found in running.subscriber.list_subscriptions(project="projects/test-project")
        ):
            running.subscriber.delete_subscription(subscription=subscription)
    running.open()
    return fresh(running)


def run(rig: EngineRig, listing: str = "1", **arguments: Any) -> ReconciliationReport:
    """One whole run, with its second pass."""
    rig.worker(rig.list(listing=listing, **arguments), listing=listing).run()
    report, published = rig.one_pass(Pass.FIRST, listing=listing)
    if not published.objects:
        return report
    rig.worker(published, name="r0", listing=round_name(listing, 1, Pass.FIRST)).run()
    return rig.reconcile(listing=listing)


def blob(rig: EngineRig, name: str) -> Any:
    return rig.storage.bucket(DESTINATION).get_blob(name)


def stored(rig: EngineRig, name: str) -> DestinationObject:
    (found,) = rig.destination_listing().objects(name, leave_out=".edgehaul/")
    return found


def overwrite_bytes(rig: EngineRig, name: str, body: bytes) -> None:
    """As somebody does who keeps the metadata."""
    before = blob(rig, name)
    after = rig.storage.bucket(DESTINATION).blob(name)
    after.metadata = before.metadata
    after.upload_from_string(body)
