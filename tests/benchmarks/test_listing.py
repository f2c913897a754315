"""The listing benchmark runs, and its section of the document outlives what the others write."""

from __future__ import annotations

from benchmarks import listing
from benchmarks.document import with_sections


def test_every_contender_lists_every_key(capsys) -> None:
    assert listing.main(["--keys", "2400", "--rounds", "1"]) == 0
    shown = capsys.readouterr().out
    for name in listing.CONTENDERS:
        assert shown.count(f"| {name} |") == 2
    assert "### 2,400 keys" in shown and "### 1,200 keys, 20 ms of latency" in shown


def test_sections_stay_when_others_are_written_anew() -> None:
    text = with_sections("", {"Listing": "old"}, head="# Benchmarks\n\none")
    text = with_sections(text, {"Other": "other\n\n### within\n", "Listing": "new"})
    text = with_sections(text, {"Third": "third"}, head="# Benchmarks\n\ntwo\n")
    assert text == (
        "# Benchmarks\n\ntwo\n\n## Listing\n\nnew\n\n## Other\n\nother\n\n### within\n\n## Third\n\nthird\n"
    )
