"""What a run's parameters may be: everything wrong with them is said at once, before anything is asked of anybody."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from operators.parameters import CHECKED, FLAGS, code_problems, name_problems, selection_problems, value_problems
from operators.preflight import PreflightOperator
from routes.form import PARAMS
from task_stub import TaskStub

BUCKETS = {"source_bucket": "from-here", "destination_bucket": "to-there", "topic": "t", "error_topic": "e"}


def problems(**values: Any) -> list[str]:
    return [said for _, said in value_problems(values, {}, now_s=0)]


def test_what_the_form_begins_with_is_sound() -> None:
    """As templates render it: texts."""
    assert problems(**{name: "" if PARAMS[name].value is None else str(PARAMS[name].value) for name in CHECKED}) == []
    assert set(FLAGS) == {name for name, param in PARAMS.items() if "boolean" in param.schema["type"]}
    numbers = {name for name, param in PARAMS.items() if {"integer", "number"} & set(param.schema["type"])}
    assert numbers <= set(CHECKED)
    assert {name for name, param in PARAMS.items() if "enum" in param.schema} <= set(CHECKED)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"workers": "2.0"}, "workers is '2.0': choose a whole number, 1 to 64"),
        ({"workers": "65"}, "workers is 65: choose 1 to 64"),
        ({"workers": "True"}, "workers is 'True': choose a whole number, 1 to 64"),
        ({"workers": ""}, "workers is '': choose a whole number, 1 to 64"),
        ({"threads": "0"}, "threads is 0: choose 1 to 256"),
        ({"part_size_mib": "1025"}, "part_size_mib is 1025: choose 5 to 1,024 MiB"),
        ({"keep_runs": "0"}, "keep_runs is 0: choose 1 to 10,000"),
        ({"max_delete_percent": "100.5"}, "max_delete_percent is '100.5': choose 0 to 100"),
        ({"max_delete_percent": "nan"}, "max_delete_percent is 'nan': choose 0 to 100"),
        (
            {"max_requests_per_s": "inf"},
            "max_requests_per_s is 'inf': choose a number of requests per second, or leave",
        ),
        ({"bandwidth_limit_mib_s": "-1"}, "bandwidth_limit_mib_s is '-1': choose a number of MiB per second, or leave"),
        ({"mode": "Transfer"}, "mode is 'Transfer': choose transfer, plan or verify"),
        ({"overwrite": "sometimes"}, "overwrite is 'sometimes': choose changed, never or always"),
        ({"delete_extraneous": "yes"}, "delete_extraneous is 'yes': choose off, list or delete"),
        ({"allow_empty": "ture"}, "allow_empty is 'ture': choose true or false"),
        ({"max_delete_objects": "-1"}, "max_delete_objects is -1: choose 0 or more"),
        (
            {"source_prefix": "a", "delete_extraneous": "list"},
            "delete_extraneous needs a folder, and source_prefix 'a'",
        ),
        (
            {"only_failed": "a", "plan_run": "b"},
            "only_failed and plan_run each name the objects to copy: set only one of them",
        ),
        ({"mode": "verify", "delete_extraneous": "delete"}, "delete_extraneous is 'delete' and mode 'verify'"),
        (
            {"source_listing": "s3://b/k.csv", "delete_extraneous": "list"},
            "delete_extraneous is 'list' and source_listing",
        ),
    ],
)
def test_each_refusal_names_parameter_value_and_choice(values: dict[str, str], said: str) -> None:
    (found,) = problems(**values)
    assert found.startswith(said)


def test_codes_in_prefixes_as_they_were_written() -> None:
    found = dict(code_problems({"source_prefix": "a/%q/", "destination_prefix": "{day}/", "source_listing": "100%%"}))
    assert found["source_prefix"].startswith("source_prefix: 'a/%q/' has '%q', which is not a date code")
    assert found["destination_prefix"].startswith(
        "destination_prefix: '{day}/' has '{day}', which is not a placeholder"
    )
    assert len(found) == 2


def test_a_selection_says_all_that_is_wrong_with_it() -> None:
    wanted = {"min_size": "huge", "modified_since": "7 days", "include": "*.gz", "storage_classes": '["STANDART"]'}
    found = dict(selection_problems(wanted, now_s=0))
    assert set(found) == set(wanted)
    assert found["storage_classes"] == "storage_classes has 'STANDART': did you mean STANDARD?"
    ((field, said),) = selection_problems({"min_size": "2 KiB", "max_size": "1 KiB"}, now_s=0)
    assert (field, said) == ("min_size", "min_size is 2 KiB and max_size 1 KiB: no object is both")


def test_a_name_that_no_parameter_has() -> None:
    (said,) = name_problems({"exclud": ["huge/"], "mode": "plan"}, PARAMS)
    assert said == "there is no parameter exclud; did you mean exclude?"
    (said,) = name_problems({"dry_run": True}, PARAMS)
    assert said.startswith("there is no parameter dry_run; use allow_empty, ")
    assert list(name_problems({"anything": 1}, ())) == []
    assert list(name_problems(None, PARAMS)) == []


def test_preflight_says_all_of_it_at_once_and_touches_nothing() -> None:
    operator = PreflightOperator(
        task_id="preflight", settings={"workers": "2.0", "mode": "guess"}, selection={"min_size": "huge"}, **BUCKETS
    )
    dag: Any = SimpleNamespace(params=PARAMS)
    dag_run: Any = SimpleNamespace(conf={"exclud": ["huge/"], "dry_run": True})
    with pytest.raises(AirflowFailException) as caught:
        operator.execute({"dag": dag, "dag_run": dag_run, "ti": TaskStub("preflight")})
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 parameters are wrong; nothing was copied"
    for line, word in zip(lines[1:], ("exclud;", "dry_run;", "workers", "mode", "min_size"), strict=True):
        assert re.search(rf"(^| ){word}", line), line
