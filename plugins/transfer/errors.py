"""Every error of the engine. The class says what to do about it, `stage` says where it happened.

    TransferError
    ├ RetryableError          back off and try again in place
    │ ├ SourceUnavailable     the edge did not answer, or answered 5xx
    │ ├ SinkUnavailable       Cloud Storage did not answer, or answered 5xx
    │ ├ TokenRefused          401: bursts of it pass; one that lasts becomes CredentialsRejected
    │ ├ Throttled             429, 503 SlowDown: carries `retry_after_s`
    │ ├ EdgeBlocked           the edge's own 403 (firewall, rate rule, country): slow down, unless others pass, and try again
    │ └ CorruptTransfer       bytes arrived or were stored otherwise than announced
    ├ ObjectError             this object cannot be moved: to the error topic, then ack
    │ ├ SourceNotFound · SourceForbidden · SourceEncrypted · SourceChanged · SourceArchived · SourceUnproven
    │ ├ SourceMetadataWithheld · EdgeErrorPage
    │ ├ DestinationConflict · DestinationHeld · DestinationForbidden · DestinationRefused
    │ ├ InvalidName · TooLarge · InvalidMessage · PoisonMessage · UnexpectedError
    │ └ RetriesExhausted      carries `last`, the retryable error that would not go away
    └ FatalError              nothing can be moved: stop, nack, fail the task
      ├ CredentialsRejected · SignatureRejected · EndpointRejected
      ├ BucketMissing · BucketRefused · QueueRefused · RunClosed · RunUnknown · SourceListInvalid · PricesInvalid
      ├ DeletionRefused · DeletionIncomplete · RecordDamaged
      └ ListingOutOfOrder     a listing that must be sorted is not

`Stopped` is no error: it carries a stop request out of a transfer in flight.
"""

from __future__ import annotations

from enum import StrEnum

from transfer.plain_text import one_line


class Stage(StrEnum):
    """Where on an object's way something happened."""

    LIST = "list"
    MESSAGE = "message"
    DOWNLOAD = "download"
    UPLOAD = "upload"
    SETTLE = "settle"
    RECONCILE = "reconcile"


