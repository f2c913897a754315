"""Reads the XML of ListObjectsV2's answers (S3 API Reference), several times as fast as botocore."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from botocore.utils import parse_timestamp

from transfer.comparison import etag_value
from transfer.model import ObjectMeta
from transfer.sources.ranges import Page


@dataclass(slots=True, kw_only=True)
class S3Page(Page[ObjectMeta]):
    """One page of an S3 listing."""

    date: str = ""
    """The `Date` header of the answer; empty where there is none."""


class EntryIncomplete(ValueError):
    """An entry of the listing lacks its key, size or modification time."""


class PageContradictory(ValueError):
    """The fields of a page contradict each other or its entries, so that keys may be missing."""


_Entry = tuple[str, str, str, str, str, bool]
"""Key, LastModified, ETag, Size, StorageClass (empty where absent), and whether an archived object is restored."""

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
"""An entry as most servers write it: elements in any order, no markup inside the known ones, no references but quotes. It is
three times as fast as an XML parser, which reads the pages that have any other entry."""
_END = re.compile(rb"</(?:\w+:)?ListBucketResult\s*>")


def is_whole(body: bytes) -> bool:
    """Whether a body is a complete listing: it has the closing tag."""
    return _END.search(body, max(0, len(body) - 1024)) is not None


def read_page(body: bytes) -> S3Page:
    """Read the XML of one complete page. Raises ElementTree.ParseError for invalid XML, ValueError for an invalid page."""
    plain = _plain_page(body)
    if plain is not None:
        return plain
    root = ElementTree.fromstring(body)  # noqa: S314 - as botocore does; expat limits what entities may expand to
    top = _top(root)
    is_encoded = top.get("EncodingType") == "url"
    return _page(top, list(_objects(map(_entry, root.iterfind("{*}Contents")), is_encoded=is_encoded)))


def _plain_page(body: bytes) -> S3Page | None:
    """Read a page whose entries all match _PLAIN_ENTRY; None for any other page."""
    if b"<!" in body:  # a comment or CDATA may hide anything
        return None
    try:
        text = body.decode()
        rest: list[str] = []
        is_encoded = "<EncodingType>url</EncodingType>" in text
        items = list(_objects(_plain_entries(text, rest), is_encoded=is_encoded))
    except ValueError:  # the XML parser finds what is wrong
        return None
    root = ElementTree.fromstring("".join(rest))  # noqa: S314
    top = _top(root)
    if root.find("{*}Contents") is not None or is_encoded is not (top.get("EncodingType") == "url"):
        return None
    return _page(top, items)


def _plain_entries(text: str, rest: list[str]) -> Iterator[_Entry]:
    """Yield the plain entries, and append the text between them to `rest`."""
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
    """Build a page whose fields agree with each other (S3 API Reference, ListObjectsV2). Raises PageContradictory.

    IsTruncated     NextContinuationToken   result
    true            given                   a page that others follow
    true            none                    refused: the rest cannot be requested
    false           none                    the last page
    false           given                   refused: there may be more
    none            given                   a page that others may follow: requesting an empty page loses nothing
    none            none                    refused: there may be more
    anything else   –                       refused

    KeyCount, where given, has to be the number of entries. No delimiter is ever requested, so CommonPrefixes are refused.
    """
    says, token, count = (top.get(name, "").strip() for name in ("IsTruncated", "NextContinuationToken", "KeyCount"))
    if says not in ("true", "false", ""):
        raise PageContradictory(f"IsTruncated is {says!r}, which is neither true nor false")
    if says == "true" and not token:
        raise PageContradictory("IsTruncated is true, but there is no NextContinuationToken to continue with")
    if says == "false" and token:
        raise PageContradictory("IsTruncated is false, but there is a NextContinuationToken: there may be more keys")
    if not says and not token:
        raise PageContradictory("it has no IsTruncated: there may be more keys")
    if "CommonPrefixes" in top:
        raise PageContradictory("it has CommonPrefixes, but no delimiter was requested: keys are hidden behind them")
    if count and (not count.isdecimal() or int(count) != len(items)):
        raise PageContradictory(f"KeyCount is {count!r}, but it has {len(items)} keys")
    return S3Page(items=items, is_last=not token, token=top.get("NextContinuationToken", ""))


def _entry(element: ElementTree.Element) -> _Entry:
    """Read an entry of any form. Raises EntryIncomplete."""
    fields = {_local(child.tag): child.text or "" for child in element}
    if missing := [name for name in ("Key", "LastModified", "Size") if not fields.get(name)]:
        raise EntryIncomplete(f"an object {fields.get('Key', '')!r} came without its {missing[0]}: this is not S3")
    restore = element.find("{*}RestoreStatus")
    is_restored = (
        restore is not None
        and (restore.findtext("{*}IsRestoreInProgress") or "").strip() == "false"
        and restore.find("{*}RestoreExpiryDate") is not None
    )
    etag, storage_class = etag_value(fields.get("ETag", "")), fields.get("StorageClass", "").strip()
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
    """A time in whole seconds since the epoch. `minutes` caches the seconds of `2026-01-31T23:59`, which many objects share."""
    if text[16:17] != ":" or text[19:] not in ("Z", ".000Z"):
        return int(parse_timestamp(text).timestamp())
    minute = text[:16]
    if minute not in minutes:
        minutes[minute] = int(datetime.fromisoformat(f"{minute}:00+00:00").timestamp())
    return minutes[minute] + int(text[17:19])


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
