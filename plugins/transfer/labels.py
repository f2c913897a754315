"""The label of a copy, in its custom metadata: what it was copied from, when that was written, and a proof bound to its bytes.

An ETag alone would go on being believed when somebody replaces the bytes and keeps the metadata. So the CRC32C of the bytes
that were copied stands beside it, with what proved them: a label is worth something only while Cloud Storage names the same
CRC32C of what it stores (docs/decisions/0030-a-label-is-bound-to-its-bytes.md).
"""

from __future__ import annotations

import re

from transfer.model import Proof

MTIME_KEY = "goog-reserved-file-mtime"
"""Seconds since the epoch; what gcloud storage and Storage Transfer Service keep a source's modification time under."""
SOURCE_ETAG_KEY = "x-goog-source-etag"
"""What Storage Transfer Service keeps a source's ETag under."""
PROOF_KEY = "edgehaul-proof"

_PROOFS = {str(proof): proof for proof in Proof}
_PROOF = re.compile(r"crc32c=([A-Za-z0-9+/]{6}==)(?:; proof=([a-z0-9-]+))?")


def proof_text(crc32c: str, proof: Proof) -> str:
    """The entry that binds a label to its bytes; `crc32c` in base64."""
    return f"crc32c={crc32c}; proof={proof.value}"


def bound_crc32c(text: str) -> str:
    """The CRC32C (base64) that an entry names; empty for one of another form."""
    found = _PROOF.fullmatch(str(text))  # a server of another make may keep no texts
    return found[1] if found else ""


def named_proof(text: str) -> Proof | None:
    """What an entry says proved the bytes; None where it says nothing that is known here."""
    found = _PROOF.fullmatch(str(text))
    return _PROOFS.get(found[2]) if found else None
