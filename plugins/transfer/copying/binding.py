"""Binds the label of a copy to its bytes, where their CRC32C was not known before they were stored.

A copy that Cloud Storage's own MD5 proves needs no label. Small objects are uploaded with theirs, and so are objects of which
S3 keeps a CRC32C. The others, streams and uploads in parts whose ETag is not an MD5, take one more request.
"""

from __future__ import annotations

import logging

from transfer.errors import GenerationMismatch, TransferError
from transfer.labels import bound_crc32c, proof_text
from transfer.model import DestinationObject, Proof
from transfer.ports import ObjectSink
from transfer.retry import Retrier
from transfer.steps import Step

log = logging.getLogger(__name__)


def bind(stored: DestinationObject, proof: Proof, *, sink: ObjectSink, retrier: Retrier) -> Step[DestinationObject]:
    """Bind the label of an object that was just copied to its bytes; the object with its new label.

    Returns the object unchanged where Cloud Storage refuses the change. The copy is correct all the same: this run's ledger
    records it, and a later run, which sees the object alone, copies it again.
    """
    try:
        return (yield from retrier.call(lambda: sink.set_proof(stored, proof_text(stored.crc32c, proof))))
    except GenerationMismatch:  # overwritten meanwhile: the reconciliation compares what is there then
        return stored
    except TransferError as error:
        log.warning(
            "%r is copied, but its label could not be bound to its bytes, so a later run will copy it again: %s",
            stored.name,
            error.message,
        )
        return stored


def check_label(stored: DestinationObject, sink: ObjectSink) -> Step[None]:
    """Compare the CRC32C of a label that was uploaded with the object with that of the stored bytes.

    Raises CorruptTransfer when they differ; the object is removed first.
    """
    if (expected := bound_crc32c(stored.proof)) and expected != stored.crc32c:
        yield from sink.remove(stored, f"S3 says CRC32C {expected}, and the stored object has {stored.crc32c}")
