"""Binding the label of a copy to its bytes, where their CRC32C was not known before they were stored.

What Cloud Storage's own MD5 proves needs no label, a small object's goes with its upload, and so does that of an object of
which S3 keeps a CRC32C. The others, streams and parts whose ETag is no MD5, take one more request.
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
    """An object just copied that does not show what it holds, with a label that is bound to its bytes.

    As it is, where that was refused for good. It is right all the same: the ledger says so for this run, and a later run,
    which sees the object alone, copies it again.
    """
    try:
        return (yield from retrier.call(lambda: sink.set_proof(stored, proof_text(stored.crc32c, proof))))
    except GenerationMismatch:  # written over meanwhile: the reconciliation looks at what is there then
        return stored
    except TransferError as error:
        log.warning(
            "%r is copied, but nothing binds its label to its bytes, and a later run will copy it again: %s",
            stored.name,
            error.message,
        )
        return stored


def as_announced(stored: DestinationObject, sink: ObjectSink) -> Step[None]:
    """Raises CorruptTransfer when a label that went with the upload is of other bytes; the object is removed then."""
    if (announced := bound_crc32c(stored.proof)) and announced != stored.crc32c:
        yield from sink.remove(stored, f"S3 says CRC32C {announced}, and what was stored has {stored.crc32c}")
