"""Copies objects in one request each: one GET and one conditional upload, both repeated in full after an error."""

from __future__ import annotations

from transfer.accounting.progress import Progress
from transfer.copying.metadata import resource_of
from transfer.copying.proof import SourceDigest, UploadResult, require_identity, server_md5
from transfer.copying.stream_proof import open_identified, prove_stored
from transfer.errors import CorruptTransfer, Stage
from transfer.model import ObjectMeta
from transfer.ports import ObjectSink, ObjectSource
from transfer.steps import Step


def copy_in_memory(item: ObjectMeta, name: str, *, source: ObjectSource, sink: ObjectSink) -> Step[UploadResult]:
    """Copy a small object: fetch all of it, prove it, and only then store it. Memory: its size.

    Raises TransferError, and GenerationMismatch when the destination has changed since it was listed.
    """
    fetched = yield from source.fetch(item)
    digest = SourceDigest(item, fetched.headers)
    digest.update(fetched.body)
    proof = digest.prove()
    require_identity(proof, fetched.headers)
    if digest.is_doubtful and (yield from source.fetch(item)).body != fetched.body:
        raise CorruptTransfer("two reads of the source returned different bytes", stage=Stage.DOWNLOAD)
    resource = resource_of(item, fetched.headers)
    stored = yield from sink.put(name, fetched.body, resource, item.replaces_generation, proof=proof)
    return UploadResult(stored=stored, proof=proof, edge_request_id=fetched.headers.get("x-amz-cf-id", ""))


def copy_in_one_request(
    item: ObjectMeta, name: str, *, source: ObjectSource, sink: ObjectSink, progress: Progress
) -> Step[UploadResult]:
    """Copy an object too large for memory and too small to be resumed: stream one GET into one upload.

    Raises TransferError, and GenerationMismatch when the destination has changed since it was listed.
    """
    shown_bytes = 0

    def observe(data: bytes) -> None:
        nonlocal shown_bytes
        shown_bytes += len(data)
        progress.part(len(data))
        if digest is not None:
            digest.update(data)

    stream = yield from open_identified(item, source, item.size_bytes)
    try:
        headers = stream.headers
        md5 = server_md5(item, headers)
        digest = None if md5 and sink.hashes_md5 else SourceDigest(item, headers)
        resource, generation = resource_of(item, headers), item.replaces_generation
        stored = yield from sink.put_stream(
            name, stream, item.size_bytes, resource, generation, md5=md5, observe=observe
        )
    finally:
        stream.close()
        progress.part(-shown_bytes)  # from here on the object itself is counted, if it was copied
    proof = yield from prove_stored(stored, digest, item, source, sink)
    return UploadResult(stored=stored, proof=proof, edge_request_id=headers.get("x-amz-cf-id", ""))
