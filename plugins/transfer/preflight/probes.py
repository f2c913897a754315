"""The protocols through which preflight sends its requests, one for each service that a run needs. Hooks implement them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from transfer.model import ObjectMeta, SourceKey
from transfer.preflight.edge_answers import EdgeAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPage:
    """A page of a listing."""

    objects: Sequence[ObjectMeta]
    date: str
    """The `Date` header of the answer, by the server's clock; empty without one."""


class SourceProbe(Protocol):
    """The source bucket. Every method of every probe raises TransferError and nothing else."""

    bucket: str
    prefix: str
    conn_id: str

    def page(self, after: str = "") -> ListedPage:
        """The first objects under the prefix whose keys come after `after`, in one request."""

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        """For each key, whether the bucket has it."""

    def read(self, key: str) -> None:
        """Read the first byte of an object from S3 itself, as the comparison of samples does."""


class SourceListProbe(Protocol):
    """An inventory or a manifest that the run reads in place of a listing."""

    uri: str

    def check(self) -> None:
        """Read the part that describes the list. Raises TransferError when it is not a list of this bucket."""


class EdgeProbe(Protocol):
    """The distribution."""

    conn_id: str

    def ask(self, key: str) -> EdgeAnswer:
        """Request the first byte of an object, signed as the workers sign."""

    def signature_life_s(self) -> float:
        """For how long a signature is valid at least; infinite when nothing is signed."""


class BucketProbe(Protocol):
    """One bucket of Cloud Storage."""

    bucket: str
    conn_id: str

    def list(self) -> str:
        """List one object; returns the `Date` header of the answer."""

    def kept_by(self) -> str:
        """What prevents objects from being replaced or deleted, in words; empty where nothing is known to prevent it."""

    def create(self, name: str) -> None:
        """Store an empty object."""

    def label(self, name: str) -> None:
        """Change the metadata of an object, as is done when the label of a copy is bound to its bytes."""

    def delete(self, name: str) -> None:
        """Delete an object."""

    def begin_parts(self, name: str) -> bool:
        """Begin and abort an upload in parts; False where the server does not support such uploads."""


class TopicProbe(Protocol):
    """One Pub/Sub topic."""

    topic: str
    conn_id: str

    def granted(self, permissions: Sequence[str]) -> Sequence[str] | None:
        """The permissions among these that the connection has; None where the server does not report permissions."""

    def exists(self) -> bool | None:
        """Whether the topic exists; None when the connection may not see it."""
