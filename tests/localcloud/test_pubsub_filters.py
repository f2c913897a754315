"""The subscription filter language against a tiny model of it: a tree, rendered to text, and evaluated on its own."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from localcloud.pubsub.filters import MAX_FILTER_BYTES, FilterError, compile_filter

KEYS = ["run", "kind", "iana.org/tag", 'odd "key"', "back\\slash", "x-y_1"]
VALUES = ["", "r1", "r12", "R1", 'say "hi"', "tab\tnew\nline", "ünï→𝄞"]

keys = st.sampled_from(KEYS)
values = st.sampled_from(VALUES)
messages = st.dictionaries(keys, values)
leaves = st.one_of(
    st.tuples(st.just(":"), keys),
    st.tuples(st.sampled_from(["=", "!=", "hasPrefix"]), keys, values),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["NOT ", "-"]), inner),
        st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)


def quote(text):
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\x09", "ü": "\\u00fc", "𝄞": "\\U0001D11E"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def render(tree):
    match tree:
        case (":", key):
            return f"attributes:{render_key(key)}"
        case ("hasPrefix", key, value):
            return f"hasPrefix(attributes.{render_key(key)}, {quote(value)})"
        case ("=" | "!=" as operator, key, value):
            return f"attributes.{render_key(key)} {operator} {quote(value)}"
        case ("NOT " | "-" as negation, inner):
            return f"{negation}({render(inner)})"
        case (operator, parts):
            return f" {operator} ".join(f"({render(part)})" for part in parts)


def render_key(key):
    return key if key.replace("-", "").replace("_", "").isalnum() else quote(key)


def evaluate(tree, attributes):
    match tree:
        case (":", key):
            return key in attributes
        case ("hasPrefix", key, value):
            return key in attributes and attributes[key].startswith(value)
        case ("=", key, value):
            return attributes.get(key) == value
        case ("!=", key, value):
            return attributes.get(key) != value
        case ("NOT " | "-", inner):
            return not evaluate(inner, attributes)
        case ("AND", parts):
            return all(evaluate(part, attributes) for part in parts)
        case ("OR", parts):
            return any(evaluate(part, attributes) for part in parts)


@given(trees, messages)
def test_a_filter_means_what_its_tree_means(tree, attributes):
    text = render(tree)
    assume(len(text.encode()) <= MAX_FILTER_BYTES)
    assert compile_filter(text)(attributes) == evaluate(tree, attributes)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_filter_error(text):
    with contextlib.suppress(FilterError):
        compile_filter(text)({})


@pytest.mark.parametrize(
    ("text", "attributes", "expected"),
    [
        ('attributes.run="r1"', {"run": "r1"}, True),
        ('attributes.run = "r1"', {"run": "R1"}, False),
        ('attributes.run != "r1"', {}, True),
        ('NOT attributes.run = "r1" AND attributes:kind', {"kind": ""}, True),
        ("NOT attributes:a OR attributes:b", {"a": "", "b": ""}, True),
        ('attributes."a b" = "\\101\\x42\\u0043"', {"a b": "ABC"}, True),
        ('hasPrefix(attributes.path, "a/")', {"path": "a/b"}, True),
        ("(attributes:a AND attributes:b) OR attributes:c", {"c": "1"}, True),
        ("attributes:NOTE", {"NOTE": "1"}, True),
    ],
)
def test_examples(text, attributes, expected):
    assert compile_filter(text)(attributes) is expected


@pytest.mark.parametrize(
    "text",
    [
        "bogus",
        " ",
        "attributes",
        "attributes.run",
        "attributes.run = r1",
        "attributes.run == 'r1'",
        "attributes:a and attributes:b",
        "attributes:a attributes:b",
        "attributes:a AND attributes:b OR attributes:c",
        "(attributes:a",
        "attributes:a)",
        'hasSuffix(attributes.a, "b")',
        'data = "x"',
        'attributes.a = "\\q"',
        'attributes.a = "\\ud800"',
        'attributes.a = "open',
        'attributes.a = "' + "x" * 256 + '"',
    ],
)
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(FilterError):
        compile_filter(text)
