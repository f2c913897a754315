"""The listing benchmark runs, and its section of the document outlives what the others write."""

from __future__ import annotations

from pathlib import Path

from benchmarks import listing
from benchmarks.document import write_main, write_section


def test_every_contender_lists_every_key(capsys) -> None:
    assert listing.main(["--keys", "2400", "--rounds", "1"]) == 0
    shown = capsys.readouterr().out
    for name in listing.CONTENDERS:
        assert shown.count(f"| {name} |") == 2
    assert "### 2,400 keys" in shown and "### 1,200 keys, 20 ms of latency" in shown


def test_sections_stay_when_the_rest_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    write_main("# Benchmarks\n\none\n", path)
    write_section("listing", "## Listing\n\nold", path)
    write_section("other", "## Other\n", path)
    write_section("listing", "## Listing\n\nnew", path)
    write_main("# Benchmarks\n\ntwo\n", path)
    text = path.read_text()
    assert text.startswith("# Benchmarks\n\ntwo\n")
    assert "one" not in text and "old" not in text
    assert text.count("## Listing\n\nnew") == text.count("## Other") == 1
