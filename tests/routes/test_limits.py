"""Each number has one default and one pair of limits, wherever it is declared or checked."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.delete_extraneous import DeleteExtraneousOperator
from operators.parameters import NUMBERS, InvalidParameter, number
from operators.reconcile_transfer import ReconcileTransferOperator
from operators.s3_list_to_pubsub import S3ListToPubSubOperator
from operators.transfer_run import CloseTransferRunOperator
from routes.form import PARAMS
from routes.schema import ROUTE
from transfer.config import TransferConfig
from transfer.limits import MIB, PART_SIZE_MIB, THREADS, Limits

SIGNATURES: list[type] = [
    S3ListToPubSubOperator,
    CloudfrontToGcsWorker,
    ReconcileTransferOperator,
    DeleteExtraneousOperator,
    CloseTransferRunOperator,
]
LIMITED = {name: rule.limits for name, rule in NUMBERS.items() if rule.limits is not None}


def declared(name: str) -> list[Any]:
    """The default of every operator that takes the parameter."""
    parameters = [inspect.signature(vars(operator)["__init__"]).parameters for operator in SIGNATURES]
    return [found[name].default for found in parameters if name in found]


def test_every_number_of_the_form_has_a_rule() -> None:
    numbers = {name for name, param in PARAMS.items() if {"integer", "number"} & set(param.schema["type"])}
    assert numbers == set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_operators_and_the_form_have_the_same_default(name: str) -> None:
    assert set(declared(name)) == {NUMBERS[name].default}
    assert PARAMS[name].value == NUMBERS[name].default


@pytest.mark.parametrize(("name", "limits"), LIMITED.items())
def test_the_form_the_routes_and_the_checks_have_the_same_limits(name: str, limits: Limits) -> None:
    of_routes = ROUTE["properties"]["parameters"]["properties"][name]
    for schema in (PARAMS[name].schema, of_routes):
        assert (schema["minimum"], schema.get("maximum")) == (limits.low, limits.high)
    assert number(name, limits.low) == limits.low
    assert limits.has(limits.default)
    for outside in (limits.low - 1, *([] if limits.high is None else [limits.high + 1])):
        with pytest.raises(InvalidParameter, match=str(limits)):
            number(name, outside)


def test_the_engine_has_the_same_defaults_and_limits() -> None:
    config = TransferConfig()
    assert (config.threads, config.part_size_bytes) == (THREADS.default, PART_SIZE_MIB.default * MIB)
    assert THREADS.high is not None
    for threads in (THREADS.low - 1, THREADS.high + 1):
        with pytest.raises(ValueError, match=f"threads is {threads}: choose {THREADS}"):
            TransferConfig(threads=threads)
    with pytest.raises(ValueError, match="part_size_bytes"):
        TransferConfig(part_size_bytes=PART_SIZE_MIB.low * MIB - 1)
    TransferConfig(part_size_bytes=PART_SIZE_MIB.low * MIB)
