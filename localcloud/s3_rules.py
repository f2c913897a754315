"""What S3 does and moto does not: metadata as headers can carry them, and keys that S3 cannot use for a reader.

From the S3 user guide ("Working with object metadata", "Using server-side encryption with customer-provided keys") and the KMS
API reference ("Decrypt", errors).
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass

SSE_C = "x-amz-server-side-encryption-customer-"
KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
SSE_C_WANTED = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the"
    " object."
)
KMS_DENIED = (
    "User is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because no resource-based"
    " policy allows the kms:Decrypt action"
)
_WORD = re.compile(r"=\?[^?]*\?[^?]*\?[^?]*\?=")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error document of S3's."""

    status: int
    code: str
    message: str


class Encryption:
    """Which objects want a key to be read. Thread-safe."""

    def __init__(self) -> None:
        self.denied_keys: frozenset[str] = frozenset()
        """Ids or ARNs of KMS keys that no reader may decrypt with."""
        self.disabled_keys: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._customers: dict[str, str] = {}
        """Path to the MD5 of the key that a customer gave."""

    def stored(self, path: str, headers: Mapping[str, str]) -> None:
        """Note that an object was written to this path, or an upload of one started."""
        with self._lock:
            if key_md5 := headers.get(f"{SSE_C}key-md5"):
                self._customers[path] = key_md5
            else:
                self._customers.pop(path, None)

    def refusal(self, path: str, headers: Mapping[str, str], answered: Mapping[str, str]) -> Refusal | None:
        """Why a reader gets no answer but this; `answered` is what the object's headers are."""
        with self._lock:
            wanted = self._customers.get(path)
        given = headers.get(f"{SSE_C}key-md5")
        if wanted and not given:
            return Refusal(400, "InvalidRequest", SSE_C_WANTED)
        if wanted != given:
            return Refusal(403, "AccessDenied", "Access Denied")
        key = answered.get(KMS_KEY, "")
        if key and key in self.disabled_keys:
            return Refusal(400, "KMS.DisabledException", f"{key} is disabled.")
        if key and key in self.denied_keys:
            return Refusal(403, "AccessDenied", KMS_DENIED)
        return None


def metadata_value(value: str) -> str:
    """User metadata as a header: what is not ASCII becomes an RFC 2047 word, and so does what looks like one already."""
    if value.isascii() and not _WORD.search(value):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="
