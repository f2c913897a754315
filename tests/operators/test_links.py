"""Addresses of pages in Google's console, or in another at the address that is set."""

from __future__ import annotations

import pytest

from operators.links import CONSOLE_SETTING, destination_url, object_url


@pytest.mark.parametrize(
    ("console", "expected"),
    [
        (None, "https://console.cloud.google.com/storage/browser/_details/b/a%20%3B/r.json;tab=live_object"),
        (
            "https://console.example.com/",
            "https://console.example.com/storage/browser/_details/b/a%20%3B/r.json;tab=live_object",
        ),
        ("", ""),
        ("javascript:alert(1)//", ""),
    ],
)
def test_the_address_of_the_console_may_be_set_or_taken_away(
    monkeypatch: pytest.MonkeyPatch, console: str | None, expected: str
) -> None:
    monkeypatch.delenv(CONSOLE_SETTING, raising=False)
    if console is not None:
        monkeypatch.setenv(CONSOLE_SETTING, console)
    assert object_url("gs://b/a ;/r.json") == expected


def test_a_folder_and_the_rest_of_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONSOLE_SETTING, "http://c")
    assert destination_url("b", "") == "http://c/storage/browser/b;tab=objects"
    assert destination_url("b", "a/b c") == "http://c/storage/browser/b/a;tab=objects?prefix=b%20c"
