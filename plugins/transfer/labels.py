"""The label in the custom metadata of a copy: the source's ETag and modification time, and a proof bound to the copied bytes.

An ETag alone would still look valid after another writer replaced the bytes and kept the metadata. The label therefore also
has the CRC32C of the copied bytes and the proof that they were compared with; it counts only while Cloud Storage reports the
same CRC32C for the stored object (docs/decisions/0030-a-label-is-bound-to-its-bytes.md).
"""

from __future__ import annotations

import re

from transfer.model import Proof

MTIME_KEY = "goog-reserved-file-mtime"
"""The key of the source's modification time in seconds since the epoch, as in gcloud storage and Storage Transfer Service."""
SOURCE_ETAG_KEY = "x-goog-source-etag"
"""The key of the source's ETag, as in Storage Transfer Service."""
PROOF_KEY = "edgehaul-proof"
"""The key of the entry that binds the label to the bytes (see `proof_text`)."""

_PROOFS = {str(proof): proof for proof in Proof}
_PROOF = re.compile(r"crc32c=([A-Za-z0-9+/]{6}==)(?:; proof=([a-z0-9-]+))?")


def proof_text(crc32c: str, proof: Proof) -> str:
    """The metadata entry that binds a label to the bytes; `crc32c` is in base64."""
    return f"crc32c={crc32c}; proof={proof.value}"


def bound_crc32c(text: str) -> str:
    """The CRC32C (base64) that a proof entry names; empty if the entry has another format."""
    found = _PROOF.fullmatch(str(text))  # other servers may not store strings
    return found[1] if found else ""


def named_proof(text: str) -> Proof | None:
    """The proof that a proof entry names; None if it names none or an unknown one."""
    found = _PROOF.fullmatch(str(text))
    return _PROOFS.get(found[2]) if found else None
