"""Date codes and placeholders in prefixes: what they become, what is refused, and what stays as it was written."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.prefixes import CODED, DATE_CODES, DatedPrefix, InvalidPrefix, prefix_problem, prefix_warnings

NAMES = {"{dag_run_id}": "manual__2026", "{route}": "photos"}
WITHOUT_PADDING = {"%-m", "%-d", "%-H"}


def resolve(template: str, moment: datetime = datetime(2026, 1, 5, 7, 8, 9)) -> str:
    return DatedPrefix.parse(template).resolve(moment, NAMES)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("logs/", "logs/"),
        ("logs/%Y/%m/%d/", "logs/2026/01/05/"),
        ("year=%Y/month=%-m/day=%-d/%-H", "year=2026/month=1/day=5/7"),
        ("%y%j-%H%M%S", "26005-070809"),
        ("%G-W%V-%u", "2026-W02-1"),
        ("{route}/{dag_run_id}/%d", "photos/manual__2026/05"),
        ("100%%/{{a}}/%%Y", "100%/{a}/%Y"),
        ("{{route}}", "{route}"),
        ("{{{route}}}", "{photos}"),
        ("日本/%Y", "日本/2026"),
    ],
)
def test_what_codes_become(template: str, expected: str) -> None:
    assert resolve(template) == expected


@given(st.datetimes(), st.sampled_from(sorted(DATE_CODES)))
def test_each_code_is_what_strftime_makes_of_it(moment: datetime, code: str) -> None:
    expected = str(int(moment.strftime(code.replace("-", "")))) if code in WITHOUT_PADDING else moment.strftime(code)
    if code in ("%Y", "%G"):
        expected = expected.zfill(4)  # platforms differ before the year 1000
    assert resolve(code, moment) == expected


@given(st.text(), st.datetimes())
def test_any_text_can_be_written(text: str, moment: datetime) -> None:
    written = text.replace("%", "%%").replace("{", "{{").replace("}", "}}")
    assert resolve(written, moment) == text
    assert DatedPrefix.parse(written).folder == text


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("a/%Q/", "'a/%Q/' has '%Q', which is not a date code: use %Y %y "),
        ("a%", "'a%' has '%', which is not a date code"),
        ("%-Y", "'%-Y' has '%-Y', which is not a date code"),
        ("%c", "or %% for a percent sign"),
        ("{ds}", "'{ds}' has '{ds}', which is not a placeholder: use {dag_run_id} or {route}, or {{ and }} for braces"),
        ("{{ ds }", "a single }: write }} for a brace"),
        ("a{b", "a single {: write {{ for a brace"),
        ("{dag_run_id!r}", "not a placeholder"),
        ("{route.__class__}", "not a placeholder"),
    ],
)
def test_what_is_refused_and_what_to_write_instead(template: str, sentence: str) -> None:
    with pytest.raises(InvalidPrefix) as caught:
        DatedPrefix.parse(template)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("template", "folder", "has_run_in_it"),
    [
        ("", "", False),
        ("a/b", "a/b", False),
        ("a/%Y/", "a/", True),
        ("a/dt=%Y", "a/", True),
        ("%Y/", "", True),
        ("{route}/x", "", False),
        ("a/{dag_run_id}", "a/", True),
        ("%%/a{{/%d", "%/a{/", True),
    ],
)
def test_what_all_runs_have_in_common(template: str, folder: str, has_run_in_it: bool) -> None:
    prefix = DatedPrefix.parse(template)
    assert (prefix.folder, prefix.has_run_in_it) == (folder, has_run_in_it)


@pytest.mark.parametrize(
    ("source", "destination", "moves", "deletes"),
    [
        ("", "", "", ""),
        ("data/", "", "", ""),
        ("team", "", "", "source_prefix 'team' is only the beginning of names: it takes in 'team-b/'"),
        ("", "backup/", "", ""),
        ("data/", "backup/", "", ""),
        ("data/%Y/", "backup/{dag_run_id}/", "", ""),
        ("data", "backup", "", "destination_prefix 'backup' is only the beginning"),
        ("data/", "backup", "'data/a.txt' would become 'backupa.txt': end both in /", "would become"),
        ("", "backup", "'a.txt' would become 'backupa.txt'", "would become"),
        ("data/", "backup/%Y", "only one of them ends in a slash", "only one of them"),
        ("ten", "tenx/", "'ten-b/a.txt' would become 'tenx/-b/a.txt'", "would become"),
        ("data/", "/backup/", "begins with a slash, .* write 'backup/'", "begins with a slash"),
        ("data", "/", "begins with a slash", "begins with a slash"),
        ("/data/", "/backup/", "", ""),
    ],
)
def test_a_prefix_is_not_taken_for_a_folder(source: str, destination: str, moves: str, deletes: str) -> None:
    for said, is_deleting in ((moves, False), (deletes, True)):
        problem = prefix_problem(source, destination, deletes=is_deleting)
        assert bool(problem) == bool(said)
        assert re.search(said, problem)


PIECES = ["%", "%Y", "%-m", "-", "{", "}", "d", "dag_run_id", "{dag_run_id}", "{route}", "/", "\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
def test_the_form_accepts_what_the_tasks_accept(template: str) -> None:
    try:
        DatedPrefix.parse(template)
        is_accepted = True
    except InvalidPrefix:
        is_accepted = False
    assert bool(re.search(CODED, template)) is is_accepted


@pytest.mark.parametrize(
    ("source", "destination", "said"),
    [
        ("/hostile", "", ["it takes in no key that begins with 'hostile'; take the slash off if that is meant"]),
        ("logs/ ", "", ["source_prefix 'logs/ ' begins or ends with a blank"]),
        ("logs/", " backup/", ["destination_prefix ' backup/' begins or ends with a blank"]),
        ("logs/", "backup/", []),
    ],
)
def test_a_prefix_that_is_seldom_meant_is_a_warning(source: str, destination: str, said: list[str]) -> None:
    warnings = list(prefix_warnings(source, destination))
    assert len(warnings) == len(said)
    assert all(text in warning for text, warning in zip(said, warnings, strict=True))
