"""Every advice names what exists: parameters, tasks, records and settings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk import AssetAlias

from routes.form import PARAMS
from routes.pipeline import pipeline
from transfer.reconciliation.advice import _COMPARED, _OTHERS, FAILURES, advice_for
from transfer.worker.refusals import REFUSAL_ADVICE

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGINS = REPOSITORY / "plugins"
TASKS = set(pipeline("any", params=PARAMS, arrived=AssetAlias("any")).task_ids)
RECORDS = {
    "failures.csv",
    "archived.csv",
    "deleted.csv",
    "extraneous.csv",
    "report.json",
    "manifest.json",
    "plan.json",
    "run.json",
    "sample.csv",
    "prices.json",
}
VALUES = {f"{name}={value}" for name, param in PARAMS.items() for value in param.schema.get("enum", [])}
OTHER_NAMES = {
    "hash_algorithm",  # of the CloudFront connection
}


def sentences() -> Iterator[tuple[str, str]]:
    """Where it stands, and the text, of every advice and every text of an error in the pipeline."""
    for code in FAILURES:
        yield f"advice for {code}", advice_for(code)
    for reason, text in {**_OTHERS, **_COMPARED, **REFUSAL_ADVICE}.items():
        yield f"advice for {reason}", text
    for path in sorted(PLUGINS.rglob("*.py")):
        tree = ast.parse(path.read_text())
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in documents:
                continue
            texts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "…"
                for part in texts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
            if ": " in text or "; " in text:
                yield f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 0)}", text


SENTENCES = list(sentences())


def test_there_is_something_to_check() -> None:
    assert len(SENTENCES) > 300
    assert {"reconcile", "transfer", "retry", "verify", "preflight", "open_run", "list"} <= TASKS
    assert "overwrite=never" in VALUES


def test_tasks_that_are_named_exist() -> None:
    wrong = [
        (where, name)
        for where, text in SENTENCES
        for clause in re.findall(
            r"\b(?:clear the task|the logs of the) ([a-z_]+(?: and [a-z_]+)?) ?(?=tasks?\b|to |,|$)", text
        )
        for name in clause.split(" and ")
        if name not in TASKS
    ]
    assert wrong == []


def test_records_that_are_named_exist() -> None:
    wrong = [
        (where, name)
        for where, text in SENTENCES
        for name in re.findall(r"(?<![.\w])[a-z]+\.(?:csv|json)\b", text)
        if name not in RECORDS
    ]
    assert wrong == []


def test_values_of_parameters_that_are_named_exist() -> None:
    wrong = [
        (where, found[0])
        for where, text in SENTENCES
        for found in re.finditer(r"\b([a-z_]+)=([a-z_]+)\b", text)
        if found[1] in PARAMS and PARAMS[found[1]].schema.get("enum") and found[0] not in VALUES
    ]
    assert wrong == []


@pytest.mark.parametrize("code", FAILURES)
def test_what_advice_names_like_a_parameter_is_one(code: str) -> None:
    names = set(re.findall(r"\b[a-z]+_[a-z_]+\b", advice_for(code)))
    assert names <= {*PARAMS, *OTHER_NAMES}, "no such parameter"


def test_nothing_is_called_a_parameter_that_is_none() -> None:
    """The words by which people look for it in the form: `choose another destination prefix`."""
    spoken = {name.replace("_", " ") for name in PARAMS}
    wrong = [
        (where, found[1])
        for where, text in SENTENCES
        for found in re.finditer(
            r"choose (?:another|an?)(?: shorter| longer)? ((?:[a-z]+ )?(?:prefix|bucket|topic))", text
        )
        if found[1] not in spoken | {"prefix", "bucket", "topic"}
    ]
    assert wrong == []


def test_pages_that_are_named_exist() -> None:
    wrong = [
        (where, page)
        for where, text in SENTENCES
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", text)
        if not (REPOSITORY / page).exists()
    ]
    assert wrong == []
