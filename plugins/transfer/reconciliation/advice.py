"""What each reason of a reconciliation calls for: a second try in the same run, or a person, and what that person should do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """What helps."""

    advice: str
    """One sentence for a person."""
    has_second_try: bool = False
    """Whether the same object may well arrive when it is tried again a little later, in the same run."""


_AGAIN = "clear the task reconcile to try exactly these again"

# By failure code: one for each ObjectError and RetryableError of transfer/errors.py (a test holds that).
FAILURES = {
    "SourceNotFound": Remedy(
        "deleted since it was listed, or never there: run again to list anew, or correct the manifest"
    ),
    "SourceForbidden": Remedy(
        f"let the distribution's origin access read the object (s3:GetObject), then {_AGAIN}; where it may not list"
        " (s3:ListBucket) an object that was deleted since is refused likewise: run again to list anew"
    ),
    "SourceEncrypted": Remedy(
        f"let the distribution use the object's KMS key (kms:Decrypt), then {_AGAIN}; one under a customer's own key (SSE-C)"
        " has to be copied onto itself in S3 without that key first"
    ),
    "SourceChanged": Remedy(
        "replaced since it was listed, or stale at the edge: run again to list anew; use CachingDisabled on the"
        " distribution",
        has_second_try=True,  # a stale copy leaves the edge
    ),
    "SourceUnproven": Remedy(
        f"let the distribution's response headers policy pass ETag on (and x-amz-server-side-encryption), then {_AGAIN}"
    ),
    "SourceMetadataWithheld": Remedy(
        "set its user metadata again in S3, with plain values, and run again to list anew"
    ),
    "EdgeErrorPage": Remedy(
        f"remove the distribution's custom error responses, which hide what is wrong; then {_AGAIN}"
    ),
    "EdgeBlocked": Remedy(
        "let the rules of the distribution's web ACL count signed requests instead of blocking them, or raise its rate"
        f" limit, then {_AGAIN}",
        has_second_try=True,  # a rate rule lets go after some minutes
    ),
    "SourceArchived": Remedy(f"restore it in S3 (Intelligent-Tiering's archive tiers need it, too), then {_AGAIN}"),
    "InvalidName": Remedy("rename it at the source, or choose another destination prefix, and run again"),
    "TooLarge": Remedy("Cloud Storage holds 5 TiB an object: split it at the source"),
    "DestinationConflict": Remedy(f"somebody else wrote it during the run; to copy over it, {_AGAIN}"),
    "DestinationHeld": Remedy(
        f"a hold or a retention period keeps what is at the destination: release it, or wait for its end; then {_AGAIN}"
    ),
    "DestinationForbidden": Remedy(
        "Cloud Storage refuses this name to the Google connection: look for a condition in the IAM policies of bucket and"
        f" folders; then {_AGAIN}"
    ),
    "DestinationRefused": Remedy(f"the failure quotes Cloud Storage's reason: change what it names, then {_AGAIN}"),
    "InvalidMessage": Remedy("something else publishes to the topic of the transfer requests: give it another topic"),
    "UnexpectedError": Remedy(
        f"a defect of Edgehaul: please report it with the traceback in the logs of the transfer tasks; {_AGAIN}",
        has_second_try=True,  # too many open files, say, is passing trouble
    ),
    "PoisonMessage": Remedy(
        f"its worker died each time: see the logs of the transfer and retry tasks (memory?), then {_AGAIN}",
        has_second_try=True,  # alone: of the objects of one message, most are innocent
    ),
    "SourceUnavailable": Remedy(f"the edge or its origin had trouble; {_AGAIN}", has_second_try=True),
    "SinkUnavailable": Remedy(f"Cloud Storage had trouble; {_AGAIN}", has_second_try=True),
    "TokenRefused": Remedy(f"Cloud Storage took no access token for a while; {_AGAIN}", has_second_try=True),
    "Throttled": Remedy(
        "start a run with only_failed and this run's id, and with fewer workers or threads", has_second_try=True
    ),
    "CorruptTransfer": Remedy(
        f"bytes kept arriving damaged; {_AGAIN}, and if it stays, check the object at the source, and that the edge passes"
        " on x-amz-server-side-encryption: with KMS an ETag is no MD5",
        has_second_try=True,
    ),
}
_OTHERS = {
    "missing": f"never moved; see the logs of the transfer and retry tasks for why they stopped, then {_AGAIN}",
    "differing": f"the destination holds something else; see the logs of the transfer tasks, then {_AGAIN}",
    "archived": "restore them in S3 (archived.csv names each) to have them moved by the next run",
    "exists": "run with overwrite=changed to replace it when it differs",
}
_COMPARED = {
    "missing": "not at the destination; to move what this run found, start one with only_failed and its run id",
    "differing": "the destination holds something else; to copy over it, start a run with only_failed and this run's id",
}


def advice_for(reason: str, *, was_copied: bool = True) -> str:
    """One sentence, or nothing where there is nothing to do. `was_copied` is whether the run was to move anything."""
    remedy = FAILURES.get(reason)
    others = _OTHERS if was_copied else _OTHERS | _COMPARED
    return remedy.advice if remedy else others.get(reason, "")


def has_second_try(error_code: str) -> bool:
    """Whether a failure of this code is worth another try in the same run. An unknown code is not."""
    remedy = FAILURES.get(error_code)
    return remedy is not None and remedy.has_second_try
