"""A routes file of a given text."""

from __future__ import annotations

from pathlib import Path

import pytest

from routes.route_file import SETTING, RoutesFile, read_routes


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def read_text(text: str) -> RoutesFile:
        file = tmp_path / "routes.yaml"
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv(SETTING, str(file))
        return read_routes(tmp_path / "another.yaml")

    return read_text
