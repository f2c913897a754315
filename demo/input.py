"""The input of the demo: files of installed packages, a few under hostile keys, some with every header that S3 stores."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FILES = 2_900
EMPTY_FILES = 60
DEEP_FILES = 60
LARGEST_SMALL_BYTES = 8 * 1024 * 1024
ARCHIVE_BYTES = 256 * 1024 * 1024
KEY_LIMIT_BYTES = 1_024

# Each of these has broken some tool: URL syntax, path clean-up, form decoding, Unicode normalisation, length limits.
HOSTILE_KEYS = (
    "hostile/ two  spaces and a trailing one ",
    "hostile/a+b%20c%2Fd%",
    "hostile/#fragment?query=1&x=2;y=3",
    "hostile//double//slash",
    "/hostile/leading slash",
    "hostile/a/../b",
    "hostile/./dot/./segments/.",
    "hostile/../..",
    "hostile/emoji 🚚📦",
    "hostile/caf\u00e9 composed",
    "hostile/cafe\u0301 combining",
    "hostile/漢字/עברית/\u202eright-to-left",
    "hostile/quotes ' \" ` <tag> &amp; \\ back\\slash",
    "hostile/glob * [a-z] {b} | ~ ^ ! $ ( ) , = @ :",
    "hostile/" + "x" * (KEY_LIMIT_BYTES - len("hostile/")),
    "hostile/prefix",
    "hostile/prefix/of itself",
)
DIRECTORY_MARKER = "hostile/directory marker/"
STORAGE_CLASSES = ("STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR")


class InputError(ValueError):
    """The input cannot be used. The message is one sentence for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputObject:
    """One object to upload. `path` is None for an empty one without a file, such as a directory marker."""

    key: str
    path: Path | None
    size_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content headers and StorageClass by their boto3 names."""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoInput:
    """All objects, in key order, and the files that had to be left out, as (name, reason)."""

    objects: tuple[InputObject, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def size_bytes(self) -> int:
        """The total size of all objects."""
        return sum(item.size_bytes for item in self.objects)


def installed_files(root: Path | None = None) -> list[tuple[str, int, Path]]:
    """(relative name, size in bytes, path) of every installed package file, by name; no bytecode."""
    root = root or Path(sysconfig.get_paths()["purelib"])
    prefix = len(str(root)) + 1
    found = []
    for path in _walk(root):
        information = os.lstat(path)
        if stat.S_ISREG(information.st_mode) and "/__pycache__/" not in path:
            found.append((path[prefix:], information.st_size, Path(path)))
    return sorted(found)


def sample_input(work_dir: Path, root: Path | None = None) -> DemoInput:
    """The default input: about 3,000 package files, an archive of 256 MiB or more, and the hostile keys.

    The choice depends on the names of the installed files alone. The archive is made in `work_dir` and used again.
    """
    installed = installed_files(root)
    chosen = _choose(installed)
    objects = [_package_object(index, *entry) for index, entry in enumerate(chosen)]
    objects.append(_archive_object(work_dir, installed))
    modest = [entry for entry in chosen if 0 < entry[1] < 100_000]
    for index, key in enumerate(HOSTILE_KEYS):
        name, size_bytes, path = modest[index * 7 % len(modest)]
        objects.append(InputObject(key=key, path=path, size_bytes=size_bytes, metadata={"origin": name}))
    objects.append(InputObject(key=DIRECTORY_MARKER, path=None, size_bytes=0))
    return DemoInput(objects=_in_key_order(objects))


def directory_input(directory: Path) -> DemoInput:
    """Every regular file below a directory, under its relative name. Raises InputError if there is none to copy."""
    if not directory.is_dir():
        raise InputError(f"SOURCE={directory} is not a directory.")
    objects, left_out = [], []
    for path in map(Path, _walk(directory)):
        name = path.relative_to(directory).as_posix()
        if reason := _unusable(name, path):
            left_out.append((name.encode("utf-8", "backslashreplace").decode(), reason))
        else:
            headers = {"ContentType": mimetypes.guess_type(name)[0] or "application/octet-stream"}
            objects.append(InputObject(key=name, path=path, size_bytes=path.stat().st_size, headers=headers))
    if not objects:
        raise InputError(f"SOURCE={directory} holds no file that can be copied.")
    return DemoInput(objects=_in_key_order(objects), left_out=tuple(left_out))


def _walk(directory: Path) -> Iterator[str]:
    """Every file, and every link to a folder, which is not followed."""
    for folder, folders, files in os.walk(directory):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        for name in (*files, *links):
            yield os.path.join(folder, name)  # noqa: PTH118 - tens of thousands of them: strings are fast


def _unusable(name: str, path: Path) -> str | None:
    """Why S3 or Cloud Storage cannot hold a file under this name, or None."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if path.is_symlink():
        return "a symbolic link"
    if not path.is_file():
        return "not a regular file"
    if not os.access(path, os.R_OK):
        return "not readable"
    if len(encoded) > KEY_LIMIT_BYTES:
        return f"its name is longer than {KEY_LIMIT_BYTES} bytes"
    if any(ord(character) < 0x20 for character in name):
        return "a control character in its name, which the local S3 cannot hold"
    return None


