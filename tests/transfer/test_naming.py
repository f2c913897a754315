"""Names at the destination: how they come from keys, and which Cloud Storage cannot hold."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import (
    InvalidName,
)
from transfer.naming import Naming, escape_key

NAMING = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")


@given(st.text(min_size=1, max_size=300))
def test_an_escaped_key_is_plain_and_comes_back(key: str) -> None:
    escaped = escape_key(key)
    assert unquote(escaped) == key
    assert escaped.isascii()
    assert not set(escaped) & set(' ?#+&=\\"<>')


def test_dots_and_slashes_stay_as_they_are() -> None:
    assert escape_key("a/../b//c/./~d") == "a/../b//c/./~d"
    with pytest.raises(InvalidName, match="Unicode"):
        escape_key("\ud800")


@given(st.text(max_size=50))
def test_names_and_keys_map_to_each_other(rest: str) -> None:
    assert NAMING.name_of(f"in/{rest}") == f"out/{rest}"
    assert NAMING.key_of(f"out/{rest}") == f"in/{rest}"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "empty"),
        ("a" * 1025, "1025 bytes"),
        ("é" * 513, "1026 bytes"),
        ("a\nb", "line break"),
        ("a\rb", "line break"),
        (".", "relative"),
        ("..", "relative"),
        (".well-known/acme-challenge/x", "reserves"),
        (".edgehaul/run/report.json", "keeps its records"),
    ],
)
def test_names_that_cloud_storage_cannot_hold(name: str, complaint: str) -> None:
    with pytest.raises(InvalidName, match=complaint):
        NAMING.check(name)


def test_a_key_outside_the_prefix_has_no_name() -> None:
    with pytest.raises(InvalidName, match="not under the prefix"):
        NAMING.name_of("elsewhere/k")
