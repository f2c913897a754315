"""What preflight asks through: one probe for each thing that a run needs. The hooks make them."""

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
    """The server's clock, as its `Date` header has it; "" without one."""


class SourceProbe(Protocol):
    """The source bucket. Every method of every probe raises TransferError and nothing else."""

    bucket: str
    prefix: str
    conn_id: str

    def page(self, after: str = "") -> ListedPage:
        """The first objects under the prefix, or the first whose keys come after one, in one request."""

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        """Of each key, whether the bucket has it."""

    def read(self, key: str) -> None:
        """Read the first byte of an object, as a sample is read."""


class SourceListProbe(Protocol):
    """An inventory or a manifest in place of a listing."""

    uri: str

    def check(self) -> None:
        """Read what says what it is."""


class EdgeProbe(Protocol):
    """The distribution."""

    conn_id: str

    def ask(self, key: str) -> EdgeAnswer:
        """The first byte of an object, signed as the workers will sign."""

    def signature_life_s(self) -> float:
        """For how long a signature is good for certain; infinite when nothing is signed."""


class BucketProbe(Protocol):
    """One bucket of Cloud Storage."""

    bucket: str
    conn_id: str

    def list(self) -> str:
        """List one object; the server's `Date`."""

    def kept_by(self) -> str:
        """What keeps its objects from being replaced or deleted, in words; empty where nothing shows that anything does."""

    def create(self, name: str) -> None:
        """Store an empty object."""

    def label(self, name: str) -> None:
        """Change its metadata, as a copy gets the proof of its bytes."""

    def delete(self, name: str) -> None:
        """Remove it."""

    def begin_parts(self, name: str) -> bool:
        """Begin and abort an upload in parts; False where the server has none."""


class TopicProbe(Protocol):
    """One Pub/Sub topic."""

    topic: str
    conn_id: str

    def granted(self, permissions: Sequence[str]) -> Sequence[str] | None:
        """Those of the permissions that we have; None where the server does not tell."""

    def exists(self) -> bool | None:
        """None when we may not know."""
