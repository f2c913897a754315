"""Refusals in a row are counted by side, and end the worker with an error that says what to change."""

from __future__ import annotations

import pytest

from refused_objects import copied, item, refused
from transfer.errors import CredentialsRejected, EdgeBlocked
from transfer.reconciliation.advice import FAILURES
from transfer.worker.refusals import MAX_STREAK, REFUSALS, STREAK, Refusals, Side, systemic_error


def test_only_many_different_objects_in_a_row_make_a_side_suspected() -> None:
    refusals = Refusals()
    for number in range(2 * STREAK):
        refusals.note(item("a"), refused("a"))
        refusals.note(item("gone"), refused("gone", "SourceNotFound"))
        if number % 5 == 0:
            refusals.note(item("b"), copied("b"))
    assert refusals.suspected_side is None
    for number in range(STREAK):
        refusals.note(item(f"{number}"), refused(f"{number}", "DestinationForbidden"))
    assert refusals.suspected_side is Side.DESTINATION


def test_an_object_that_the_destination_refuses_was_readable() -> None:
    refusals = Refusals()
    refusals.note(item("a"), refused("a"))
    refusals.note(item("b"), refused("b", "DestinationForbidden"))
    assert refusals.last_readable == item("b")
    assert refusals.of(Side.SOURCE) == {}
    assert list(refusals.of(Side.DESTINATION)) == ["b"]


def test_after_a_check_that_works_the_next_one_comes_later_but_it_comes() -> None:
    refusals, checks = Refusals(), 0
    for number in range(10_000):
        refusals.note(item(f"{number}"), refused(f"{number}"))
        if refusals.suspected_side:
            refusals.forgive(Side.SOURCE)
            checks += 1
    assert 10_000 / MAX_STREAK < checks < 20
    refusals.note(item("b"), copied("b"))
    for number in range(STREAK):
        refusals.note(item(f"{number}"), refused(f"{number}"))
    assert refusals.suspected_side is Side.SOURCE


@pytest.mark.parametrize("code", REFUSALS)
def test_the_error_that_ends_the_worker_says_what_to_change(code: str) -> None:
    error = systemic_error([refused("a", code).failure] * STREAK)
    assert isinstance(error, EdgeBlocked if code == "EdgeBlocked" else CredentialsRejected)
    assert str(STREAK) in error.message and ": " in error.message
    assert code in FAILURES
