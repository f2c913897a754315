"""What a person may not ask for together: one sentence, before anything is touched."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from operators.delete_extraneous import DeleteExtraneousOperator
from operators.preflight import PreflightOperator
from operators.run_source import RunSource
from operators.s3_list_to_pubsub import S3ListToPubSubOperator
from transfer.listing.publish import ListingSummary
from transfer.records.listing_record import ListingCounts

LIST = "s3://lists/keys.csv"
BOTH: dict[str, Any] = {"source_bucket": "from-here", "destination_bucket": "to-there", "topic": "t"}


@pytest.mark.parametrize("wish", ["list", "delete"])
def test_a_part_of_the_source_deletes_nothing(wish: str) -> None:
    operator = PreflightOperator(
        task_id="preflight", error_topic="e", source_listing=LIST, delete_extraneous=wish, **BOTH
    )
    with pytest.raises(AirflowFailException, match=f"delete_extraneous is '{wish}' and source_listing '{LIST}'"):
        operator.execute({})


@pytest.mark.parametrize(
    ("prefixes", "said"),
    [
        (
            {"source_prefix": "team", "delete_extraneous": "delete"},
            "delete_extraneous needs a folder, and source_prefix 'team'",
        ),
        ({"source_prefix": "team", "delete_extraneous": "list"}, "delete_extraneous needs a folder"),
        ({"source_prefix": "data/", "destination_prefix": "backup"}, "'data/a.txt' would become 'backupa.txt'"),
    ],
)
def test_a_prefix_is_not_taken_for_a_folder(prefixes: dict[str, Any], said: str) -> None:
    with pytest.raises(AirflowFailException, match=said):
        PreflightOperator(task_id="preflight", error_topic="e", **BOTH, **prefixes).execute({})


def test_nothing_is_deleted_below_the_beginning_of_a_name() -> None:
    """Whoever chains the task himself, without preflight."""
    operator = DeleteExtraneousOperator(
        task_id="delete_extraneous", source_bucket="from-here", destination_bucket="to-there", wish="delete",
        source_prefix="team",
    )  # fmt: skip
    with pytest.raises(AirflowFailException, match="nothing is deleted: delete_extraneous needs a folder"):
        operator.execute({})


def test_a_selection_that_is_none_stops_the_run_first() -> None:
    operator = PreflightOperator(task_id="preflight", error_topic="e", selection={"min_size": "huge"}, **BOTH)
    with pytest.raises(AirflowFailException, match="min_size is 'huge': write a size"):
        operator.execute({})


def test_bounds_that_no_object_is_between_stop_the_run_before_any_connection_is_looked_up() -> None:
    bounds = {"min_size": "2 GiB", "max_size": "1 GiB"}
    operator = PreflightOperator(task_id="preflight", error_topic="e", selection=bounds, **BOTH)
    with pytest.raises(AirflowFailException, match="min_size is 2 GiB and max_size 1 GiB: no object is both"):
        operator.execute({})


def test_a_prefix_that_is_seldom_meant_is_a_warning_of_preflight() -> None:
    operator = PreflightOperator(task_id="preflight", error_topic="e", source_prefix="/hostile", **BOTH)
    (finding,) = operator._prefixes()
    assert str(finding).startswith("! look at the prefixes: source_prefix '/hostile' begins with a slash")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"only_failed": "last", "plan_run": "last"}, "only_failed and plan_run each name the objects to copy"),
        (
            {"only_failed": "last", "source_listing": LIST},
            "only_failed and source_listing each name the objects to copy",
        ),
        ({"plan_run": "x", "source_listing": LIST}, "plan_run and source_listing each name the objects to copy"),
    ],
)
def test_one_thing_says_what_to_copy(named: dict[str, Any], said: str) -> None:
    operator = S3ListToPubSubOperator(task_id="list", run={}, **BOTH, **named)
    with pytest.raises(AirflowFailException, match=re.escape(said)):
        operator.execute({})


@pytest.mark.parametrize(
    ("mode", "earlier", "listed", "passed_over", "expected"),
    [
        ("transfer", "", 0, 0, True),
        ("plan", "", 0, 0, True),
        ("verify", "", 0, 0, True),
        ("transfer", "last", 0, 0, False),  # an earlier run left nothing
        ("transfer", "", 4, 4, True),
        ("transfer", "last", 4, 4, True),
        ("transfer", "", 4, 3, False),
        ("plan", "", 4, 4, False),
        ("verify", "", 4, 4, False),  # its verdict says so, and archived.csv is there then
    ],
)
def test_nothing_to_copy_is_no_success(mode: str, earlier: str, listed: int, passed_over: int, expected: bool) -> None:
    source = RunSource.of(S3ListToPubSubOperator(task_id="list", run={}, only_failed=earlier, **BOTH))
    summary = ListingSummary(counts=ListingCounts(listed=listed, skipped=passed_over, passed_over=passed_over))
    assert source.is_nothing(summary, mode) is expected
    if listed:
        assert "archived" in source.why_nothing(summary)
        assert "allow_empty" in source.why_nothing(summary)
