"""Proves objects that are copied as a stream: their identity before anything is stored, and their bytes afterwards."""

from __future__ import annotations

from transfer.comparison import has_etag
from transfer.copying.binding import check_label
from transfer.copying.proof import SourceDigest, require_identity, server_md5
from transfer.errors import CorruptTransfer, SourceUnproven
from transfer.model import DestinationObject, ObjectMeta, Proof
from transfer.ports import ByteStream, ObjectSink, ObjectSource
from transfer.steps import Step


def open_identified(item: ObjectMeta, source: ObjectSource, count: int) -> Step[ByteStream]:
    """Open the object's first `count` bytes, once it is certain that they will be proven before anything becomes visible.

    Where the edge sends no ETag and Cloud Storage can be given no MD5 to check, all bytes are read once beforehand: the copy
    may replace another object, so it must not be found wrong only after it was stored. Raises SourceUnproven when those bytes
    prove nothing.
    """
    stream = yield from source.open(item, 0, count)
    headers = stream.headers
    if has_etag(headers) or server_md5(item, headers):
        return stream
    stream.close()
    digest = SourceDigest(item, headers)
    if digest.may_prove:
        yield from source.read(item, 0, item.size_bytes, digest.update)
    require_identity(digest.prove(), headers)
    return (yield from source.open(item, 0, count))


def prove_stored(
    stored: DestinationObject, digest: SourceDigest | None, item: ObjectMeta, source: ObjectSource, sink: ObjectSink
) -> Step[Proof]:
    """The proof of a stored object whose bytes `digest` has hashed; None for it where Cloud Storage checked their MD5.

    Raises CorruptTransfer, or SourceUnproven, when the object is not proven to be the source's; it is removed first.
    """
    yield from check_label(stored, sink)
    if digest is None:
        return Proof.ETAG_MD5
    try:
        proof = digest.prove()
    except CorruptTransfer as error:
        yield from sink.remove(stored, error.message)
        raise
    if digest.is_doubtful:
        yield from _compare_again(stored, item, source, sink)
    return proof


def _compare_again(stored: DestinationObject, item: ObjectMeta, source: ObjectSource, sink: ObjectSink) -> Step[None]:
    """Read the source a second time, and compare its CRC32C with that of the stored object."""
    try:
        crc32c = yield from source.checksum(item, 0, item.size_bytes)
    except SourceUnproven as error:
        yield from sink.remove(stored, error.message)
        raise
    if crc32c != stored.crc32c:
        why = f"a second read of the source has CRC32C {crc32c}, and the stored object {stored.crc32c}"
        yield from sink.remove(stored, why)
