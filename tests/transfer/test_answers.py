"""The tables of refusals: the page shows them, and the error of each rule does what its scope says."""

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
def test_the_error_of_a_rule_fits_its_scope(rule: AnswerRule) -> None:
    if rule.scope is Scope.TEMPORARY:
        assert issubclass(rule.error, RetryableError)
    elif rule.scope in (Scope.OBJECT, Scope.KEY, Scope.FOLDER):
        assert issubclass(rule.error, ObjectError)
    elif rule.scope is Scope.QUEUE:
        assert issubclass(rule.error, FatalError)
    else:
        assert issubclass(rule.error, FatalError) or rule.error is TokenRefused or rule.error.__name__ in REFUSALS


def test_a_token_that_stays_refused_ends_the_task() -> None:
    """So it may stand in a table as a refusal of the account."""
    assert isinstance(TokenRefused("x", stage="upload").exhausted(5), CredentialsRejected)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_its_source_and_plain_words(rule: AnswerRule) -> None:
    assert rule.source
    assert not re.search(r"[|\n]|\.$", rule.meaning)
    # A refusal that only a person can resolve says what is wrong or what to change.
    assert rule.meaning or issubclass(rule.error, RetryableError) or not rule.reason or rule.error is ObjectError


@pytest.mark.parametrize("name", TABLES)
def test_no_rule_is_hidden_by_an_earlier_one(name: str) -> None:
    seen: list[AnswerRule] = []
    for rule in TABLES[name]:
        for earlier in seen:
            assert not (earlier.status in (None, rule.status) and earlier.reason in ("", rule.reason)), (earlier, rule)
        seen.append(rule)
