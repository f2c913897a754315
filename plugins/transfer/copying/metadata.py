"""From the headers of the one GET to the metadata of the destination object: no HEAD request per object."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping

from transfer.copying.proof import source_crc32c
from transfer.errors import DestinationRefused, SourceMetadataWithheld, Stage
from transfer.labels import MTIME_KEY, PROOF_KEY, SOURCE_ETAG_KEY, proof_text
from transfer.model import ObjectMeta, Proof

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
MAX_USER_BYTES = 8 * 1024
"""Of custom metadata, keys and values together (Cloud Storage, "Quotas and limits")."""

_WORD = re.compile(
    r"=\?(?:utf-8|us-ascii)\?(?:(?P<base64>b)\?(?P<packed>[A-Za-z0-9+/=]*)|q\?(?P<quoted>(?:[^\s=?]|=[0-9a-f]{2})*))\?=",
    re.IGNORECASE,
)
"""An encoded word (RFC 2047, section 2) in the charset that S3 writes."""


def resource_of(item: ObjectMeta, headers: Mapping[str, str]) -> dict[str, object]:
    """The object resource of Cloud Storage's JSON API for this object, without its name.

    Raises SourceMetadataWithheld when S3 says that it withholds some of the user metadata (`x-amz-missing-meta`), and
    DestinationRefused for more of it than Cloud Storage holds: an object is not called copied without its metadata.
    """
    if headers.get("x-amz-missing-meta", "0") not in ("", "0"):
        raise SourceMetadataWithheld(
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
    user[MTIME_KEY] = str(item.last_modified_s)
    user[SOURCE_ETAG_KEY] = item.etag
    if item.storage_class != "STANDARD":
        user[STORAGE_CLASS_KEY] = item.storage_class
    if (
        size_bytes := sum(len(text.encode("utf-8", "replace")) for pair in user.items() for text in pair)
    ) > MAX_USER_BYTES:
        raise DestinationRefused(
            f"its user metadata would have {size_bytes:,} bytes, and Cloud Storage holds {MAX_USER_BYTES:,} an object at"
            " most: shorten it at the source",
            stage=Stage.UPLOAD,
        )
    resource["metadata"] = user
    return resource


def _without_chunking(encoding: str) -> str:
    """Without `aws-chunked`: a transfer detail of S3's chunked uploads, which some writers leave in the stored value."""
    return ", ".join(part for part in map(str.strip, encoding.split(",")) if part and part.lower() != "aws-chunked")


def _decoded(value: str) -> str:
    """S3 returns user metadata that is not ASCII as RFC 2047 words (S3 User Guide, "User-defined object metadata").

    A value that was stored looking like such a word is returned inside of another, so this decodes once. What S3 does not
    write (another charset, words among other text, damaged ones) was stored as it is, and stays so.
    """
    words = [_WORD.fullmatch(word) for word in value.split()] if value.startswith("=?") else []
    if not words or not all(words):
        return value
    try:
        text = b"".join(_bytes_of(word) for word in words if word).decode("utf-8")
    except ValueError:
        return value
    return text if all(character >= " " and character != "\x7f" for character in text) else value


def _bytes_of(word: re.Match[str]) -> bytes:
    """Raises ValueError for base64 that is none."""
    if word["base64"]:
        return binascii.a2b_base64(word["packed"], strict_mode=True)
    return binascii.a2b_qp(word["quoted"].encode("ascii"), header=True)
