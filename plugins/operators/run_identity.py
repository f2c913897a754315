"""What one run is called in Pub/Sub and under the state prefix."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Self

from airflow.sdk.exceptions import AirflowFailException

from operators.xcom_record import XComRecord
from transfer.records.layout import STATE_PREFIX

OPEN_TASK = "open_run"
"""The task that opens a run, where nobody says otherwise."""
MAX_SLUG_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class RunIdentity(XComRecord):
    """One opening of one copy of a DAG run.

    A DAG may hold several copies, in task groups: the id of the task that opens belongs to every name.
    """

    run_id: str
    """Airflow's."""
    transfer_id: str
    """Unique, also when the run is cleared and opened again: messages and records of an earlier opening never count."""
    subscription: str
    error_subscription: str
    opened_at_s: float
    state_bucket: str = ""
    """Where its records are; empty for the destination bucket."""
    open_task: str = OPEN_TASK

    @classmethod
    def new(
        cls,
        *,
        dag_id: str,
        run_id: str,
        opening: int,
        now_s: float,
        state_bucket: str = "",
        open_task: str = OPEN_TASK,
    ) -> RunIdentity:
        """The identity of the `opening`-th opening (Airflow's try number) of a DAG run."""
        base = run_name(dag_id, run_id, open_task)
        return cls(
            run_id=run_id,
            transfer_id=f"{base}-{opening}-{secrets.token_hex(3)}",
            subscription=work_subscription(base, opening),
            error_subscription=error_subscription(base, opening),
            opened_at_s=now_s,
            state_bucket=state_bucket,
            open_task=open_task,
        )

    @classmethod
    def of(cls, given: object, sender: str) -> Self:
        """The run that the task `sender` has opened. Raises AirflowFailException when it has opened none."""
        if not given:
            raise AirflowFailException(
                f"{sender} has opened no run: it was marked manually, or cleared alone; clear it with what is downstream of it"
            )
        return super().of(given, sender)

    @property
    def opening(self) -> int:
        """Which opening it is, from 1."""
        return int(self.transfer_id.rsplit("-", 2)[1])

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


def copy_name(dag_id: str, open_task: str = OPEN_TASK) -> str:
    """A name for a copy of a DAG, the same in all its runs, that no other has."""
    return f"{_slug(dag_id)}-{_digest(dag_id, open_task)}"


def run_name(dag_id: str, run_id: str, open_task: str = OPEN_TASK) -> str:
    """A name that Pub/Sub and Cloud Storage take, and that no other copy of any DAG run has: at most 130 characters."""
    return f"{_slug(dag_id)}-{_slug(run_id)}-{_digest(dag_id, open_task, run_id)}"


def work_subscription(base: str, opening: int) -> str:
    """The subscription that the workers of an opening drain."""
    return f"edgehaul-{base}-{opening}"


def error_subscription(base: str, opening: int) -> str:
    """The subscription that the reconciliation of an opening drains."""
    return f"edgehaul-{base}-{opening}-errors"


def _digest(*ids: str) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:8]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:MAX_SLUG_CHARACTERS]
