"""Maps the response headers of the GET to the destination object's metadata, so that no object needs a HEAD request."""

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
"""Cloud Storage's class for each S3 class, matched by minimum storage duration and retrieval price: 30 days (IA, NEARLINE),
90 days (Glacier Instant Retrieval, COLDLINE), archives last.

Sources: the storage class pages of both services. Archived objects are copied only once they are restored.
"""

USER_PREFIX = "x-amz-meta-"
MAX_USER_BYTES = 8 * 1024
"""The most custom metadata an object may have, keys and values together (Cloud Storage, "Quotas and limits")."""

_WORD = re.compile(
    r"=\?(?:utf-8|us-ascii)\?(?:(?P<base64>b)\?(?P<packed>[A-Za-z0-9+/=]*)|q\?(?P<quoted>(?:[^\s=?]|=[0-9a-f]{2})*))\?=",
    re.IGNORECASE,
)
"""An encoded word (RFC 2047, section 2) in the character sets that S3 writes."""


def resource_of(item: ObjectMeta, headers: Mapping[str, str]) -> dict[str, object]:
    """The object resource of Cloud Storage's JSON API for this object, without its name.

    Raises SourceMetadataWithheld when S3 reports that it withholds user metadata (`x-amz-missing-meta`), and
    DestinationRefused when there is more of it than Cloud Storage holds: without its metadata an object is not copied.
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
    user.pop(PROOF_KEY, None)  # the source may itself be a copy; its label is not about this one
    if crc32c := source_crc32c(headers):
        resource["crc32c"] = crc32c  # compared with the bytes sent by the sink, and with those stored by Cloud Storage
        user[PROOF_KEY] = proof_text(crc32c, Proof.S3_CRC32C)
    user[MTIME_KEY] = str(item.last_modified_s)
    user[SOURCE_ETAG_KEY] = item.etag
    if item.storage_class != "STANDARD":
        user[STORAGE_CLASS_KEY] = item.storage_class
    if (
        size_bytes := sum(len(text.encode("utf-8", "replace")) for pair in user.items() for text in pair)
    ) > MAX_USER_BYTES:
        raise DestinationRefused(
            f"its user metadata has {size_bytes:,} bytes, and Cloud Storage holds at most {MAX_USER_BYTES:,} per object:"
            " shorten it at the source",
            stage=Stage.UPLOAD,
        )
    resource["metadata"] = user
    return resource


def _without_chunking(encoding: str) -> str:
    """A content encoding without `aws-chunked`, a detail of S3's chunked uploads that some clients leave in the stored value."""
    return ", ".join(part for part in map(str.strip, encoding.split(",")) if part and part.lower() != "aws-chunked")


def _decoded(value: str) -> str:
    """Decode a user metadata value: S3 returns those that are not ASCII as RFC 2047 encoded words.

    A value that was stored looking like an encoded word is returned inside another one, so this decodes once. Forms that S3
    does not write (another character set, words among other text, damaged words) were stored by the user and stay unchanged
    (S3 User Guide, "User-defined object metadata").
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
    """The bytes of an encoded word. Raises ValueError for invalid base64."""
    if word["base64"]:
        return binascii.a2b_base64(word["packed"], strict_mode=True)
    return binascii.a2b_qp(word["quoted"].encode("ascii"), header=True)
