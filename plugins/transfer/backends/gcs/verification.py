"""Compares the object that Cloud Storage says it stored with the bytes that were sent."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from transfer.backends.gcs.client import GcsClient
from transfer.errors import CorruptTransfer, DestinationHeld, Stage
from transfer.model import DestinationObject
from transfer.steps import Step

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Capabilities:
    """The features of the server; one that turns out to be missing is set to False. Shared by the lanes of a worker.

    Cloud Storage has all of them: it computes the MD5 of every upload and of every part ("Hashes and ETags"; XML API, "Upload an
    object part"), it has multipart uploads, and it changes the metadata of stored objects ("Objects: patch"). Other servers of
    the same protocol may not.
    """

    hashes_md5: bool = True
    takes_parts: bool = True
    patches_metadata: bool = True


def verified(client: GcsClient, stored: DestinationObject, *, size_bytes: int, crc32c: str) -> Step[DestinationObject]:
    """The stored object, if its size and CRC32C are those of the bytes sent; otherwise remove it and raise CorruptTransfer."""
    if stored.size_bytes == size_bytes and stored.crc32c == crc32c:
        return stored
    return (
        yield from remove(
            client,
            stored,
            f"{size_bytes} bytes of CRC32C {crc32c} were sent, and Cloud Storage stored {stored.size_bytes} bytes of"
            f" {stored.crc32c}",
        )
    )


def verified_md5(
    client: GcsClient, stored: DestinationObject, md5: str, capabilities: Capabilities, *, is_proven_here: bool
) -> Step[DestinationObject]:
    """The stored object, if its MD5 (hexadecimal) is the announced one; otherwise remove it and raise CorruptTransfer.

    An object without an MD5 is accepted when its bytes were proven here; from then on that is required of all.
    """
    if stored.md5 == md5 or (not stored.md5 and is_proven_here):
        return stored
    if not stored.md5:
        capabilities.hashes_md5 = False
        return (yield from remove(client, stored, "Cloud Storage returned no MD5 to compare, so it is computed here"))
    said = f"the ETag says MD5 {md5}, and Cloud Storage stored {stored.md5}"
    return (yield from remove(client, stored, said))


def remove(client: GcsClient, stored: DestinationObject, why: str) -> Step[DestinationObject]:
    """Remove an object that was stored wrongly, by its generation, and raise CorruptTransfer.

    Raises DestinationHeld when a hold or a retention period keeps it from being removed.
    """
    log.error("%r was stored wrongly (generation %d) and is removed: %s", stored.name, stored.generation, why)
    which = f"?generation={stored.generation}" if stored.generation else ""  # without generations there is only one
    try:
        yield from client.send("DELETE", f"{client.object_url(stored.name)}{which}", accept=(200, 204, 404))
    except DestinationHeld as error:
        said = f"{why}; the object cannot be removed: {error.message}"
        raise DestinationHeld(said, stage=Stage.UPLOAD, http_status=error.http_status) from error
    raise CorruptTransfer(f"{why}; the object was removed", stage=Stage.UPLOAD)
