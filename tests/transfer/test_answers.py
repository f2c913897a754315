"""The tables of refusals: the page shows them, and what each rule's error does is what its scope says."""

from __future__ import annotations

import re

import pytest

from refusals_page import PAGE, TABLES, page_of
from transfer.answers import AnswerRule, Scope
from transfer.errors import CredentialsRejected, FatalError, ObjectError, RetryableError, TokenRefused
from transfer.worker.refusals import REFUSALS

RULES = [
    pytest.param(rule, id=f"{name}-{rule.status}-{rule.reason}") for name, rules in TABLES.items() for rule in rules
]


def test_the_page_shows_the_tables() -> None:
    text = PAGE.read_text()
    assert text == page_of(text), "run: PYTHONPATH=plugins .venv/bin/python tests/support/refusals_page.py"


@pytest.mark.parametrize("rule", RULES)
def test_what_is_done_is_what_it_is_about(rule: AnswerRule) -> None:
    if rule.scope is Scope.PASSING:
        assert issubclass(rule.error, RetryableError)
    elif rule.scope in (Scope.OBJECT, Scope.KEY, Scope.FOLDER):
        assert issubclass(rule.error, ObjectError)
    elif rule.scope is Scope.QUEUE:
        assert issubclass(rule.error, FatalError)
    else:
        assert issubclass(rule.error, FatalError) or rule.error is TokenRefused or rule.error.__name__ in REFUSALS


def test_a_token_that_stays_refused_is_everybodys() -> None:
    """Why it may stand in a table among what is of the account."""
    assert isinstance(TokenRefused("x", stage="upload").exhausted(5), CredentialsRejected)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_its_source_and_plain_words(rule: AnswerRule) -> None:
    assert rule.source
    assert not re.search(r"[|\n]|\.$", rule.meaning)
    # What only a person can change says what to change or what is wrong.
    assert rule.meaning or issubclass(rule.error, RetryableError) or not rule.reason or rule.error is ObjectError


@pytest.mark.parametrize("name", TABLES)
def test_no_rule_stands_behind_one_that_takes_its_answers(name: str) -> None:
    seen: list[AnswerRule] = []
    for rule in TABLES[name]:
        for earlier in seen:
            assert not (earlier.status in (None, rule.status) and earlier.reason in ("", rule.reason)), (earlier, rule)
        seen.append(rule)
