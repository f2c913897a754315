"""The input of the demo: the sample covers what it promises; a user's directory is used unchanged or refused."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import input as demo_input
from demo.input import DIRECTORY_MARKER, HOSTILE_KEYS, DemoInput, InputError, directory_input, sample_input
from demo.verify import CONTENT_HEADERS, STORAGE_CLASSES

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def sample() -> Iterator[DemoInput]:
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which would keep the archives of three runs
        yield sample_input(Path(folder))


def test_the_sample_is_large_enough_and_of_every_size(sample: DemoInput) -> None:
    sizes = [item.size_bytes for item in sample.objects]
    assert len(sizes) >= 2_500
    assert sizes.count(0) >= 20
    assert max(sizes) >= 256 * MIB
    assert sample.size_bytes == sum(sizes)
    assert max(item.key.count("/") for item in sample.objects) >= 10
    for item in sample.objects:
        assert (item.path.stat().st_size if item.path else 0) == item.size_bytes


def test_the_sample_is_in_key_order_without_duplicates(sample: DemoInput) -> None:
    keys = [item.key.encode() for item in sample.objects]
    assert keys == sorted(set(keys))
    assert all(len(key) <= 1_024 for key in keys)


@pytest.mark.parametrize("part", ["  ", "+", "%", "#", "?", "&", "//", "/../", "/./", "..", "🚚", "\u202e", "\\", "'"])
def test_hostile_keys_contain(part: str) -> None:
    assert any(part in key for key in HOSTILE_KEYS)


def test_hostile_keys_are_all_in_the_sample(sample: DemoInput) -> None:
    keys = {item.key for item in sample.objects}
    assert keys.issuperset(HOSTILE_KEYS)
    assert "hostile/a/../b" in keys
    assert any(key.startswith("/") for key in keys)
    assert any(key.endswith(" ") for key in keys)
    assert any(len(key.encode()) == 1_024 for key in keys)
    composed, combining = (key for key in HOSTILE_KEYS if "caf" in key)
    assert unicodedata.normalize("NFC", combining).split()[0] == composed.split()[0], "one name in two spellings"
    marker = next(item for item in sample.objects if item.key == DIRECTORY_MARKER)
    assert (marker.key[-1], marker.path, marker.size_bytes) == ("/", None, 0)


def test_a_part_of_the_sample_has_metadata_and_every_header(sample: DemoInput) -> None:
    headers = {name for item in sample.objects for name in item.headers}
    assert headers == {*CONTENT_HEADERS, "StorageClass"}
    with_metadata = [item for item in sample.objects if item.metadata]
    assert 0 < len(with_metadata) < len(sample.objects)
    classes = {item.headers["StorageClass"] for item in sample.objects if "StorageClass" in item.headers}
    assert classes | {"STANDARD"} == STORAGE_CLASSES.keys(), "the check knows what becomes of each class"


def make_packages(root: Path) -> None:
    for number in range(40):
        folder = root / f"package{number % 7}" / "deep" / "er"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"module{number}.py").write_bytes(bytes([number]) * (100 + number))
        (folder / f"empty{number}").touch()
        (folder / "__pycache__").mkdir(exist_ok=True)
        (folder / "__pycache__" / f"module{number}.pyc").write_bytes(b"compiled")


def described(data: DemoInput) -> list[object]:
    return [
        (item.key, item.size_bytes, item.headers, item.metadata, item.path.read_bytes() if item.path else b"")
        for item in data.objects
    ]


def test_the_same_packages_give_the_same_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_input, "ARCHIVE_BYTES", 2_000)
    samples = []
    for name in ("one", "two"):
        make_packages(tmp_path / name)
        samples.append(described(sample_input(tmp_path / f"work-{name}", tmp_path / name)))
        for path in (tmp_path / name).rglob("*.py"):  # times and modes of a machine count for nothing
            os.utime(path, (1, 1))
        assert described(sample_input(tmp_path / f"again-{name}", tmp_path / name)) == samples[-1]
    assert samples[0] == samples[1]
    assert not any("__pycache__" in str(entry) for entry in samples[0])


def test_too_few_packages_are_said(tmp_path: Path) -> None:
    make_packages(tmp_path / "packages")
    with pytest.raises(InputError, match=rf"the demo needs at least {256 * MIB}"):
        sample_input(tmp_path / "work", tmp_path / "packages")


def test_a_directory_is_taken_with_relative_names(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "page.html").write_bytes(b"<p>")
    (tmp_path / "a" / "q?#% +é").write_bytes(b"")
    (tmp_path / "z").write_bytes(b"zz")
    data = directory_input(tmp_path)
    assert [(item.key, item.size_bytes) for item in data.objects] == [("a/b/page.html", 3), ("a/q?#% +é", 0), ("z", 2)]
    assert data.objects[0].headers == {"ContentType": "text/html"}
    assert data.objects[2].headers == {"ContentType": "application/octet-stream"}
    assert data.left_out == ()


def test_a_directory_that_cannot_be_moved_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty" / "folder").mkdir(parents=True)
    with pytest.raises(InputError, match=r"^SOURCE=.*/file is not a directory\.$"):
        directory_input(tmp_path / "file")
    with pytest.raises(InputError, match=r"/missing is not a directory\.$"):
        directory_input(tmp_path / "missing")
    with pytest.raises(InputError, match="holds no file that can be copied"):
        directory_input(tmp_path / "empty")


def test_a_linked_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "kept").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / "source" / "link").symlink_to(tmp_path / "elsewhere")
    assert [item.key for item in directory_input(tmp_path / "source").objects] == ["kept"]


def test_what_cannot_be_moved_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"x")
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "control\ncharacter").touch()
    os.mkfifo(tmp_path / "pipe")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9"))).touch()
    deep = tmp_path.joinpath(*["d" * 250] * 4)
    deep.mkdir(parents=True)
    (deep / ("x" * 50)).touch()
    data = directory_input(tmp_path)
    assert [item.key for item in data.objects] == ["kept"]
    left_out = dict(data.left_out)
    long_name = next(name for name in left_out if name.startswith("ddd"))
    assert "1024 bytes" in left_out.pop(long_name)
    assert "control character" in left_out.pop("control\ncharacter")
    assert left_out == {
        "link": "a symbolic link",
        "dangling": "a symbolic link",
        "pipe": "not a regular file",
        "latin-\\udce9": "its name is not UTF-8",
    }
