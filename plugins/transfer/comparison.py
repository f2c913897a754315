"""Decides whether a destination object has the content of a source object, and on what evidence. A name is never enough."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transfer.labels import bound_crc32c, named_proof
from transfer.model import DestinationObject, Evidence, ObjectMeta, Proof

_MD5_ETAG = re.compile(r"[0-9a-f]{32}")

EVIDENCE_OF = {
    Proof.ETAG_MD5: Evidence.MD5,
    Proof.ETAG_MULTIPART: Evidence.MULTIPART_ETAG,
    Proof.S3_CRC32C: Evidence.S3_CRC32C,
    Proof.CRC32C: Evidence.TRANSPORT,
    None: Evidence.LABEL,
}
"""The evidence of a label that is bound to its bytes, by the proof that the label names."""


def is_md5(etag: str) -> bool:
    """Whether an ETag has the form of an MD5. With KMS encryption it has this form without being one (see `evidence_of`)."""
    return bool(_MD5_ETAG.fullmatch(etag))


def evidence_of(stored: DestinationObject, item: ObjectMeta) -> Evidence | None:
    """The evidence that a destination object has the content of a source object; None without evidence.

    size    modification time      MD5 of stored object   label                                 evidence
    differs –                      –                      –                                     None
    equal   kept, and differs      –                      –                                     None: its metadata changed
    equal   equal, or not kept     equals the ETag        –                                     MD5
    equal   equal, or not kept     not the ETag, or none  has the listed ETag, and its CRC32C   by the proof that it names
                                                          is that of the stored object
    equal   equal, or not kept     not the ETag, or none  any other, or none                    None

    An ETag may look like an MD5 without being one (KMS), so a different MD5 contradicts only a label whose proof is the MD5.
    MD5 and label do not cover metadata: an object whose modification time was not kept is compared by its bytes alone.
    """
    if stored.size_bytes != item.size_bytes or _is_from_another_time(stored, item):
        return None
    if stored.md5 and stored.md5 == item.etag:
        return Evidence.MD5
    if stored.source_etag != item.etag or not _is_bound(stored):
        return None
    proof = named_proof(stored.proof)
    if proof is Proof.ETAG_MD5 and stored.md5:
        return None
    return EVIDENCE_OF[proof]


def holds(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether there is evidence that a destination object has the content of a source object."""
    return evidence_of(stored, item) is not None


def may_be_bound(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether a destination object has the label of this source object, but the label is not yet bound to the bytes."""
    has_label = stored.size_bytes == item.size_bytes and stored.source_etag == item.etag and not stored.proof
    return has_label and not _is_from_another_time(stored, item)


def is_as_listed(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether a destination object still has the generation that the listing found, so that it was not replaced."""
    return item.replaces_generation != 0 and stored.generation == item.replaces_generation


def difference(stored: DestinationObject | None, item: ObjectMeta) -> str:
    """Explain for a report how a destination object differs from a source object; empty if it does not exist."""
    if stored is None:
        return ""
    if stored.size_bytes != item.size_bytes:
        return f"{item.size_bytes:,} bytes in the source, {stored.size_bytes:,} at the destination"
    if holds(stored, item):
        return "nothing was copied: the object that the listing found at the destination is still there"
    if _is_from_another_time(stored, item):
        return (
            f"the source was last modified at {item.last_modified_s}, and the destination was copied from a version that was"
            f" last modified at {stored.source_mtime} (seconds since 1970): its metadata may have changed"
        )
    if stored.source_etag and stored.source_etag != item.etag:
        return f"the source's ETag is {item.etag}, and the destination was copied from ETag {stored.source_etag}"
    if bound := bound_crc32c(stored.proof):
        if bound != stored.crc32c:
            return (
                f"the copied bytes had CRC32C {bound}, and the destination has {stored.crc32c}: another writer replaced the"
                " bytes and kept the label"
            )
        return f"its label says that the MD5 is {item.etag}, and the destination's MD5 is {stored.md5}"
    if is_md5(item.etag) and stored.md5:
        return f"the source's ETag is {item.etag}, and the destination's MD5 is {stored.md5}"
    if stored.source_etag:
        return "same size and labelled with the source's ETag, but nothing binds that label to the bytes at the destination"
    return "same size, but the destination has no record of the source object that it was copied from"


def _is_bound(stored: DestinationObject) -> bool:
    """Whether the label is bound to the stored bytes."""
    return bool(stored.crc32c) and bound_crc32c(stored.proof) == stored.crc32c


def _is_from_another_time(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether the source was written again since the copy, if both times are known. Its ETag may be the same nevertheless.

    Copying an object onto itself replaces the metadata and keeps the content (S3 User Guide, "Copying objects").
    """
    if not stored.source_mtime or not item.last_modified_s or stored.source_mtime == str(item.last_modified_s):
        return False
    try:
        return int(float(stored.source_mtime)) != item.last_modified_s
    except (ValueError, TypeError, OverflowError):  # another tool may write another format
        return False


def has_etag(headers: Mapping[str, str]) -> bool:
    """Whether the response has an ETag, which identifies its content. A response headers policy can remove the header."""
    return bool(headers.get("etag", "").strip())


def etag_value(header: str) -> str:
    """An ETag header without quotes and weak prefix (RFC 9110, section 8.8.3), in the form of `ObjectMeta.etag`."""
    return header.strip().removeprefix("W/").strip('"')
