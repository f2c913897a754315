"""Which objects are selected: globs against git itself, bounds against a model, and what is wrong in one sentence."""

from __future__ import annotations

import re
import subprocess
import time
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from hooks.selection import name_filter_of, selection_of
from needs import program
from transfer.backends.globs import compile_globs
from transfer.backends.linear_globs import linear
from transfer.config import Overwrite
from transfer.errors import InvalidSelection
from transfer.listing.decision import decide
from transfer.listing.selection import MOMENT, SIZE, Selection, read_selection
from transfer.model import ARCHIVE_CLASSES, NOT_SELECTED, DestinationObject, ObjectMeta, SkipReason
from transfer.naming import NameFilter

NAMES = sorted(
    {"/".join(parts) for count in (1, 2, 3) for parts in product(("a", "b", "tmp", "x.log", "ünï 🚚"), repeat=count)}
    | {
        "a b",
        "a+b",
        "#x",
        "!y",
        "keep.log",
        "tmp/keep.log",
        "a/tmp/b/c.log",
        "A",
        "X.LOG",
        "a\tb",
        "[a]",
        "a\\b",
        "2026/01/a.gz",
    }
)
PATTERN_LISTS = [
    ["*.log"],
    ["tmp/"],
    ["/tmp"],
    ["tmp"],
    ["a/**/b"],
    ["**/tmp/"],
    ["a/*"],
    ["*.log", "!keep.log"],
    ["*", "!/tmp/"],
    ["[ab]"],
    ["?"],
    ["\\#x", "\\!y"],
    ["# a comment", "", "ünï*"],
    ["/2026/*/*.gz"],
    ["a b"],
    ["**"],
]


def globs(included: list[str], excluded: list[str]) -> NameFilter:
    found = compile_globs(included, excluded)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("git")
    subprocess.run([program("git"), "init", "--quiet", str(folder)], check=True)
    return folder


@pytest.mark.parametrize("patterns", PATTERN_LISTS, ids=" ".join)
def test_globs_are_those_of_git(patterns, repository) -> None:
    (repository / ".git" / "info" / "exclude").write_text("\n".join(patterns) + "\n")
    asked = subprocess.run(
        [
            program("git"),
            "-c",
            "core.excludesFile=",
            "-C",
            str(repository),
            "check-ignore",
            "--no-index",
            "--stdin",
            "-z",
        ],
        input="\0".join(NAMES).encode(),
        capture_output=True,
        check=False,
    )
    assert asked.returncode in (0, 1), asked.stderr
    ignored = set(asked.stdout.decode().split("\0")) - {""}
    excluded, included = globs([], patterns), globs(patterns, [])
    assert {name for name in NAMES if not excluded(name)} == ignored
    assert {name for name in NAMES if included(name)} == ignored


pieces = st.sampled_from(["a", "b", "*", "?", "/", "**/", "/**", "[ab]", "[!a]", "\\*", ".", "ü", " "])
patterns = st.lists(pieces, min_size=1, max_size=8).map("".join).filter(lambda text: "***" not in text)
names = st.text(st.sampled_from("aab/c.ü* "), min_size=1, max_size=10)


@given(patterns, st.lists(names, min_size=10, max_size=30))
@settings(max_examples=150)
def test_globs_are_those_of_pathspec_and_take_the_name_or_the_folder_as_it_does(pattern: str, found: list[str]) -> None:
    """But for a class, which takes a slash there and does not here, nor in git."""
    try:
        (theirs,) = GitIgnoreSpec.from_lines([pattern]).patterns
        if theirs.regex is None:
            return  # no pattern
        ours = re.compile(linear(theirs.regex.pattern))
    except ValueError:
        return  # no pattern, or one that is refused with a reason
    for name in (name for name in found if "[" not in pattern or "/" not in name):
        expected, match = theirs.regex.search(name), ours.match(name)
        assert bool(expected) == bool(match), name
        if expected and match:
            assert expected.groupdict().get("ps_d") == match.groupdict().get("ps_d"), name


