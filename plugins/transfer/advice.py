"""What to do about each reason that a reconciliation gives."""

from __future__ import annotations

_ADVICE = {
    "SourceNotFound": "deleted since it was listed; run again to list anew",
    "SourceForbidden": "let the distribution's origin access read the object (s3:GetObject, and kms:Decrypt for its key)",
    "SourceChanged": "replaced since it was listed, or stale at the edge: run again; use CachingDisabled on the distribution",
    "SourceArchived": "restore it in S3, then run again",
    "InvalidName": "rename it at the source, or choose another destination prefix",
    "TooLarge": "Cloud Storage holds 5 TiB an object: split it at the source",
    "DestinationConflict": "somebody else wrote it during the run; run again to copy over it",
    "SourceUnavailable": "the edge or its origin had trouble; run again",
    "SinkUnavailable": "Cloud Storage had trouble; run again",
    "Throttled": "run again with fewer workers or threads",
    "CorruptTransfer": "bytes kept arriving damaged; run again, and if it stays, check the object at the source",
    "missing": "never moved; see the logs of the transfer tasks for why they stopped, then run again",
    "differing": "the destination holds something else; see the logs of the transfer tasks, then run again",
    "archived": "restore it in S3 to have it moved by the next run",
    "exists": "run with overwrite=changed to replace it when it differs",
}


def advice_for(reason: str) -> str:
    """One sentence, or nothing where there is nothing to do."""
    return _ADVICE.get(reason, "")