def _choose(installed: Iterable[tuple[str, int, Path]]) -> list[tuple[str, int, Path]]:
    """A fixed pseudo-random choice by the hash of the name, with some of the empty and of the deepest files."""
    ranked = sorted(installed, key=lambda entry: hashlib.sha256(entry[0].encode()).digest())
    small = [entry for entry in ranked if 0 < entry[1] <= LARGEST_SMALL_BYTES]
    empty = [entry for entry in ranked if entry[1] == 0]
    deep = sorted(small, key=lambda entry: -entry[0].count("/"))
    return sorted({*small[:FILES], *empty[:EMPTY_FILES], *deep[:DEEP_FILES]})


def _package_object(index: int, name: str, size_bytes: int, path: Path) -> InputObject:
    content_type, encoding = mimetypes.guess_type(name)
    headers = {"ContentType": content_type or "binary/octet-stream"}
    if encoding == "gzip":  # its name says so, as for a file that a web site stores compressed
        headers["ContentEncoding"] = "gzip"
    metadata = {}
    if index % 3 == 0:
        metadata = {"package": name.partition("/")[0], "Index": str(index), "note": 'a=b; c, d  "e" 100%'}
    if index % 5 == 0:
        headers |= {
            "ContentDisposition": f'attachment; filename="{path.name}"' if path.name.isascii() else "attachment",
            "ContentLanguage": "en, de-CH",
            "CacheControl": "public, max-age=86400",
        }
    if index % 11 == 0:
        headers["StorageClass"] = STORAGE_CLASSES[index // 11 % len(STORAGE_CLASSES)]
    return InputObject(key=f"packages/{name}", path=path, size_bytes=size_bytes, headers=headers, metadata=metadata)


def _archive_object(work_dir: Path, installed: Iterable[tuple[str, int, Path]]) -> InputObject:
    path = _archive(work_dir, installed)
    return InputObject(
        key="archive/packages.tar",
        path=path,
        size_bytes=path.stat().st_size,
        headers={"ContentType": "application/x-tar", "CacheControl": "no-store"},
        metadata={"made-by": "tar"},
    )


def _archive(work_dir: Path, installed: Iterable[tuple[str, int, Path]]) -> Path:
    """A tar of the largest package files, at least ARCHIVE_BYTES long: the same bytes for the same packages."""
    members, total_bytes = [], 0
    for entry in sorted(installed, key=lambda entry: (-entry[1], entry[0])):
        if total_bytes >= ARCHIVE_BYTES:
            break
        members.append(entry)
        total_bytes += entry[1]
    if total_bytes < ARCHIVE_BYTES:
        raise InputError(
            f"The installed packages are only {total_bytes} bytes; the demo needs at least {ARCHIVE_BYTES}."
        )
    identity = hashlib.sha256(repr([entry[:2] for entry in members]).encode()).hexdigest()[:16]
    archive = work_dir / f"packages-{identity}.tar"
    if not archive.exists():
        work_dir.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(f".{os.getpid()}")
        with tarfile.open(partial, "w") as tar:
            for name, size_bytes, path in members:
                member = tarfile.TarInfo(name)  # no times, owners or modes of this machine
                member.size = size_bytes
                with path.open("rb") as file:
                    tar.addfile(member, file)
        partial.replace(archive)
    return archive


def _in_key_order(objects: Iterable[InputObject]) -> tuple[InputObject, ...]:
    return tuple(sorted(objects, key=lambda item: item.key.encode()))