@pytest.mark.parametrize(
    "pattern",
    ["*a*a*a*a*a*a*b", "**/a*/**/a*/**/a*/**/a*/b", "**/*a*/**/*a*/**/*a*/c", "?*?*?*?*?*?*b", "a**a**a**a**b/"],
)
@pytest.mark.parametrize("name", ["a" * 1024, "a/" * 512, "aa/" * 341, "a" * 500 + "/" + "a" * 500])
def test_no_glob_hangs(pattern: str, name: str) -> None:
    began = time.monotonic()
    for patterns in ([pattern], [pattern, "!never"]):
        assert not globs(patterns, [])(name * 20)
    assert time.monotonic() - began < 1


def test_a_folder_without_a_name_is_known_but_not_next_to_all_others() -> None:
    assert globs(["a//*"], [])("a//b")
    assert not globs(["a//*"], [])("a/b")
    with pytest.raises(InvalidSelection, match=r"exclude has 'a/\*\*//b\*', which cannot be matched: it has a folder"):
        globs([], ["a/**//b*"])


@pytest.mark.parametrize(
    "name", ["/x.log", "//x.log", "./x.log", "a//x.log", "p/../x.log", "a\nb/x.log", "a\r\nb/x.log"]
)
def test_globs_know_every_key(name: str) -> None:
    """Keys that no file system has: none slips through an exclude."""
    for patterns in (["*.log"], ["*.log", "!no"]):
        assert not globs([], patterns)(name)
        assert globs(patterns, [])(name)
    assert not globs([], ["secret/"])("secret/a\nb")
    assert globs([], ["*.log"])("a.log\n")


@pytest.mark.parametrize(
    "patterns", [["tmp/", "!keep.log"], ["tmp/**", "!tmp/keep.log"], ["*", "!*.log"]], ids=" ".join
)
def test_what_is_taken_back_comes_back_whatever_its_folder(patterns) -> None:
    """Git never looks into a folder that is left out; a bucket has no folders."""
    excluded = globs([], patterns)
    assert excluded("tmp/keep.log")
    assert not excluded("tmp/b")


def test_an_exclude_wins_over_an_include() -> None:
    chosen = globs(["2026/", "*.gz"], ["tmp/", "*.part.gz"])
    assert [chosen(name) for name in ("2026/a", "b.gz", "2026/tmp/a", "b.part.gz", "c", "2025/c.gz")] == [
        True, True, False, False, False, True,
    ]  # fmt: skip


def test_nothing_given_is_no_selection() -> None:
    assert selection_of({}, now_s=0) is None
    empty = {"include": "[]", "exclude": '["", "# only this"]', "min_size": "", "storage_classes": "[]"}
    assert selection_of(empty, now_s=0) is None
    assert name_filter_of({"min_size": "1"}) is None


