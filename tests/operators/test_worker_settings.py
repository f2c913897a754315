"""A worker's parameters, as a template renders them, become the engine's settings or one sentence on what to choose."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.worker_settings import transfer_config
from task_stub import TaskStub
from transfer.limits import MIB

RENDERED: dict[str, Any] = {
    "threads": "16",
    "part_size_mib": "32",
    "bandwidth_limit_mib_s": "",
    "max_requests_per_s": "",
    "is_ramped": True,
    "workers": 4,
}


def test_the_form_as_it_stands_caps_nothing() -> None:
    config = transfer_config(**RENDERED)
    assert (config.threads, config.part_size_bytes) == (16, 32 * MIB)
    assert (config.bandwidth_limit_bytes_per_s, config.max_requests_per_s) == (None, None)
    assert (config.is_ramped, config.workers) == (True, 4)


@pytest.mark.parametrize("none", ["", None, 0, "0", "0.0"])
def test_empty_and_zero_mean_no_limit(none: Any) -> None:
    config = transfer_config(**{**RENDERED, "bandwidth_limit_mib_s": none, "max_requests_per_s": none})
    assert (config.bandwidth_limit_bytes_per_s, config.max_requests_per_s) == (None, None)


def test_limits_come_in_the_engines_units() -> None:
    config = transfer_config(**{**RENDERED, "bandwidth_limit_mib_s": "1.5", "max_requests_per_s": 250})
    assert (config.bandwidth_limit_bytes_per_s, config.max_requests_per_s) == (1.5 * MIB, 250)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("threads", "257", "threads is 257: choose 1 to 256"),
        ("threads", "many", "threads is 'many': choose a whole number, 1 to 256"),
        ("part_size_mib", "4", "part_size_mib is 4: choose 5 to 1,024 MiB"),
        ("part_size_mib", 1025, "part_size_mib is 1025: choose 5 to 1,024 MiB"),
        ("part_size_mib", "8.5", "part_size_mib is '8.5': choose a whole number, 5 to 1,024 MiB"),
        (
            "bandwidth_limit_mib_s",
            "fast",
            "bandwidth_limit_mib_s is 'fast': choose a number of MiB per second, or leave the field empty for no limit",
        ),
        (
            "max_requests_per_s",
            -1,
            "max_requests_per_s is -1: choose a number of requests per second, or leave the field empty for no limit",
        ),
        (
            "max_requests_per_s",
            "nan",
            "max_requests_per_s is 'nan': choose a number of requests per second, or leave the field empty for no limit",
        ),
    ],
)
def test_a_value_out_of_its_limits_fails_for_good_and_says_what_to_choose(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(AirflowFailException) as caught:
        transfer_config(**{**RENDERED, name: value})
    assert str(caught.value) == sentence


@pytest.mark.parametrize("parameter", ["threads", "part_size_mib", "bandwidth_limit_mib_s", "max_requests_per_s"])
def test_a_worker_refuses_it_before_it_connects_anywhere(parameter: str) -> None:
    run = {
        "run_id": "r",
        "transfer_id": "t",
        "subscription": "s",
        "error_subscription": "e",
        "opened_at_s": 0.0,
    }
    worker = CloudfrontToGcsWorker(
        task_id="transfer",
        slot={"run": run, "listing": "1", "messages": 1, "objects": 1, "bytes": 1, "workers": 1},
        source_bucket="source",
        destination_bucket="destination",
        error_topic="failures",
        **{parameter: "-7"},
    )
    with pytest.raises(AirflowFailException, match=f"^{parameter} is .*-7.*: choose "):
        worker.execute({"ti": TaskStub("transfer")})
