"""The XML of ListObjectsV2's answers (S3 API Reference), read many times as quickly as botocore does it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from botocore.utils import parse_timestamp

from transfer.model import ObjectMeta
from transfer.sources.ranges import Page


@dataclass(slots=True, kw_only=True)
class S3Page(Page[ObjectMeta]):
    """One answer."""

    date: str = ""
    """The server's clock, as its `Date` header has it."""


class EntryIncomplete(ValueError):
    """A listing names an object without what every object has."""


class PageContradictory(ValueError):
    """A page says one thing of itself and shows another, so that keys may be missing: it ended too early, or was changed."""


_Entry = tuple[str, str, str, str, str, bool]
"""Key, LastModified, ETag, Size, StorageClass, and whether an archived object is restored; empty where there is none."""

_KNOWN = "Key|LastModified|ETag|Size|StorageClass"
_QUOTE = '(?:&quot;|&#34;|")?'
_LEAF = r"<(\w+)>[^<]*</\7>"
_PLAIN_ENTRY = re.compile(
    r"<Contents>(?:\s*<(?:"
    r"Key>([^<&\r]+)</Key"
    r"|LastModified>([^<&]+)</LastModified"
    rf'|ETag>{_QUOTE}([^<&"]+){_QUOTE}</ETag'
    r"|Size>(\d+)</Size"
    r"|StorageClass>(\w*)</StorageClass"
    rf"|(?!(?:{_KNOWN}|RestoreStatus)>)(\w+)>(?:[^<]*|(?:\s*{_LEAF})*\s*)</\6"
    r")>)*\s*</Contents>"
)
"""An entry as most servers write it: elements in any order, nothing inside those that count, no references but quotes. It is
three times as quick as an XML parser, which reads the pages that have any other entry."""
_END = re.compile(rb"</(?:\w+:)?ListBucketResult\s*>")


def is_whole(body: bytes) -> bool:
    """Whether this is a listing that came to its end."""
    return _END.search(body, max(0, len(body) - 1024)) is not None


def read_page(body: bytes) -> S3Page:
    """A page from the XML of a whole listing. Raises ElementTree.ParseError for no XML, ValueError for what is no entry."""
    plain = _plain_page(body)
    if plain is not None:
        return plain
    root = ElementTree.fromstring(body)  # noqa: S314 - as botocore does; expat limits what entities may expand to
    top = _top(root)
    is_encoded = top.get("EncodingType") == "url"
    return _page(top, list(_objects(map(_entry, root.iterfind("{*}Contents")), is_encoded=is_encoded)))


def _plain_page(body: bytes) -> S3Page | None:
    """The same of a page whose entries are plain, else None."""
    if b"<!" in body:  # comments and the like, which may hide anything
        return None
    try:
        text = body.decode()
        rest: list[str] = []
        is_encoded = "<EncodingType>url</EncodingType>" in text
        items = list(_objects(_plain_entries(text, rest), is_encoded=is_encoded))
    except ValueError:  # the parser will say what is wrong
        return None
    root = ElementTree.fromstring("".join(rest))  # noqa: S314
    top = _top(root)
    if root.find("{*}Contents") is not None or is_encoded is not (top.get("EncodingType") == "url"):
        return None
    return _page(top, items)


def _plain_entries(text: str, rest: list[str]) -> Iterator[_Entry]:
    """The plain entries; what is left of the document without them comes into `rest`."""
    end = 0
    for match in _PLAIN_ENTRY.finditer(text):
        start, stop = match.span()
        if start != end:
            rest.append(text[end:start])
        end = stop
        key, modified, etag, size, storage_class, _, _ = match.groups("")
        if not key:
            raise EntryIncomplete
        yield key, modified, etag, size, storage_class, False
    rest.append(text[end:])


