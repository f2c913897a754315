"""When a destination object holds what a source object holds, and what shows it. Never by the name alone."""

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
"""What a label that is bound to its bytes shows, by the proof that it names."""


def is_md5(etag: str) -> bool:
    """Whether an ETag has the form of an MD5; one with KMS encryption has it, too, and is none (see `evidence_of`)."""
    return bool(_MD5_ETAG.fullmatch(etag))


def evidence_of(stored: DestinationObject, item: ObjectMeta) -> Evidence | None:
    """What shows that a destination object holds what a source object holds; None when nothing does.

    size    modification time      MD5 of what is stored  label                                 evidence
    differs –                      –                      –                                     None
    equal   kept, and not listed's –                      –                                     None: its metadata changed
    equal   equal, or not kept     equals the ETag        –                                     MD5
    equal   equal, or not kept     not the ETag, or none  of the listed ETag, and its CRC32C    by the proof that it names
                                                          is that of what is stored
    equal   equal, or not kept     not the ETag, or none  any other, or none                    None

    An ETag may look like an MD5 and be none (KMS), so that another MD5 contradicts only a label that says it was equal.
    An MD5 and a label know nothing of metadata: an object whose modification time was not kept is judged by its bytes.
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
    """Whether anything shows that a destination object holds what a source object holds."""
    return evidence_of(stored, item) is not None


def may_be_bound(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether an object bears the label of this source object, and only what binds it to its bytes is missing."""
    has_label = stored.size_bytes == item.size_bytes and stored.source_etag == item.etag and not stored.proof
    return has_label and not _is_from_another_time(stored, item)


def is_as_listed(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether a destination object is the very one that the listing saw there, so that nothing was copied over it."""
    return item.replaces_generation != 0 and stored.generation == item.replaces_generation


def difference(stored: DestinationObject | None, item: ObjectMeta) -> str:
    """For people: why a destination object does not hold what a source object holds; empty when it is not there."""
    if stored is None:
        return ""
    if stored.size_bytes != item.size_bytes:
        return f"{item.size_bytes:,} bytes in the source, {stored.size_bytes:,} at the destination"
    if holds(stored, item):
        return "nothing was copied: what the listing saw at the destination is still there"
    if _is_from_another_time(stored, item):
        return (
            f"the source was last modified at {item.last_modified_s}, and what is there was copied when that was"
            f" {stored.source_mtime} (seconds since 1970): its metadata may have changed"
        )
    if stored.source_etag and stored.source_etag != item.etag:
        return f"the source's ETag is {item.etag}, and what is there was copied from {stored.source_etag}"
    if bound := bound_crc32c(stored.proof):
        if bound != stored.crc32c:
            return (
                f"bytes with CRC32C {bound} were copied, and those there have {stored.crc32c}: somebody replaced them and"
                " kept the label"
            )
        return f"its label says that the MD5 is {item.etag}, and the MD5 of what is there is {stored.md5}"
    if is_md5(item.etag) and stored.md5:
        return f"the source's ETag is {item.etag}, and the MD5 of what is there {stored.md5}"
    if stored.source_etag:
        return "of the same size and labelled with the source's ETag, but nothing binds that label to the bytes there"
    return "of the same size, but nothing there says what it was copied from"


def _is_bound(stored: DestinationObject) -> bool:
    """Whether the label is of the bytes that are there."""
    return bool(stored.crc32c) and bound_crc32c(stored.proof) == stored.crc32c


def _is_from_another_time(stored: DestinationObject, item: ObjectMeta) -> bool:
    """Whether the source was written again since, as far as both times are known. New metadata leaves an ETag as it is.

    S3 User Guide, "Copying objects": a copy onto itself that replaces the metadata is a new object with the same content.
    """
    if not stored.source_mtime or not item.last_modified_s or stored.source_mtime == str(item.last_modified_s):
        return False
    try:
        return int(float(stored.source_mtime)) != item.last_modified_s
    except (ValueError, TypeError, OverflowError):  # another tool's own notation
        return False


def has_etag(headers: Mapping[str, str]) -> bool:
    """Whether the answer says of which content its bytes are. A response headers policy can take the ETag away."""
    return bool(headers.get("etag", "").strip())


def etag_value(header: str) -> str:
    """An ETag without its quotes and without the mark of a weak one (RFC 9110, section 8.8.3), as `ObjectMeta` holds it."""
    return header.strip().removeprefix("W/").strip('"')
