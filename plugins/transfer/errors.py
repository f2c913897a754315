"""The errors of the engine. The class of an error decides how it is handled; `stage` says where it happened.

    TransferError
    ├ RetryableError          back off and send the request again
    │ ├ SourceUnavailable     the edge did not answer, or answered 5xx
    │ ├ SinkUnavailable       Cloud Storage did not answer, or answered 5xx
    │ ├ TokenRefused          401: usually temporary; if it persists it becomes CredentialsRejected
    │ ├ Throttled             429, 503 SlowDown: carries `retry_after_s`
    │ ├ EdgeBlocked           a 403 of the edge itself (firewall, rate rule, country): slow down unless others pass, retry
    │ └ CorruptTransfer       the bytes received or stored differ from those announced
    ├ ObjectError             this object cannot be copied: publish to the error topic, then ack
    │ ├ SourceNotFound · SourceForbidden · SourceEncrypted · SourceChanged · SourceArchived · SourceUnproven
    │ ├ SourceMetadataWithheld · EdgeErrorPage
    │ ├ DestinationConflict · DestinationHeld · DestinationForbidden · DestinationRefused
    │ ├ InvalidName · TooLarge · InvalidMessage · PoisonMessage · UnexpectedError
    │ └ RetriesExhausted      carries `last`, the retryable error that persisted
    └ FatalError              no object can be copied: stop, nack, fail the task
      ├ CredentialsRejected · SignatureRejected · EndpointRejected
      ├ BucketMissing · BucketRefused · QueueRefused · RunClosed · RunUnknown · SourceListInvalid · PricesInvalid
      ├ DeletionRefused · DeletionIncomplete · RecordDamaged
      └ ListingOutOfOrder     a listing that must be sorted is not

`Stopped` does not report an error: it ends a transfer in flight after a stop request.
"""

from __future__ import annotations

from enum import StrEnum

from transfer.plain_text import one_line


class Stage(StrEnum):
    """The stage of a transfer in which an error or event happened."""

    LIST = "list"
    MESSAGE = "message"
    DOWNLOAD = "download"
    UPLOAD = "upload"
    SETTLE = "settle"
    RECONCILE = "reconcile"


