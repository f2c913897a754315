"""The manual names what exists: pages, anchors, files, modules, make targets, parameters, errors and decisions."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from routes.form import PARAMS
from routes.schema import ROUTE
from transfer import errors
from transfer.reconciliation.advice import FAILURES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *(REPOSITORY / ".github").rglob("*.md")],
    key=lambda page: page.relative_to(REPOSITORY),
)
PACKAGES = ("transfer", "operators", "hooks", "routes", "localcloud", "demo", "benchmarks")
GENERATED = re.compile(r"<!-- begin .*?<!-- end [^>]*-->", re.DOTALL)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)|^\[[^\]^]+\]: (\S+)", re.MULTILINE)
AIRFLOWS_OWN = {"on_failure_fail_dagrun", "max_active_tis_per_dag"}
"""Arguments that Airflow's operators have."""
OF_A_RECORD = {"is_bound", "crc32c"}
"""Fields of records that the manual shows with a value."""


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


# Parameters


def rows(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each row of the tables of a page: the heading above, and the cells."""
    heading = ""
    for line in text_of(page).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            yield heading, [cell.strip() for cell in line.strip("|").split("|")]


def documented() -> Mapping[str, tuple[str, list[str]]]:
    """The rows of docs/parameters.md, by parameter."""
    return {
        cells[0].strip("`"): (heading, cells)
        for heading, cells in rows(DOCS / "parameters.md")
        if re.fullmatch(r"`\w+`", cells[0])
    }


def test_the_page_of_parameters_has_those_of_the_form_under_its_headings() -> None:
    assert {name: heading for name, (heading, _) in documented().items()} == {
        name: param.schema["section"] for name, param in PARAMS.items()
    }


@pytest.mark.parametrize("name", PARAMS)
def test_the_page_of_parameters_has_defaults_choices_and_limits(name: str) -> None:
    _, (_, kind, default, _) = documented()[name]
    schema, value = PARAMS[name].schema, PARAMS[name].value
    assert default == ("none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`")
    for choice in schema.get("enum") or schema.get("items", {}).get("enum", []):
        assert f"`{choice}`" in kind
    for limit in ("minimum", "maximum", "maxLength"):
        if limit in schema:
            assert f"{schema[limit]:,}" in kind
    for most in (schema.get("maxItems"), schema.get("items", {}).get("maxLength")):
        assert most is None or f"{most:,}" in kind
    assert ("required" in kind) is ("required" in schema.get("title", ""))


def test_the_page_of_routes_has_every_field_of_an_entry() -> None:
    properties = ROUTE["properties"]
    fields = {
        f"{name}.{field}" if name in ("source", "edge", "destination") else name
        for name, rules in properties.items()
        for field in rules.get("properties", {"": None})
    }
    table = [cells for heading, cells in rows(DOCS / "routes.md") if heading == "Fields" and cells[0].startswith("`")]
    assert {name for cells in table for name in re.findall(r"`([\w.]+)`", cells[0])} == fields
    (parameters,) = (cells[2] for cells in table if cells[0] == "`parameters`")
    assert set(re.findall(r"`(\w+)`", parameters)) == set(properties["parameters"]["properties"])


@cache
def arguments() -> frozenset[str]:
    """Of the operators' constructors."""
    found = set()
    for path in (REPOSITORY / "plugins" / "operators").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                found |= {argument.arg for argument in node.args.kwonlyargs}
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_values_of_parameters_that_are_named_exist(page: Path) -> None:
    known = {*PARAMS, *ROUTE["properties"], *arguments(), *AIRFLOWS_OWN, *OF_A_RECORD}
    wrong = []
    for code in spans_of(page):
        if not (found := re.fullmatch(r"([a-z][a-z0-9_]*)=(.*)", code)):
            continue
        name, value = found.groups()
        choices = PARAMS[name].schema.get("enum") if name in PARAMS else None
        if name not in known or (choices and re.fullmatch(r"\w+", value) and value not in choices):
            wrong.append(code)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_examples_of_a_conf_have_parameters_of_the_form(page: Path) -> None:
    confs: list[dict[str, Any]] = [
        json.loads(body) for _, kind, body in FENCE.findall(text_of(page)) if kind == "json" and body.lstrip()[0] == "{"
    ]
    confs += [json.loads(text) for text in re.findall(r"--conf '(\{\".*?\})'", text_of(page), re.DOTALL)]
    assert [set(conf) - set(PARAMS) for conf in confs if set(conf) & set(PARAMS) and set(conf) - set(PARAMS)] == []


# Errors and decisions


def test_every_error_is_in_troubleshooting() -> None:
    text = text_of(DOCS / "troubleshooting.md")
    fatal = {kind.__name__ for kind in errors.FatalError.__subclasses__()}
    assert {name for name in {*fatal, *FAILURES} if f"`{name}`" not in text} == set()
    named = {name for _, cells in rows(DOCS / "troubleshooting.md") for name in re.findall(r"`([A-Z]\w+)`", cells[0])}
    assert {name for name in named if not hasattr(errors, name)} == set()


@cache
def spoken() -> str:
    """Every text in the pipeline's code, whatever is filled into it left out."""
    texts = []
    for path in (REPOSITORY / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\1".join(texts)


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    """Of each message in the first column the pieces between what is filled in."""
    pieces = [
        piece.strip()
        for heading, cells in rows(DOCS / "troubleshooting.md")
        if heading in ("Before anything is copied", "Verdicts")
        for code in re.findall(r"`([^`]+)`", cells[0])
        for piece in re.split(r"'?…'?|: |; ", code)
        if len(piece.strip()) > 8 and "." not in piece
    ]
    assert len(pieces) > 12
    assert [piece for piece in pieces if piece not in spoken()] == []


def test_the_sample_of_a_plan_has_the_words_of_the_code() -> None:
    sample = next(body for _, kind, body in FENCE.findall(text_of(DOCS / "plans-and-prices.md")) if kind == "text")
    folder = REPOSITORY / "plugins/transfer/planning"
    said = (folder / "table.py").read_text() + (folder / "costs.py").read_text() + (folder / "prices.json").read_text()
    pieces = [piece.strip() for piece in re.split(r"[\d.,%█]+|\s{2,}|[:;()]|\n|CloudFront ", sample)]
    assert [piece for piece in pieces if len(piece) > 6 and piece not in said] == []


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