class TransferError(Exception):
    """The root of the tree. `code` is the class name, as it stands in messages and reports."""

    def __init__(
        self,
        message: str,
        *,
        stage: Stage,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        message = one_line(message)  # here, so that nobody can forget it: it may quote a server or a key
        super().__init__(message)
        self.message = message
        self.stage = stage
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        """The least wait before another try, when the other side named one."""

    @property
    def code(self) -> str:
        """The name a report or a failure record gives this error."""
        return type(self).__name__


class RetryableError(TransferError):
    """Passing trouble: the same request may succeed later."""

    is_timeout = False
    """Whether nothing came in time."""
    may_be_its_own = False
    """Whether it may be this one object's trouble, and last, where others get through at the same time."""

    @property
    def asks_to_slow_down(self) -> bool:
        """Whether fewer requests at a time are called for: 429, 503 (S3 sends it for SlowDown), or no answer in time."""
        return self.is_timeout or self.http_status in (429, 503)

    def exhausted(self, attempts: int) -> TransferError:
        """What it becomes once it has outlasted the retries: by default the failure of one object."""
        return RetriesExhausted(self, attempts)


class SourceUnavailable(RetryableError):
    """The edge could not be reached, broke off, or answered 5xx."""


class SinkUnavailable(RetryableError):
    """Cloud Storage or Pub/Sub could not be reached, broke off, or answered 5xx."""


class TokenRefused(RetryableError):
    """Google took no access token for this request: one that ended early, or a burst of trouble at its side."""

    def exhausted(self, attempts: int) -> TransferError:
        """Every object needs a token."""
        said = f"{self.message} ({attempts} attempts, with a new token where one could be had)"
        return CredentialsRejected(said, stage=self.stage, http_status=self.http_status)


class Throttled(RetryableError):
    """Asked to slow down."""

    @property
    def asks_to_slow_down(self) -> bool:
        """In so many words."""
        return True


class EdgeBlocked(RetryableError):
    """CloudFront itself refused the request, not S3 behind it: a firewall's rule, its rate limit, or a country."""

    may_be_its_own = True

    @property
    def asks_to_slow_down(self) -> bool:
        """A rate rule of a firewall answers like any other of its rules."""
        return True


class CorruptTransfer(RetryableError):
    """A length or checksum did not agree. Nothing wrong was left behind."""


class ObjectError(TransferError):
    """This object cannot be moved; the others can."""


class SourceNotFound(ObjectError):
    """Listed, but no longer there."""


class SourceForbidden(ObjectError):
    """S3 refuses this object to the distribution."""


class SourceChanged(ObjectError):
    """What the edge serves is not what was listed: replaced since, or a stale copy at the edge."""


class SourceEncrypted(ObjectError):
    """S3 cannot decrypt this object for the distribution: a customer's key (SSE-C), or a KMS key that is denied or disabled."""


class SourceUnproven(ObjectError):
    """Nothing shows that what the edge serves is what was listed: it sent no ETag, and the bytes give no proof."""


class SourceMetadataWithheld(ObjectError):
    """S3 withholds some of its user metadata, which no header can carry."""


class EdgeErrorPage(ObjectError):
    """The distribution shows a page of its own in place of an error, as if it were the object; what the error was is hidden."""


class SourceArchived(ObjectError):
    """In an archive storage class: it needs a restore before it can be read."""


class InvalidName(ObjectError):
    """Cloud Storage cannot hold an object of this name, or an edge URL cannot carry it."""


class TooLarge(ObjectError):
    """Larger than Cloud Storage's 5 TiB."""


class DestinationConflict(ObjectError):
    """The destination changed after it was listed, and not by this run."""


class DestinationHeld(ObjectError):
    """What is at the destination may not be replaced or deleted: a hold, or a retention period that has not ended."""


class DestinationForbidden(ObjectError):
    """Cloud Storage refuses this object to the Google connection."""


class DestinationRefused(ObjectError):
    """Cloud Storage refuses this object for a reason of its own, which the message quotes."""


class InvalidMessage(ObjectError):
    """A message that is not a transfer request."""


class PoisonMessage(ObjectError):
    """Worker after worker died with its message in hand."""


class UnexpectedError(ObjectError):
    """What nobody foresaw went wrong with this object; the message names its type and quotes it."""


class RetriesExhausted(ObjectError):
    """A retryable error that outlasted the retries."""

    def __init__(self, last: RetryableError, attempts: int) -> None:
        super().__init__(
            f"{last.message} ({last.code}, after {attempts} attempts)", stage=last.stage, http_status=last.http_status
        )
        self.last = last
        self.attempts = attempts

    @property
    def code(self) -> str:
        """The name of the error that would not go away: that is what a person looks for."""
        return self.last.code


class FatalError(TransferError):
    """Nothing can be moved until a person changes something."""


class CredentialsRejected(FatalError):
    """Credentials that are wrong, expired, or lack a permission that every object needs."""


class SignatureRejected(FatalError):
    """CloudFront itself refuses the signed URL: key pair, key group, policy or clock."""


class EndpointRejected(FatalError):
    """Not the server it should be: certificate not trusted, a redirect elsewhere, an address that is none."""


class BucketMissing(FatalError):
    """The bucket does not exist, or not for these credentials."""


class BucketRefused(FatalError):
    """The bucket, its encryption key, or the project that pays refuses every request of this kind."""


class QueueRefused(FatalError):
    """Pub/Sub refuses every request to this topic or subscription, or all of this project."""


class RunClosed(FatalError):
    """The run's subscription or topic is gone: the run was closed while this task still worked."""


class RunUnknown(FatalError):
    """The earlier run that was named has left no records to go on from."""


class RecordDamaged(FatalError):
    """A record of the run cannot be read: cut short, or overwritten by something else."""


class SourceListInvalid(FatalError):
    """The inventory or manifest in place of a listing cannot be read, or names what this run cannot move."""


class PricesInvalid(FatalError):
    """The price file for a plan cannot be read, or says something that is no price."""


class DeletionRefused(FatalError):
    """What would be deleted is more than was allowed, or cannot be told for certain. Nothing was deleted."""


class DeletionIncomplete(FatalError):
    """What may be deleted is, and something is left that a person has to see to."""


class ListingOutOfOrder(FatalError):
    """A listing came unsorted, so that marching it against another would give wrong answers."""


class Stopped(Exception):
    """The task was asked to stop while a transfer was in flight."""


class InvalidSelection(ValueError):
    """A bound or a glob that is none, or bounds between which nothing is. The message is for people.

    Attributes:
        field: the parameter to change.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UploadGone(Exception):
    """An upload begun earlier is no more: it has to begin anew."""


class GenerationMismatch(Exception):
    """The destination is not at the generation the upload was conditional on."""
