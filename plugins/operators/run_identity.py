"""What one run is called in Pub/Sub and under the state prefix."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import asdict, dataclass

MAX_SLUG_CHARACTERS = 60
STATE_PREFIX = ".edgehaul/"
"""Where runs keep their records in the destination bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """One opening of one DAG run. It travels through XCom as a dict."""

    run_id: str
    """Airflow's."""
    transfer_id: str
    """Unique, also when the run is cleared and opened again: messages and records of an earlier opening never count."""
    subscription: str
    error_subscription: str
    opened_at_s: float
    state_bucket: str = ""
    """Where its records are; empty for the destination bucket."""

    @classmethod
    def new(cls, *, dag_id: str, run_id: str, opening: int, now_s: float, state_bucket: str = "") -> RunIdentity:
        """The identity of the `opening`-th opening (Airflow's try number) of a DAG run."""
        base = run_name(dag_id, run_id)
        return cls(
            run_id=run_id,
            transfer_id=f"{base}-{opening}-{secrets.token_hex(3)}",
            subscription=work_subscription(base, opening),
            error_subscription=error_subscription(base, opening),
            opened_at_s=now_s,
            state_bucket=state_bucket,
        )

    @property
    def name(self) -> str:
        """The same for all openings of a DAG run: the folder of its records."""
        return self.transfer_id.rsplit("-", 2)[0]

    @property
    def state_prefix(self) -> str:
        """The run's own records."""
        return f"{STATE_PREFIX}{self.name}/"

    def listing_name(self, attempt: int) -> str:
        """What the listing of an attempt (Airflow's try number) is called; no other listing of any opening is."""
        return f"{self.transfer_id.removeprefix(self.name + '-')}-{attempt}"

    def to_dict(self) -> dict[str, str | float]:
        """As XCom carries it."""
        return asdict(self)


def dag_name(dag_id: str) -> str:
    """A name for the DAG that no other has."""
    return f"{_slug(dag_id)}-{hashlib.sha256(dag_id.encode()).hexdigest()[:8]}"


def run_name(dag_id: str, run_id: str) -> str:
    """A name that Pub/Sub and Cloud Storage take, and that no other DAG run has."""
    digest = hashlib.sha256(f"{dag_id}/{run_id}".encode()).hexdigest()[:8]
    return f"{_slug(dag_id)}-{_slug(run_id)}-{digest}"


def work_subscription(base: str, opening: int) -> str:
    """The subscription that the workers of an opening drain."""
    return f"edgehaul-{base}-{opening}"


def error_subscription(base: str, opening: int) -> str:
    """The subscription that the reconciliation of an opening drains."""
    return f"edgehaul-{base}-{opening}-errors"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:MAX_SLUG_CHARACTERS]
