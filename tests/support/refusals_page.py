"""The tables of docs/refusals.md, as the engine has them.

`PYTHONPATH=plugins .venv/bin/python tests/support/refusals_page.py` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.answers import AnswerRule
from transfer.backends.gcs import answers as gcs_answers
from transfer.backends.pubsub import answers as pubsub_answers
from transfer.backends.s3 import answers as s3_answers
from transfer.errors import FatalError, RetryableError
from transfer.preflight import edge_answers
from transfer.sources import head_answers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refusals.md"
TABLES: dict[str, Sequence[AnswerRule]] = {
    "s3": (*s3_answers.ANSWERS, s3_answers.UNKNOWN),
    "s3-head": head_answers.HEAD_ANSWERS,
    "cloudfront": edge_answers.CLOUDFRONT_ANSWERS,
    "s3-through-cloudfront": edge_answers.S3_ANSWERS,
    "edge-any": edge_answers.ANY_ANSWERS,
    "cloud-storage": (*gcs_answers.RULES, *gcs_answers.BY_WORDS),
    "pubsub": (*pubsub_answers.RULES, pubsub_answers.UNKNOWN),
}


def page_of(text: str) -> str:
    """The page with every table as the code has it. Raises ValueError for a table that it has no place for."""
    for name, rules in TABLES.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"docs/refusals.md lacks {begin} or {end}")
        text = "".join([before, begin, "\n\n", _table(rules), "\n\n", end, after])
    return text


def _table(rules: Sequence[AnswerRule]) -> str:
    rows = [("status", "reason", "about", "the engine", "what a person reads", "source"), ("---",) * 6]
    for rule in rules:
        rows.append(
            (
                str(rule.status or "any"),
                f"`{rule.reason}`" if rule.reason else "any",
                rule.scope.value,
                f"{_does(rule)}: `{rule.error.__name__}`",
                rule.meaning or "the service's own words",
                rule.source,
            )
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _does(rule: AnswerRule) -> str:
    if issubclass(rule.error, RetryableError):
        return "tries again"
    return "ends the task" if issubclass(rule.error, FatalError) else "fails the object"


if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text()))
