"""The pages of the manual, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *(REPOSITORY / ".github").rglob("*.md")],
    key=lambda page: page.relative_to(REPOSITORY),
)
GENERATED = re.compile(r"<!-- begin .*?<!-- end [^>]*-->", re.DOTALL)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)


def where(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@cache
def text_of(page: Path) -> str:
    return page.read_text()


@cache
def prose_of(page: Path) -> str:
    """A page without its blocks of code and without tables that are generated, which have tests of their own."""
    return FENCE.sub("", GENERATED.sub("", text_of(page)))


def spans_of(page: Path) -> Iterator[str]:
    for _, code in SPAN.findall(prose_of(page)):
        yield " ".join(code.split())


def rows(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each row of the tables of a page: the heading above, and the cells."""
    heading = ""
    for line in text_of(page).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            yield heading, [cell.strip() for cell in line.strip("|").split("|")]
