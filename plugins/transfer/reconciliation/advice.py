"""What to do about each reason why an object was not copied: retry it in the same run, or what a person has to change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """What helps against a failure."""

    advice: str
    """One sentence for a person."""
    is_worth_retrying: bool = False
    """Whether the same object may well be copied when it is retried a little later, in the same run."""


_RETRY = "clear the task reconcile to retry exactly these"
_LIST_AGAIN = "start another run, which lists the source again"

# By failure code: one for each ObjectError and RetryableError of transfer/errors.py (a test holds that).
FAILURES = {
    "SourceNotFound": Remedy(f"deleted since it was listed, or never there: {_LIST_AGAIN}, or correct the manifest"),
    "SourceForbidden": Remedy(
        f"let the distribution's origin access read the object (s3:GetObject), then {_RETRY}; where it may not list the bucket"
        f" (s3:ListBucket), S3 also refuses objects that were deleted since the listing: {_LIST_AGAIN}"
    ),
    "SourceEncrypted": Remedy(
        f"let the distribution use the object's KMS key (kms:Decrypt), then {_RETRY}; an object encrypted with a"
        " customer-provided key (SSE-C) first has to be copied onto itself in S3 without that key"
    ),
    "SourceChanged": Remedy(
        f"replaced since it was listed, or stale at the edge: {_LIST_AGAIN}; use the cache policy CachingDisabled on the"
        " distribution",
        is_worth_retrying=True,  # a stale copy leaves the edge
    ),
    "SourceUnproven": Remedy(
        "let the distribution's response headers policy pass on the headers ETag and x-amz-server-side-encryption, then"
        f" {_RETRY}"
    ),
    "SourceMetadataWithheld": Remedy(
        "set the object's user metadata again in S3, with values that an HTTP header can carry, then start another run"
    ),
    "EdgeErrorPage": Remedy(
        f"remove the distribution's custom error responses, which hide the actual error, then {_RETRY}"
    ),
    "EdgeBlocked": Remedy(
        "let the rules of the distribution's web ACL count signed requests instead of blocking them, or raise its rate"
        f" limit, then {_RETRY}",
        is_worth_retrying=True,  # a rate-based rule stops blocking after some minutes
    ),
    "SourceArchived": Remedy(
        f"restore it in S3 (objects in an archive tier of Intelligent-Tiering as well), then {_RETRY}"
    ),
    "InvalidName": Remedy(
        "rename the object in the source, or choose another destination prefix, then start another run"
    ),
    "TooLarge": Remedy("Cloud Storage holds at most 5 TiB in one object: split the object in the source"),
    "DestinationConflict": Remedy(f"somebody else wrote the object during the run; to copy over it, {_RETRY}"),
    "DestinationHeld": Remedy(
        "a hold or a retention period protects the object at the destination: release the hold, or wait until the retention"
        f" period ends, then {_RETRY}"
    ),
    "DestinationForbidden": Remedy(
        "Cloud Storage denies the Google connection access to this name: look for a condition in the IAM policies of the"
        f" bucket and of its folders, then {_RETRY}"
    ),
    "DestinationRefused": Remedy(f"the message quotes Cloud Storage's reason: correct what it names, then {_RETRY}"),
    "InvalidMessage": Remedy("something else publishes to the topic of the transfer requests: give it another topic"),
    "UnexpectedError": Remedy(
        f"a defect of Edgehaul: please report it with the traceback from the logs of the transfer tasks; {_RETRY}",
        is_worth_retrying=True,  # the cause may be temporary, such as too many open files
    ),
    "PoisonMessage": Remedy(
        "every worker that had this message in hand crashed: look in the logs of the transfer and retry tasks for the cause,"
        f" such as too little memory, then {_RETRY}",
        is_worth_retrying=True,  # each object alone: most objects of such a message cause no crash
    ),
    "SourceUnavailable": Remedy(f"CloudFront or S3 was temporarily unavailable; {_RETRY}", is_worth_retrying=True),
    "SinkUnavailable": Remedy(f"Cloud Storage was temporarily unavailable; {_RETRY}", is_worth_retrying=True),
    "TokenRefused": Remedy(f"Cloud Storage temporarily refused access tokens; {_RETRY}", is_worth_retrying=True),
    "Throttled": Remedy(
        "start another run with only_failed set to this run's id, and with fewer workers or threads",
        is_worth_retrying=True,
    ),
    "CorruptTransfer": Remedy(
        f"bytes were damaged on every attempt; {_RETRY}, and if that does not help, check the object in the source, and that"
        " the edge passes on x-amz-server-side-encryption: with KMS an ETag is not an MD5",
        is_worth_retrying=True,
    ),
}
_OTHERS = {
    "missing": f"never copied; see the logs of the transfer and retry tasks for why they stopped, then {_RETRY}",
    "differing": f"the destination holds something else; see the logs of the transfer tasks, then {_RETRY}",
    "archived": "restore them in S3 (archived.csv lists them), and the next run copies them",
    "exists": "run with overwrite=changed to replace it when it differs",
}
_COMPARED = {
    "missing": "not at the destination; to copy what this run found, start a run with only_failed set to this run's id",
    "differing": "the destination holds something else; to copy over it, start a run with only_failed set to this run's id",
}


def advice_for(reason: str, *, was_copied: bool = True) -> str:
    """One sentence on what to do about a reason; empty where there is nothing to do.

    `was_copied` is whether the run was to copy anything (not with `mode=verify`).
    """
    remedy = FAILURES.get(reason)
    others = _OTHERS if was_copied else _OTHERS | _COMPARED
    return remedy.advice if remedy else others.get(reason, "")


def is_worth_retrying(error_code: str) -> bool:
    """Whether an object that failed with this code is worth a retry in the same run. An unknown code is not."""
    remedy = FAILURES.get(error_code)
    return remedy is not None and remedy.is_worth_retrying
