"""The manual names what exists: pages, anchors, files, modules and make targets; its indexes have every page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from manual_pages import DOCS, FENCE, PAGES, REPOSITORY, SPAN, prose_of, spans_of, text_of, where

PACKAGES = ("transfer", "operators", "hooks", "routes", "localcloud", "demo", "benchmarks")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)|^\[[^\]^]+\]: (\S+)", re.MULTILINE)


@cache
def tracked() -> frozenset[str]:
    """Every file of the repository, and every folder, without a last slash; also what is new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    files = [Path(name) for name in listed if (REPOSITORY / name).exists()]
    return frozenset({str(path) for path in files} | {str(up) for path in files for up in path.parents} - {"."})


@cache
def ends() -> frozenset[str]:
    """Every way of naming a file or folder from some folder on: `plugins/transfer/steps.py`, `transfer/steps.py`, `steps.py`."""
    return frozenset(
        "/".join(parts[at:]) for name in tracked() for parts in [name.split("/")] for at in range(len(parts))
    )


@cache
def folders() -> frozenset[str]:
    return frozenset(part for name in tracked() if (REPOSITORY / name).is_dir() for part in name.split("/"))


# Links


def slug(heading: str) -> str:
    """GitHub's name of a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE):
        name = slug(heading)
        names.add(name if name not in found else f"{name}-{found[name]}")
        found[name] = found.get(name, 0) + 1
    return frozenset(names)


def links_of(page: Path) -> Iterator[str]:
    for match in LINK.finditer(SPAN.sub("", prose_of(page))):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        if not (file.is_relative_to(REPOSITORY) and str(file.relative_to(REPOSITORY)) in tracked()) or (
            anchor and anchor not in anchors(file)
        ):
            broken.append(target)
    assert broken == []


# Names of files, modules and commands


def paths_in(code: str) -> Iterator[str]:
    """What in a span of code looks like a path of this repository, and not like a record, a bucket or a media type."""
    for word in code.split():
        path = re.sub(r":\d+$|::.*$", "", word.rstrip("/.,:;"))
        if re.search(r"[^\w./-]", path) or "//" in path or path.startswith(("/", ".venv", ".local")):
            continue
        if path.endswith((".py", ".md", ".toml", ".yaml", ".yml")) or (
            "/" in word.rstrip(".,:;") and path.split("/")[0] in folders()
        ):
            yield path


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_files_that_are_named_exist(page: Path) -> None:
    assert [path for code in spans_of(page) for path in paths_in(code) if path not in ends()] == []


def module_problem(name: str) -> str:
    """Why a dotted name of ours names nothing: `transfer.model.Evidence`, `benchmarks.listing`; empty when it does."""
    parts = name.split(".")
    folder = REPOSITORY / "plugins" if (REPOSITORY / "plugins" / parts[0]).is_dir() else REPOSITORY
    while parts and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    if not parts:
        return ""
    module = folder / f"{parts[0]}.py"
    names = parts[1:] if module.exists() else parts
    text = (module if module.exists() else folder / "__init__.py").read_text()
    return next((f"{name}: no {part}" for part in names if not re.search(rf"\b{re.escape(part)}\b", text)), "")


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_modules_that_are_named_exist(page: Path) -> None:
    dotted = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.\w+)+\b(?!\()")
    named = {
        name
        for code in [*spans_of(page), *(body for _, _, body in FENCE.findall(text_of(page)))]
        for name in dotted.findall(code)
        if not name.endswith((".json", ".csv", ".yaml", ".cron", ".sqs"))
    }
    assert [problem for name in sorted(named) if (problem := module_problem(name))] == []


@cache
def targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):(?!=)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    code = [*spans_of(page), *(body for _, _, body in FENCE.findall(text_of(page)))]
    named = {name for text in code for name in re.findall(r"(?:^|[$;&(|] ?)make ([a-z][a-z-]*)\b", text, re.MULTILINE)}
    assert named - targets() == set()


def test_the_index_of_decisions_has_them_all_in_order_and_with_their_titles() -> None:
    pages = sorted(page for page in (DOCS / "decisions").glob("*.md") if page.name != "README.md")
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    index = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((\S+)\) \| (\d{4}-\d\d-\d\d) \| (accepted|superseded by .+?) \|$",
        text_of(DOCS / "decisions" / "README.md"),
        re.MULTILINE,
    )
    titles = [text_of(page).partition("\n")[0].removeprefix("# ") for page in pages]
    assert [(int(number), title, name) for number, title, name, _, _ in index] == [
        (at, title, page.name) for at, (page, title) in enumerate(zip(pages, titles, strict=True), start=1)
    ]


def test_the_manual_has_every_page_in_its_index() -> None:
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in links_of(DOCS / "README.md")}
    assert {page.name for page in DOCS.glob("*.md") if page.resolve() not in listed} == {"README.md"}
