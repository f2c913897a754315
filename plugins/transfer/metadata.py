"""From the headers of the one GET to the metadata of the destination object: no HEAD request per object."""

from __future__ import annotations

from collections.abc import Mapping
from email.header import decode_header

from transfer.errors import SourceForbidden, Stage
from transfer.labels import MTIME_KEY, PROOF_KEY, SOURCE_ETAG_KEY, proof_text
from transfer.model import ObjectMeta, Proof
from transfer.proof import source_crc32c

STORAGE_CLASS_KEY = "s3-storage-class"

CONTENT_FIELDS = {
    "content-type": "contentType",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
}

STORAGE_CLASSES = {
    "STANDARD": "STANDARD",
    "REDUCED_REDUNDANCY": "STANDARD",
    "EXPRESS_ONEZONE": "STANDARD",
    "INTELLIGENT_TIERING": "STANDARD",
    "STANDARD_IA": "NEARLINE",
    "ONEZONE_IA": "NEARLINE",
    "GLACIER_IR": "COLDLINE",
    "GLACIER": "ARCHIVE",
    "DEEP_ARCHIVE": "ARCHIVE",
}
"""By shortest storage time and retrieval price: 30 days (IA, NEARLINE), 90 (Glacier Instant, COLDLINE), archives last.

Both guides' storage class pages; archived objects come here only once they are restored.
"""

USER_PREFIX = "x-amz-meta-"


def resource_of(item: ObjectMeta, headers: Mapping[str, str]) -> dict[str, object]:
    """The object resource of Cloud Storage's JSON API for this object, without its name.

    Raises SourceForbidden when S3 says that it withholds some of the user metadata (`x-amz-missing-meta`).
    """
    if headers.get("x-amz-missing-meta", "0") not in ("", "0"):
        raise SourceForbidden(
            f"S3 withholds {headers['x-amz-missing-meta']} user metadata entries that HTTP headers cannot carry;"
            " set them again with plain values",
            stage=Stage.DOWNLOAD,
        )
    resource: dict[str, object] = {
        field: headers[header] for header, field in CONTENT_FIELDS.items() if headers.get(header)
    }
    if encoding := _without_chunking(headers.get("content-encoding", "")):
        resource["contentEncoding"] = encoding
    resource["storageClass"] = STORAGE_CLASSES.get(item.storage_class, "STANDARD")
    user = {
        name[len(USER_PREFIX) :]: _decoded(value) for name, value in headers.items() if name.startswith(USER_PREFIX)
    }
    user.pop(PROOF_KEY, None)  # of a source that was itself a copy: it says nothing of this one
    if crc32c := source_crc32c(headers):
        resource["crc32c"] = crc32c  # the sink compares it with the bytes, and Cloud Storage with what it stores
        user[PROOF_KEY] = proof_text(crc32c, Proof.S3_CRC32C)
    user[MTIME_KEY] = str(item.last_modified)
    user[SOURCE_ETAG_KEY] = item.etag
    if item.storage_class != "STANDARD":
        user[STORAGE_CLASS_KEY] = item.storage_class
    resource["metadata"] = user
    return resource


def _without_chunking(encoding: str) -> str:
    """Without `aws-chunked`: a transfer detail of S3's chunked uploads, which some writers leave in the stored value."""
    return ", ".join(part for part in map(str.strip, encoding.split(",")) if part and part.lower() != "aws-chunked")


def _decoded(value: str) -> str:
    """S3 returns user metadata that is not ASCII as RFC 2047 words (S3 User Guide, "User-defined object metadata")."""
    if "=?" not in value:
        return value
    return "".join(
        part.decode(charset or "ascii", "replace") if isinstance(part, bytes) else part
        for part, charset in decode_header(value)
    )
