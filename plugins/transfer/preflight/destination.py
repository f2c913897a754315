"""Whether a bucket of Cloud Storage can be written as the run needs it: list, create, upload in parts, delete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transfer.errors import (
    CredentialsRejected,
    DestinationForbidden,
    DestinationHeld,
    GenerationMismatch,
    TransferError,
)
from transfer.preflight.clocks import ClockCheck
from transfer.preflight.findings import Finding, Mark, failed, passed
from transfer.preflight.probes import BucketProbe

ANOTHER_BUCKET = "name a bucket without one as state_bucket"
ONE_STREAM = "each large object is uploaded in one stream"


class BucketCheck:
    """The checks of one bucket. Use from one thread.

    Args:
        object_name: a name under the state prefix that no other run uses; an object is created there and deleted again.
        holds_copies: whether the run copies to the bucket.
        holds_records: whether the run keeps its records in it.
    """

    def __init__(
        self, bucket: BucketProbe, clocks: ClockCheck, *, object_name: str, holds_copies: bool, holds_records: bool
    ) -> None:
        self._bucket = bucket
        self._clocks = clocks
        self._name = object_name
        self._holds_copies = holds_copies
        self._holds_records = holds_records
        self._uri = f"gs://{bucket.bucket}"

    def findings(self) -> Iterator[Finding]:
        """Make the checks in the order of a worker's requests. Creating and deleting are left out where objects are kept."""
        listed, status = self._list()
        yield listed
        if listed.mark is Mark.FAILED and status != 403:
            return  # no such bucket, or no credentials: the other checks would only repeat it
        if (kept := self._kept()) is not None:
            yield kept
            if kept.mark is Mark.FAILED:
                return
            yield self._begin_parts()
            return
        created = self._create()
        yield created
        if created.mark is Mark.FAILED:
            return
        if self._holds_copies and (labelled := self._label()) is not None:
            yield labelled
        yield self._begin_parts()
        yield self._delete()

    def _list(self) -> tuple[Finding, int | None]:
        """The finding, and the HTTP status of a failure."""
        check = f"list {self._uri}"
        try:
            self._clocks.note("Cloud Storage", self._bucket.list())
        except TransferError as error:
            return self._refused(check, error, "storage.objects.list"), error.http_status
        return passed(check), None

    def _kept(self) -> Finding | None:
        """Whether a policy prevents objects from being replaced or deleted; None where nothing does.

        Fatal for a run's records, a warning for copies. Asked before anything is created, since that object would stay.
        """
        try:
            kept_by = self._bucket.kept_by()
        except TransferError as error:
            return failed(f"look at {self._uri}", error)
        if not kept_by:
            return None
        check = f"replace and delete in {self._uri}"
        if self._holds_records:
            detail = f"{kept_by} prevents a run's own records from being replaced and deleted: {ANOTHER_BUCKET}"
            return Finding(mark=Mark.FAILED, check=check, detail=detail)
        detail = (
            f"{kept_by}: existing objects can be neither replaced nor deleted; creating one was not tested, because it"
            " would stay"
        )
        return Finding(mark=Mark.WARNED, check=check, detail=detail)

    def _create(self) -> Finding:
        check = f"create {self._uri}/{self._name}"
        try:
            self._bucket.create(self._name)
        except TransferError as error:
            return self._refused(check, error, "storage.objects.create")
        return passed(check)

    def _label(self) -> Finding | None:
        """Change the metadata of the object just created; None where that works. A refusal only costs copying again."""
        check = f"change the metadata of {self._uri}/{self._name}"
        try:
            self._bucket.label(self._name)
        except GenerationMismatch:  # the preflight of another attempt wrote that name: nothing is shown
            return None
        except TransferError as error:
            refused = self._refused(check, error, "storage.objects.update")
            detail = (
                f"{refused.detail}; until then the labels of large copies cannot be bound to their bytes, and each later"
                " run copies these again"
            )
            return replace(refused, mark=Mark.WARNED, detail=detail)
        return None

    def _begin_parts(self) -> Finding:
        check = f"begin an upload in parts in {self._uri}"
        try:
            if self._bucket.begin_parts(self._name):
                return passed(check)
        except TransferError as error:
            permissions = "storage.multipartUploads.create and storage.multipartUploads.abort"
            refused = self._refused(check, error, permissions)
            if error.http_status != 403:
                return refused
            # Without the permission, a run is only slower.
            return replace(refused, mark=Mark.WARNED, detail=f"{refused.detail}; until then {ONE_STREAM}")
        return Finding(mark=Mark.NOT_MADE, check=check, detail=f"this server does not support it: {ONE_STREAM}")

    def _delete(self) -> Finding:
        check = f"delete {self._uri}/{self._name}"
        try:
            self._bucket.delete(self._name)
        except DestinationHeld as error:
            detail = f"{error.message}: {ANOTHER_BUCKET}; {self._name} stays there until then"
            return Finding(mark=Mark.FAILED, check=check, detail=detail)
        except TransferError as error:
            return self._refused(check, error, "storage.objects.delete")
        return passed(check)

    def _refused(self, check: str, error: TransferError, permission: str) -> Finding:
        """The finding for an error; for a missing permission it names the permission."""
        if error.http_status != 403 or not isinstance(error, DestinationForbidden | CredentialsRejected):
            return failed(check, error)
        detail = (
            f"Cloud Storage answered 403: grant {permission} on {self._uri} (roles/storage.objectUser) to the"
            f" account of connection {self._bucket.conn_id!r}"
        )
        return Finding(mark=Mark.FAILED, check=check, detail=detail)