@pytest.mark.parametrize(
    ("wanted", "field", "said"),
    [
        ({"include": '["!"]'}, "include", "not a valid gitignore pattern"),
        ({"exclude": '["a[z-a]"]'}, "exclude", "not a valid gitignore pattern"),
        ({"exclude": '["[a"]'}, "exclude", "matches nothing"),
        ({"include": '["/"]'}, "include", "matches nothing"),
        ({"include": '["!x"]'}, "include", "only patterns with !"),
        ({"min_size": "big"}, "min_size", "a number and B, KiB"),
        ({"max_size": "-1"}, "max_size", "a number and B, KiB"),
        ({"min_size": "2 KiB", "max_size": "2 KB"}, "min_size", "no object is both"),
        ({"modified_since": "yesterday"}, "modified_since", "ISO 8601"),
        ({"modified_since": "2026-02-30"}, "modified_since", "ISO 8601"),
        ({"modified_before": "99999999d"}, "modified_before", "ISO 8601"),
        ({"modified_since": "2026-02-01", "modified_before": "2026-02-01"}, "modified_since", "no object is both"),
        ({"modified_since": "1d", "modified_before": "7d"}, "modified_since", "no object is both"),
    ],
)
def test_what_is_wrong_is_one_sentence(wanted, field, said) -> None:
    with pytest.raises(InvalidSelection, match=re.escape(said)) as caught:
        selection_of(wanted, now_s=1_800_000_000)
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("1 KiB", 1024),
        ("1.5MiB", 1_572_864),
        ("5 GB", 5 * 10**9),
        ("5 TiB", 5 * 1024**4),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert re.fullmatch(SIZE, text)
    assert read_selection(max_size=text, now_s=0) == Selection(max_bytes=count)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 08:00:01Z", datetime(2026, 1, 31, 8, 0, 1, tzinfo=UTC)),
        ("2026-01-31T08:00:00+01:00", datetime(2026, 1, 31, 7, tzinfo=UTC)),
        ("7d", datetime(2026, 1, 24, tzinfo=UTC)),
        ("36h", datetime(2026, 1, 29, 12, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert re.fullmatch(MOMENT, text)
    now_s = datetime(2026, 1, 31, tzinfo=UTC).timestamp()
    assert read_selection(modified_since=text, now_s=now_s) == Selection(since_s=moment.timestamp())


optional = st.none() | st.integers(0, 4)
items = st.builds(
    ObjectMeta,
    key=st.sampled_from(["in/a", "in/b"]),
    size_bytes=st.integers(0, 4),
    etag=st.sampled_from(["e", "f"]),
    last_modified_s=st.integers(0, 4),
    storage_class=st.sampled_from(["STANDARD", "GLACIER", "INTELLIGENT_TIERING"]),
    is_restored=st.booleans(),
    unreadable=st.sampled_from([None, SkipReason.ARCHIVED, SkipReason.ABSENT]),
)
selections = st.builds(
    Selection,
    name_filter=st.sampled_from([None, lambda name: name == "a"]),
    min_bytes=optional,
    max_bytes=optional,
    since_s=optional,
    before_s=optional,
    classes=st.sampled_from([None, frozenset({"STANDARD"}), frozenset({"GLACIER", "INTELLIGENT_TIERING"})]),
)
stored_objects = st.none() | st.builds(
    DestinationObject,
    name=st.just("out/a"),
    size_bytes=st.integers(0, 4),
    generation=st.just(3),
    source_etag=st.sampled_from(["e", "f"]),
    crc32c=st.just("AAAAAA=="),
    proof=st.just("crc32c=AAAAAA==; proof=crc32c"),
)


@given(items, selections, stored_objects, st.sampled_from(Overwrite))
def test_what_need_not_move_is_what_the_model_says(item, selection, stored, overwrite) -> None:
    reason = decide(item, stored, overwrite, selection.why_not(item, item.key.removeprefix("in/")))
    low, high = selection.min_bytes or 0, 4 if selection.max_bytes is None else selection.max_bytes
    since, before = selection.since_s or 0, 5 if selection.before_s is None else selection.before_s
    unmet = {
        SkipReason.OTHER_NAME: selection.name_filter is not None and item.key != "in/a",
        SkipReason.OTHER_SIZE: item.size_bytes not in range(low, high + 1),
        SkipReason.OTHER_TIME: item.last_modified_s not in range(since, before),
        SkipReason.OTHER_CLASS: selection.classes is not None and item.storage_class not in selection.classes,
    }
    if item.unreadable is SkipReason.ABSENT:
        unmet = {SkipReason.OTHER_NAME: unmet[SkipReason.OTHER_NAME]}
    if any(unmet.values()):
        assert reason in NOT_SELECTED
        assert unmet[reason]
    elif item.unreadable is SkipReason.ABSENT:
        assert reason is SkipReason.ABSENT
    elif item.unreadable or (item.storage_class in ARCHIVE_CLASSES and not item.is_restored):
        assert reason is SkipReason.ARCHIVED
    elif stored is None or overwrite is Overwrite.ALWAYS:
        assert reason is None
    elif overwrite is Overwrite.NEVER:
        assert reason is SkipReason.EXISTS
    else:
        same = (stored.size_bytes, stored.source_etag) == (item.size_bytes, item.etag)
        assert reason is (SkipReason.UNCHANGED if same else None)
