"""docs/benchmarks.md: what `python -m benchmarks` writes, and sections of other tools that stay when it writes anew."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.measure import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
_SECTION = re.compile(r"\n<!-- section (\S+) -->\n.*?\n<!-- end \1 -->\n", re.DOTALL)


def write_main(text: str, path: Path = DOCUMENT) -> None:
    """All but the sections, which come after it."""
    kept = [match[0] for match in _SECTION.finditer(path.read_text())] if path.exists() else []
    path.write_text(text + "".join(kept))


def write_section(name: str, text: str, path: Path = DOCUMENT) -> None:
    """A section of another tool, in place of what it wrote before."""
    rest = path.read_text() if path.exists() else ""
    others = _SECTION.sub(lambda match: "" if match[1] == name else match[0], rest)
    path.write_text(f"{others}\n<!-- section {name} -->\n{text.strip()}\n<!-- end {name} -->\n")
