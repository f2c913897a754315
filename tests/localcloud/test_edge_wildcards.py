"""The Resource of a custom policy, by the examples of the CloudFront developer guide and against a naive model."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.edge.wildcards import matches, resource_allows


def naive_matches(pattern: str, text: str) -> bool:
    """The definition, word for word; exponential."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive_matches(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
    if pattern[0] == "?":
        return bool(text) and naive_matches(pattern[1:], text[1:])
    if pattern[0] == "\\" and len(pattern) > 1:
        return text[:1] == pattern[1] and naive_matches(pattern[2:], text[1:])
    return text[:1] == pattern[0] and naive_matches(pattern[1:], text[1:])


@given(pattern=st.text("ab*?\\", max_size=8), text=st.text("ab?*\\", max_size=8))
def test_a_section_matches_as_the_definition_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) == naive_matches(pattern, text)


@given(text=st.text(st.characters(codec="utf-8")))
def test_a_star_matches_anything_and_a_text_matches_itself(text: str) -> None:
    assert matches("*", text)
    assert matches("".join("\\" + character for character in text), text)


def test_many_stars_cost_no_more_than_the_product_of_the_lengths() -> None:
    started_s = time.perf_counter()
    assert not matches("*a" * 50 + "b", "a" * 2000)
    assert time.perf_counter() - started_s < 5


@pytest.mark.parametrize(
    ("resource", "url", "allowed"),
    [
        ("*", "https://d.example/any?thing", True),
        ("https://d.example/hello*world", "https://d.example/helloworld", True),
        ("https://d.example/hello*world", "https://d.example/hello-world", True),
        ("https://d.example/hello*world", "https://d.example/hello?world", False),
        ("https://d.example/hello*world", "https://d.example/hello/deep/world", True),
        ("https://d.example/hello*", "https://d.example/hello", True),
        ("https://d.example/hello*", "https://d.example/hello/there?versionId=1", True),
        (r"https://d.example/hello*\?*", "https://d.example/hello/there?versionId=1", True),
        ("https://d.example*", "https://d.example.net/path?query", True),
        ("*example.com*", "http://www.example.com/path", True),
        ("*example.com", "http://www.example.com/path", False),
        ("*example.com", "http://www.example.com/", True),
        ("http*://d.example/x", "https://d.example/x", True),
        ("http://d.example/x", "https://d.example/x", False),
        ("https://*.example/x", "https://a.b.example/x", True),
        ("https://*/x", "https://a.example/deep/x", False),
        ("https://d.example/p?th", "https://d.example/path", True),
        ("https://d.example/p?th", "https://d.example/pth", False),
        (r"https://d.example/x\?size=*", "https://d.example/x?size=large", True),
        (r"https://d.example/x\?size=*", "https://d.example/x", False),
        ("https://d.example/x?size=large", "https://d.example/x?size=large", True),
        ("https://d.example/x", "https://d.example/x?size=large", False),
        ("https://d.example/pre/*", "https://d.example/other/x", False),
        ("https://d.example/pre/*", "https://d.example/pre//a/../b", True),
        ("https://d.example/pre/*", "https://evil.example/https://d.example/pre/x", False),
    ],
)
def test_wildcards_stay_within_their_section(resource: str, url: str, allowed: bool) -> None:
    assert resource_allows(resource, url) is allowed


def test_a_resource_without_protocol_or_star_is_malformed() -> None:
    with pytest.raises(ValueError, match="protocol"):
        resource_allows("d.example/x", "https://d.example/x")
