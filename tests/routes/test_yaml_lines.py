"""Aliases in a routes file: plain ones work, and a file that would not fit into memory is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from route_entries import SOUND

ROOT = Path(__file__).resolve().parents[2]


LAUGHS = "\n".join(
    ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    + [f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 10)}]" for level in range(1, 12)]
    + ["routes:\n  - *x11\n"]
)
MERGED = "\n".join(
    ["x0: &x0 {a: 1}"]
    + [f"x{level}: &x{level} {{<<: [{', '.join([f'*x{level - 1}'] * 10)}]}}" for level in range(1, 12)]
    + ["routes:\n  - *x11\n"]
)
CHAIN = "\n".join(["x0: &x0 [a]"] + [f"x{level}: &x{level} [*x{level - 1}]" for level in range(1, 90)])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "write it without aliases"),
        (MERGED, "write it without aliases"),
        (CHAIN, "write it without aliases"),
        ("routes: " + "[" * 100_000, "nested deeper than 50 levels"),
        ("routes:\n" + "  - {}\n" * 60_000, "more than 50,000 values"),
        ("#" * 2_000_000, "more than 1,048,576 characters"),
    ],
    ids=["aliases", "merges", "a chain", "depth", "length", "size"],
)
def test_a_file_that_would_not_fit_into_memory_is_one_sentence(read, text: str, sentence: str) -> None:
    found = read(text)
    assert found.routes == []
    assert len(found.problems) == 1 and sentence in found.problems[0]


def test_plain_aliases_are_as_good_as_what_they_stand_for(read) -> None:
    found = read(SOUND.replace("{bucket: my-destination}", "&there {bucket: my-destination}") + "x-other: *there\n")
    assert len(found.routes) == 1