def _top(root: ElementTree.Element) -> dict[str, str]:
    top: dict[str, str] = {}
    for element in root:
        name, text = _local(element.tag), element.text or ""
        if name in _OF_THE_PAGE and top.get(name, text) != text:
            raise PageContradictory(f"it has {name} twice, {top[name]!r} and {text!r}")
        top[name] = text
    return top


_OF_THE_PAGE = frozenset({"IsTruncated", "NextContinuationToken", "KeyCount", "EncodingType"})


def _page(top: dict[str, str], items: list[ObjectMeta]) -> S3Page:
    """The page, if what it says of itself goes together (S3 API Reference, ListObjectsV2). Raises PageContradictory.

    IsTruncated     NextContinuationToken   what it is
    true            given                   a page of several
    true            none                    refused: the rest cannot be asked for
    false           none                    the last page
    false           given                   refused: is there more?
    none            given                   a page of several: going on where nothing is loses nothing
    none            none                    refused: is there more?
    anything else   –                       refused

    KeyCount, where there is one, is the number of entries. Without a delimiter, which is never asked for, nothing stands
    behind a common prefix.
    """
    says, token, count = (top.get(name, "").strip() for name in ("IsTruncated", "NextContinuationToken", "KeyCount"))
    if says not in ("true", "false", ""):
        raise PageContradictory(f"IsTruncated is {says!r}, which is neither true nor false")
    if says == "true" and not token:
        raise PageContradictory("IsTruncated is true, and there is no NextContinuationToken to go on with")
    if says == "false" and token:
        raise PageContradictory("IsTruncated is false, and there is a NextContinuationToken: is there more, or not?")
    if not says and not token:
        raise PageContradictory("it has no IsTruncated: whether there is more cannot be told")
    if "CommonPrefixes" in top:
        raise PageContradictory("it has CommonPrefixes, though no delimiter was asked for: keys are hidden behind them")
    if count and (not count.isdecimal() or int(count) != len(items)):
        raise PageContradictory(f"KeyCount is {count!r}, and {len(items)} keys are there")
    return S3Page(items=items, is_last=not token, token=top.get("NextContinuationToken", ""))


def _entry(element: ElementTree.Element) -> _Entry:
    """An entry of any form. Raises EntryIncomplete."""
    fields = {_local(child.tag): child.text or "" for child in element}
    if missing := [name for name in ("Key", "LastModified", "Size") if not fields.get(name)]:
        raise EntryIncomplete(f"an object {fields.get('Key', '')!r} came without its {missing[0]}: this is not S3")
    restore = element.find("{*}RestoreStatus")
    is_restored = (
        restore is not None
        and (restore.findtext("{*}IsRestoreInProgress") or "").strip() == "false"
        and restore.find("{*}RestoreExpiryDate") is not None
    )
    etag, storage_class = fields.get("ETag", "").strip().strip('"'), fields.get("StorageClass", "").strip()
    return fields["Key"], fields["LastModified"].strip(), etag, fields["Size"].strip(), storage_class, is_restored


def _objects(entries: Iterable[_Entry], *, is_encoded: bool) -> Iterator[ObjectMeta]:
    minutes: dict[str, int] = {}
    for key, modified, etag, size, storage_class, is_restored in entries:
        if is_encoded and ("%" in key or "+" in key):
            key = unquote_plus(key)
        yield ObjectMeta(
            key=key,
            size_bytes=int(size),
            etag=etag,
            last_modified_s=_seconds(modified, minutes),
            storage_class=intern(storage_class or "STANDARD"),
            is_restored=is_restored,
        )


def _seconds(text: str, minutes: dict[str, int]) -> int:
    """Whole seconds since the epoch. `minutes` remembers what `2026-01-31T23:59` is: many objects share theirs."""
    if text[16:17] != ":" or text[19:] not in ("Z", ".000Z"):
        return int(parse_timestamp(text).timestamp())
    minute = text[:16]
    if minute not in minutes:
        minutes[minute] = int(datetime.fromisoformat(f"{minute}:00+00:00").timestamp())
    return minutes[minute] + int(text[17:19])


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
