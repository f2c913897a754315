"""The routes file as a whole: it may be missing, empty, or no list of routes at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from route_entries import SOUND
from routes.route_file import SETTING, read_routes

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n", "line 1: the file must begin with routes: and list the routes under it"),
        ("routes: 3\n", "line 1, routes: it must be a list: begin each route with -"),
        ("routes:\nroute: []\n", "line 2, route: there is no such field: put routes under routes"),
        ("routes:\n  - name: a\n    source: {bucket: %Y}\n", "line 3: this is not YAML, so no route can be read"),
        ("routes:\n - cron: @daily\n", "put values with : or # in them, or with % @ * & or ! in front, in quotes"),
        ("routes:\n  - 7\n", "line 2, routes[0]: 7 is not valid here: choose a mapping (field: value)"),
        ("routes:\n  - {}\n", "line 2, routes[0], name: it is missing: add it"),
    ],
)
def test_a_file_that_is_no_list_of_routes(read, text: str, sentence: str) -> None:
    found = read(text)
    assert found.routes == []
    assert any(sentence in problem for problem in found.problems), found.problems


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "routes:\n", "routes: []\n", "x-shared: {a: 1}\nroutes:\n"])
def test_a_file_may_hold_no_route(read, text: str) -> None:
    found = read(text)
    assert (found.routes, found.problems) == ([], [])


def test_a_name_that_is_used_twice_is_no_ones(read) -> None:
    found = read(SOUND + SOUND.removeprefix("routes:\n"))
    assert found.routes == []
    assert [problem.split(", ", 1)[1] for problem in found.problems] == [
        f"line {line}, route sound, name: another route has this name: give each route its own name" for line in (2, 6)
    ]


def test_routes_may_share_values(read) -> None:
    shared = "x-slow: &slow {threads: 2}\n" + SOUND + "    parameters:\n      <<: *slow\n      workers: 3\n"
    found = read(shared)
    assert found.problems == []
    assert {name: found.routes[0].values[name] for name in ("threads", "workers")} == {"threads": 2, "workers": 3}


def test_a_missing_file_is_no_error_unless_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    assert read_routes(tmp_path / "none.yaml").problems == []
    monkeypatch.setenv(SETTING, str(tmp_path / "gone.yaml"))
    (problem,) = read_routes(tmp_path / "none.yaml").problems
    assert problem == (
        f"{tmp_path}/gone.yaml: there is no such file; change {SETTING}, which names it, or remove it from the environment"
    )


def test_a_file_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "routes.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv(SETTING, str(file))
    (problem,) = read_routes(file).problems
    assert problem.startswith(f"{file}: it cannot be read as UTF-8 text")


def test_the_examples_that_come_along_are_sound(read) -> None:
    text = (ROOT / "config" / "routes.yaml").read_text()
    assert read(text).routes == []
    head, entries = text.split("routes:\n", 1)
    found = read(f"{head}routes:\n" + re.sub(r"^# ?", "  ", entries, flags=re.MULTILINE))
    assert found.problems == []
    assert [route.name for route in found.routes] == ["photos", "open-data"]