class TransferError(Exception):
    """The base class of the engine's errors. `code` is the class name, which appears in messages and reports."""

    def __init__(
        self,
        message: str,
        *,
        stage: Stage,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        message = one_line(message)  # always redacted here, because it may quote a server or a key
        super().__init__(message)
        self.message = message
        self.stage = stage
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        """The shortest wait before the next attempt, in seconds, if the server named one (`Retry-After`)."""

    @property
    def code(self) -> str:
        """The name of this error in reports and failure records."""
        return type(self).__name__


class RetryableError(TransferError):
    """A temporary error: the same request may succeed later."""

    is_timeout = False
    """Whether the request timed out."""
    may_be_object_specific = False
    """Whether the error may concern only this object, and persist, if other objects succeed at the same time."""

    @property
    def asks_to_slow_down(self) -> bool:
        """Whether to send fewer requests at a time: after a 429, a 503 (which S3 sends for SlowDown) or a timeout."""
        return self.is_timeout or self.http_status in (429, 503)

    def exhausted(self, attempts: int) -> TransferError:
        """The error to raise instead once all retries have failed; by default it fails one object."""
        return RetriesExhausted(self, attempts)


class SourceUnavailable(RetryableError):
    """The edge could not be reached, closed the connection early, or answered 5xx."""


class SinkUnavailable(RetryableError):
    """Cloud Storage or Pub/Sub could not be reached, closed the connection early, or answered 5xx."""


class TokenRefused(RetryableError):
    """Google rejected the access token of this request: the token ended early, or Google has a temporary problem."""

    def exhausted(self, attempts: int) -> TransferError:
        """CredentialsRejected, which stops the task, because every object needs a token."""
        message = f"{self.message} ({attempts} attempts, with a new token where one could be had)"
        return CredentialsRejected(message, stage=self.stage, http_status=self.http_status)


class Throttled(RetryableError):
    """The server asked for fewer requests (429, or 503 SlowDown)."""

    @property
    def asks_to_slow_down(self) -> bool:
        """True, because the server asked for it."""
        return True


class EdgeBlocked(RetryableError):
    """CloudFront itself refused the request, not S3: a firewall rule, a rate limit, or a blocked country."""

    may_be_object_specific = True

    @property
    def asks_to_slow_down(self) -> bool:
        """True: a rate rule cannot be distinguished from the other rules of a firewall."""
        return True


class CorruptTransfer(RetryableError):
    """A length or checksum did not match. No wrong object was left at the destination."""


class ObjectError(TransferError):
    """This object cannot be copied; other objects are not affected."""


class SourceNotFound(ObjectError):
    """The object was listed, but no longer exists in the source bucket."""


class SourceForbidden(ObjectError):
    """S3 does not let the distribution read this object."""


class SourceChanged(ObjectError):
    """The edge serves other content than was listed: the object was replaced since, or the edge has an outdated copy."""


class SourceEncrypted(ObjectError):
    """S3 cannot decrypt this object for the distribution: it uses SSE-C, or a KMS key that is denied or disabled."""


class SourceUnproven(ObjectError):
    """The bytes that the edge serves cannot be matched to the listed object: it sent no ETag, and no checksum proves them."""


class SourceMetadataWithheld(ObjectError):
    """S3 withholds part of the object's user metadata, because a header cannot carry it."""


class EdgeErrorPage(ObjectError):
    """The distribution serves a custom error page as if it were the object, which hides the actual error."""


class SourceArchived(ObjectError):
    """The object is in an archive storage class and has to be restored before it can be read."""


class InvalidName(ObjectError):
    """Cloud Storage cannot hold an object of this name, or an edge URL cannot carry it."""


class TooLarge(ObjectError):
    """The object is larger than the 5 TiB that Cloud Storage allows."""


class DestinationConflict(ObjectError):
    """Another writer changed the destination object after it was listed."""


class DestinationHeld(ObjectError):
    """The destination object cannot be replaced or deleted because of a hold or a retention period that has not ended."""


class DestinationForbidden(ObjectError):
    """Cloud Storage does not let the Google connection write this object."""


class DestinationRefused(ObjectError):
    """Cloud Storage refuses this object for another reason, which the message quotes."""


class InvalidMessage(ObjectError):
    """A Pub/Sub message is not a valid transfer request."""


class PoisonMessage(ObjectError):
    """The message was given up because several workers crashed while they processed it."""


class UnexpectedError(ObjectError):
    """An unexpected exception occurred while this object was copied; the message names its type and quotes it."""


class RetriesExhausted(ObjectError):
    """A retryable error persisted until the retries were used up."""

    def __init__(self, last: RetryableError, attempts: int) -> None:
        super().__init__(
            f"{last.message} ({last.code}, after {attempts} attempts)", stage=last.stage, http_status=last.http_status
        )
        self.last = last
        self.attempts = attempts

    @property
    def code(self) -> str:
        """The name of the error that persisted, because it names the actual cause."""
        return self.last.code


class FatalError(TransferError):
    """No object can be copied until someone corrects the cause. The task fails."""


class CredentialsRejected(FatalError):
    """The credentials are wrong, have expired, or lack a permission that every object needs."""


class SignatureRejected(FatalError):
    """CloudFront itself rejects the signed URL: the key pair, key group, policy or clock is wrong."""


class EndpointRejected(FatalError):
    """The server is not the expected one: an untrusted certificate, a redirect to another host, or an invalid address."""


class BucketMissing(FatalError):
    """The bucket does not exist, or is not visible to these credentials."""


class BucketRefused(FatalError):
    """The bucket, its encryption key, or the project that pays refuses every request of this kind."""


class QueueRefused(FatalError):
    """Pub/Sub refuses every request to this topic or subscription, or every request of this project."""


class RunClosed(FatalError):
    """The run's subscription or topic no longer exists: the run was closed while this task still worked."""


class RunUnknown(FatalError):
    """The earlier run that was named has no records from which to continue."""


class RecordDamaged(FatalError):
    """A record of the run cannot be read, because it was truncated or overwritten."""


class SourceListInvalid(FatalError):
    """The inventory or manifest in place of a listing cannot be read, or names objects that this run cannot copy."""


class PricesInvalid(FatalError):
    """The price file for a plan cannot be read, or contains an invalid price."""


class DeletionRefused(FatalError):
    """A run would delete more than allowed, or cannot determine for certain what to delete. Nothing was deleted."""


class DeletionIncomplete(FatalError):
    """All objects that may be deleted were deleted, and others remain that need someone's attention."""


class ListingOutOfOrder(FatalError):
    """A listing is not sorted, so that comparing it with another one would give wrong results."""


class Stopped(Exception):
    """The task was asked to stop while a transfer was in flight."""


class InvalidSelection(ValueError):
    """A bound or glob is invalid, or no object can lie between the bounds. The message is for people.

    Attributes:
        field: the parameter to change.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UploadGone(Exception):
    """An upload that was started earlier no longer exists and has to be started again."""


class GenerationMismatch(Exception):
    """The destination object does not have the generation that the upload was conditional on."""
