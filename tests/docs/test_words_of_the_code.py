"""The manual has the parameters, errors and messages of the code, with its defaults, limits and words."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from manual_pages import DOCS, FENCE, PAGES, REPOSITORY, rows, spans_of, text_of, where
from routes.form import PARAMS
from routes.schema import ROUTE
from transfer import errors
from transfer.reconciliation.advice import FAILURES

AIRFLOWS_OWN = {"on_failure_fail_dagrun", "max_active_tis_per_dag"}
"""Arguments that Airflow's operators have."""
OF_A_RECORD = {"is_bound", "crc32c"}
"""Fields of records that the manual shows with a value."""


def documented() -> Mapping[str, tuple[str, list[str]]]:
    """The rows of docs/parameters.md, by parameter."""
    return {
        cells[0].strip("`"): (heading, cells)
        for heading, cells in rows(DOCS / "parameters.md")
        if re.fullmatch(r"`\w+`", cells[0])
    }


def test_the_page_of_parameters_has_those_of_the_form_under_its_headings() -> None:
    assert {name: heading for name, (heading, _) in documented().items()} == {
        name: param.schema.get("section", "Open at the top") for name, param in PARAMS.items()
    }


@pytest.mark.parametrize("name", PARAMS)
def test_the_page_of_parameters_has_defaults_choices_and_limits(name: str) -> None:
    _, (_, kind, default, _) = documented()[name]
    schema, value = PARAMS[name].schema, PARAMS[name].value
    assert default == ("none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`")
    for choice in schema.get("enum") or schema.get("items", {}).get("enum", []):
        assert f"`{choice}`" in kind
    for limit in ("minimum", "maximum", "maxLength"):
        if limit in schema:
            assert f"{schema[limit]:,}" in kind
    for most in (schema.get("maxItems"), schema.get("items", {}).get("maxLength")):
        assert most is None or f"{most:,}" in kind
    assert ("required" in kind) is ("required" in schema.get("title", ""))


def test_the_page_of_routes_has_every_field_of_an_entry() -> None:
    properties = ROUTE["properties"]
    fields = {
        f"{name}.{field}" if name in ("source", "edge", "destination") else name
        for name, rules in properties.items()
        for field in rules.get("properties", {"": None})
    }
    table = [cells for heading, cells in rows(DOCS / "routes.md") if heading == "Fields" and cells[0].startswith("`")]
    assert {name for cells in table for name in re.findall(r"`([\w.]+)`", cells[0])} == fields
    (parameters,) = (cells[2] for cells in table if cells[0] == "`parameters`")
    assert set(re.findall(r"`(\w+)`", parameters)) == set(properties["parameters"]["properties"])


@cache
def arguments() -> frozenset[str]:
    """Of the operators' constructors."""
    found = set()
    for path in (REPOSITORY / "plugins" / "operators").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                found |= {argument.arg for argument in node.args.kwonlyargs}
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_values_of_parameters_that_are_named_exist(page: Path) -> None:
    known = {*PARAMS, *ROUTE["properties"], *arguments(), *AIRFLOWS_OWN, *OF_A_RECORD}
    wrong = []
    for code in spans_of(page):
        if not (found := re.fullmatch(r"([a-z][a-z0-9_]*)=(.*)", code)):
            continue
        name, value = found.groups()
        choices = PARAMS[name].schema.get("enum") if name in PARAMS else None
        if name not in known or (choices and re.fullmatch(r"\w+", value) and value not in choices):
            wrong.append(code)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_examples_of_a_conf_have_parameters_of_the_form(page: Path) -> None:
    confs: list[dict[str, Any]] = [
        json.loads(body) for _, kind, body in FENCE.findall(text_of(page)) if kind == "json" and body.lstrip()[0] == "{"
    ]
    confs += [json.loads(text) for text in re.findall(r"--conf '(\{\".*?\})'", text_of(page), re.DOTALL)]
    assert [set(conf) - set(PARAMS) for conf in confs if set(conf) & set(PARAMS) and set(conf) - set(PARAMS)] == []


# Errors and messages


def test_every_error_is_in_troubleshooting() -> None:
    text = text_of(DOCS / "troubleshooting.md")
    fatal = {kind.__name__ for kind in errors.FatalError.__subclasses__()}
    assert {name for name in {*fatal, *FAILURES} if f"`{name}`" not in text} == set()
    named = {name for _, cells in rows(DOCS / "troubleshooting.md") for name in re.findall(r"`([A-Z]\w+)`", cells[0])}
    assert {name for name in named if not hasattr(errors, name)} == set()


@cache
def spoken() -> str:
    """Every text in the pipeline's code, whatever is filled into it left out."""
    texts = []
    for path in (REPOSITORY / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\1".join(texts)


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    """Of each message in the first column the pieces between what is filled in."""
    pieces = [
        piece.strip()
        for heading, cells in rows(DOCS / "troubleshooting.md")
        if heading in ("Before anything is copied", "Verdicts")
        for code in re.findall(r"`([^`]+)`", cells[0])
        for piece in re.split(r"'?…'?|: |; ", code)
        if len(piece.strip()) > 8 and "." not in piece
    ]
    assert len(pieces) > 12
    assert [piece for piece in pieces if piece not in spoken()] == []


def test_the_sample_of_a_plan_has_the_words_of_the_code() -> None:
    sample = next(body for _, kind, body in FENCE.findall(text_of(DOCS / "plans-and-prices.md")) if kind == "text")
    folder = REPOSITORY / "plugins/transfer/planning"
    said = (folder / "table.py").read_text() + (folder / "costs.py").read_text() + (folder / "prices.json").read_text()
    pieces = [piece.strip() for piece in re.split(r"[\d.,%█]+|\s{2,}|[:;()]|\n|CloudFront ", sample)]
    assert [piece for piece in pieces if len(piece) > 6 and piece not in said] == []
