"""Objects and outcomes for the tests of refusals."""

from __future__ import annotations

from transfer.errors import Stage
from transfer.model import Copied, Failed, ObjectMeta, Proof, TransferFailure


def item(key: str) -> ObjectMeta:
    return ObjectMeta(key=key, size_bytes=1, etag="e", last_modified_s=1)


def refused(key: str, code: str = "SourceForbidden") -> Failed:
    failure = TransferFailure(key=key, stage=Stage.DOWNLOAD, error_code=code, http_status=403, attempts=1, message="no")
    return Failed(failure=failure)


def copied(key: str) -> Copied:
    return Copied(
        key=key, size_bytes=1, proof=Proof.CRC32C, crc32c="", generation=1, attempts=1, seconds=0.0, edge_request_id=""
    )
