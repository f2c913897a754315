"""The rules as data: every one has a test, every constant keeps to its limits, and the page shows what the data says."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from pathlib import Path

import pytest

from localcloud.rules import PAGE, Rule, Sent, load, page_of, services

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RULES = [rule for service in services() for rule in service.rules]
SENT = [sent for service in services() for sent in service.sent]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_has_a_test(rule: Rule) -> None:
    path, _, name = rule.test.partition("::")
    tree = ast.parse((REPOSITORY / path).read_text())
    assert name.partition("[")[0] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent.constant)
def test_what_is_sent_keeps_to_the_limits(sent: Sent) -> None:
    value = value_of(sent.constant)
    assert sent.minimum is None or value >= sent.minimum
    assert sent.maximum is None or value <= sent.maximum
    assert sent.multiple_of is None or value % sent.multiple_of == 0


def value_of(constant: str) -> float:
    """A number; of a text or a collection its length."""
    module, _, path = constant.partition(":")
    name, _, field_name = path.partition(".")
    value = getattr(importlib.import_module(module), name)
    if field_name:
        (value,) = (field.default for field in dataclasses.fields(value) if field.name == field_name)
    return len(value) if hasattr(value, "__len__") else value


def test_the_page_shows_the_data() -> None:
    text = PAGE.read_text()
    assert text == page_of(text, services()), "run: .venv/bin/python -m localcloud.rules"


@pytest.mark.parametrize("text", ["title = 'x'\n[[rules]]\nname = 'y'", "title = 'x'\n[[rule]]\nname = 'y'"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.toml"):
        load(path)
