"""docs/benchmarks.md: a head and one section per measurement, of which each measurement replaces its own."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measure import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"


def with_sections(before: str, sections: Mapping[str, str], *, head: str = "") -> str:
    """The document `before` with these sections (by title) in place of those of the same titles, or after the others.

    `head` is the text before all sections; the existing head is kept when it is empty.
    """
    old_head, *parts = f"\n{before}".split("\n## ")
    merged = {title: text for title, _, text in (part.partition("\n") for part in parts)} | dict(sections)
    pieces = [head or old_head, *(f"## {title}\n\n{text.strip()}" for title, text in merged.items())]
    return "\n\n".join(piece.strip() for piece in pieces) + "\n"
