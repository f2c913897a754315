"""What the demo shows, where lines can be rewritten and where they cannot."""

from __future__ import annotations

import sys

import pytest

from demo.screen import Screen, human_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (256 * 1024**2, "256.0 MiB"),
        (3.25 * 1024**3, "3.2 GiB"),
        (2 * 1024**4, "2.00 TiB"),
        (5000 * 1024**4, "5,000.00 TiB"),
    ],
)
def test_human_bytes(count: float, text: str) -> None:
    assert human_bytes(count) == text


def test_a_table_aligns_names_left_and_values_right(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table([("listed", "3,034"), ("same bytes", "1")])
    assert capsys.readouterr().out == "\n  listed      3,034\n  same bytes      1\n\n"


def test_a_phase_says_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().phase("do something"):
        pass
    assert capsys.readouterr().out == "  … do something\n  ✓ do something  0.0 s\n"


def test_a_phase_that_fails_is_not_ticked_off(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Screen().phase("divide"):
        _ = 1 / 0
    assert "✓" not in capsys.readouterr().out


def test_progress_in_a_file_is_sparse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("demo.screen.time.monotonic", lambda: now_s)
    screen = Screen()
    for second in range(11):
        now_s = 100.0 + second
        screen.live(f"{second} s")
    assert capsys.readouterr().out == "0 s\n5 s\n10 s\n"


def test_progress_on_a_terminal_is_rewritten_in_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    screen = Screen()
    screen.title("Title")
    screen.live("a longer line")
    screen.live("short")
    screen.say("done")
    out = capsys.readouterr().out
    assert out.startswith("\033[1mTitle\033[0m\n\n\ra longer line\rshort        ")
    assert out.endswith("\rdone\n")
    assert out.count("\n") == 3, "a new line after the title, its gap, and the line that stays"
