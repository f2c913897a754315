"""The longest names that a run can have, against what Pub/Sub takes."""

from __future__ import annotations

from localcloud.pubsub import rules
from localcloud.pubsub.filters import MAX_FILTER_BYTES, compile_filter
from operators.run_identity import RunIdentity
from transfer.backends.pubsub.topics import run_filter

AIRFLOWS_LONGEST = 250
"""Airflow's columns `dag_id` and `run_id` take no more (airflow.models.base, ID_LEN)."""


def test_the_longest_names_are_names_to_pubsub() -> None:
    run = RunIdentity.new(
        dag_id="d" * AIRFLOWS_LONGEST, run_id="manual__" + "9" * AIRFLOWS_LONGEST, opening=999, now_s=0.0
    )
    for name in (run.subscription, run.error_subscription):
        rules.check_name(f"projects/p/subscriptions/{name}", "subscriptions")
    text = run_filter(run.transfer_id)
    assert len(text.encode()) <= MAX_FILTER_BYTES
    assert compile_filter(text)({"run": run.transfer_id})
