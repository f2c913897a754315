"""Marching two sorted listings, against a brute-force model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import ListingOutOfOrder
from transfer.march import march

names = st.lists(st.text(max_size=6), unique=True)


def identity(name: Any) -> str:
    return str(name)


@given(names, names)
def test_pairs_are_those_of_the_model(left: list[str], right: list[str]) -> None:
    pairs = list(march(_utf8(left), _utf8(right), left_name=identity, right_name=identity))
    model = [(name if name in left else None, name if name in right else None) for name in _utf8({*left, *right})]
    assert pairs == model


def _utf8(these) -> list[str]:
    return sorted(these, key=lambda name: name.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("wrong", [["b", "a"], ["a", "a"], ["a/b", "a!b"], ["\U0001f69a", "\uffee"]])
def test_a_listing_out_of_order_is_refused(wrong: list[str]) -> None:
    with pytest.raises(ListingOutOfOrder, match="after"):
        list(march(wrong, [], left_name=identity, right_name=identity))
    with pytest.raises(ListingOutOfOrder, match="destination"):
        list(march([], wrong, left_name=identity, right_name=identity))


def test_utf16_order_is_not_ours() -> None:
    """U+FFEE sorts after U+1F69A in UTF-16, and before it in UTF-8, which is what S3 and Cloud Storage list in."""
    both = ["\uffee", "\U0001f69a"]
    assert list(march(both, both, left_name=identity, right_name=identity)) == [(name, name) for name in both]
