"""What tasks hand to each other: plain JSON, read back as the same record, or refused in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.hand_over import BYTES_PER_SLOT, OBJECTS_PER_SLOT, FirstPassResult, ListingResult, PassResult, WorkerSlot
from operators.run_identity import RunIdentity
from operators.xcom_record import XComRecord
from task_stub import TaskStub

RUN = RunIdentity.new(dag_id="d", run_id="r", opening=1, now_s=1.5)
LISTING = ListingResult(
    run=RUN, listing="1-abc-1", messages=3, objects=7, bytes=700, mode="transfer", listed=9, skipped=2,
    is_whole_source=True, workers=4, began_at_s=2.5,
)  # fmt: skip
PASS = PassResult(
    run_id="r", listed=9, copied=7, skipped=2, failed=0, matched=9, missing=0, differing=0, extra=1, bytes_copied=700,
    seconds=3, report_uri="gs://b/report.json",
)  # fmt: skip


def through_xcom(record: XComRecord) -> dict[str, Any]:
    return dict(json.loads(json.dumps(record.to_dict())))


@pytest.mark.parametrize("record", [RUN, LISTING, PASS, FirstPassResult.after(PASS, republished=2, run=RUN)])
def test_a_record_is_the_same_after_xcom(record: XComRecord) -> None:
    assert type(record).of(through_xcom(record), "list") == record


def test_the_keys_that_users_dags_may_read() -> None:
    assert set(through_xcom(LISTING)) == {
        "run", "listing", "messages", "skipped_numbers", "objects", "bytes", "mode", "listed", "skipped", "began_at_s",
        "is_whole_source", "allow_empty", "workers", "ended_at_s", "message_bytes",
    }  # fmt: skip
    assert set(through_xcom(PASS)) == {
        "run_id", "listed", "copied", "skipped", "failed", "matched", "missing", "differing", "extra", "bytes_copied",
        "seconds", "report_uri",
    }  # fmt: skip
    assert set(through_xcom(FirstPassResult.after(PASS, republished=0, run=RUN))) == {
        *through_xcom(PASS), "republished", "run", "messages", "message_bytes", "began_at_s", "ended_at_s",
    }  # fmt: skip


def test_each_worker_gets_a_slot_of_the_same_work() -> None:
    slots = replace(LISTING, objects=2 * OBJECTS_PER_SLOT).slots(4)
    assert [slot["label"] for slot in slots] == ["worker 1 of 2", "worker 2 of 2"]
    assert set(slots[0]) == {"run", "listing", "messages", "skipped_numbers", "objects", "bytes", "workers", "label"}
    assert WorkerSlot.of(slots[0], "list").run == RUN


@pytest.mark.parametrize(
    ("messages", "objects", "size_bytes", "most", "slots"),
    [
        (0, 0, 0, 4, 0),
        (10, 10, 0, 4, 1),
        (9, OBJECTS_PER_SLOT, BYTES_PER_SLOT, 4, 1),
        (9, OBJECTS_PER_SLOT + 1, 0, 4, 2),
        (9, 9, BYTES_PER_SLOT + 1, 4, 2),
        (9, 10**6, 10**12, 4, 4),
        (1, 1, 10**12, 4, 1),
    ],
)
def test_there_are_no_more_slots_than_the_work_needs(
    messages: int, objects: int, size_bytes: int, most: int, slots: int
) -> None:
    work = replace(LISTING, messages=messages, objects=objects, bytes=size_bytes)
    assert len(work.slots(most)) == slots


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "it is NoneType, not a ListingResult"),
        ([LISTING.to_dict()], "it is list, not a ListingResult"),
        ({**LISTING.to_dict(), "listed": None}, "listed is None"),
        ({**LISTING.to_dict(), "listed": "9"}, "listed is '9'"),
        ({**LISTING.to_dict(), "listed": True}, "listed is True"),
        ({**LISTING.to_dict(), "run": "r"}, "it is str, not a RunIdentity"),
        ({**LISTING.to_dict(), "shards": 3}, "'shards' is unknown to this version of Edgehaul"),
        ({name: value for name, value in LISTING.to_dict().items() if name != "mode"}, "mode is missing"),
    ],
)
def test_anything_else_is_one_sentence(given: object, problem: str) -> None:
    with pytest.raises(AirflowFailException) as caught:
        ListingResult.of(given, "left.list")
    assert str(caught.value) == (
        f"the XCom of left.list cannot be used ({problem}): clear left.list with what is downstream of it"
    )


def test_a_listing_of_an_earlier_version_has_what_it_did_not_say() -> None:
    """Without a beginning, everything at the destination counts as newer than the listing, and nothing is deleted."""
    older = {name: value for name, value in LISTING.to_dict().items() if name not in ("began_at_s", "allow_empty")}
    found = ListingResult.of(older, "list")
    assert (found.began_at_s, found.allow_empty) == (0.0, False)


def test_a_worker_refuses_a_damaged_slot() -> None:
    slot = {**LISTING.slots(1)[0], "messages": "many"}
    worker = CloudfrontToGcsWorker(
        task_id="transfer", slot=slot, source_bucket="s", destination_bucket="d", error_topic="t"
    )
    with pytest.raises(AirflowFailException, match="messages is 'many'"):
        worker.execute({"ti": TaskStub("transfer")})
