"""The names of a run in Pub/Sub and among the records."""

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
"""The default id of the task that opens a run."""
MAX_SLUG_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class RunIdentity(XComRecord):
    """One opening of one copy of a DAG run.

    A DAG may hold several copies, in task groups, so the id of the task that opens the run is part of every name.
    """

    run_id: str
    """Airflow's id of the DAG run."""
    transfer_id: str
    """A name that is unique for each opening of the run: messages and records of an earlier opening never count."""
    subscription: str
    error_subscription: str
    opened_at_s: float
    state_bucket: str = ""
    """The bucket of the run's records; empty for the destination bucket."""
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
        """The identity of the `opening`-th opening of a DAG run, which is the number of the attempt of the opening task."""
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
        """The number of the opening, from 1."""
        return int(self.transfer_id.rsplit("-", 2)[1])

    @property
    def name(self) -> str:
        """The name of the folder with its records, the same for all openings of a DAG run."""
        return self.transfer_id.rsplit("-", 2)[0]

    @property
    def state_prefix(self) -> str:
        """The prefix of the run's own records."""
        return f"{STATE_PREFIX}{self.name}/"

    def listing_name(self, attempt: int) -> str:
        """The name of the listing of an attempt of its task, unique among the listings of all openings."""
        return f"{self.transfer_id.removeprefix(self.name + '-')}-{attempt}"


def copy_name(dag_id: str, open_task: str = OPEN_TASK) -> str:
    """A unique name for a copy of a DAG, the same in all its runs."""
    return f"{_slug(dag_id)}-{_digest(dag_id, open_task)}"


def run_name(dag_id: str, run_id: str, open_task: str = OPEN_TASK) -> str:
    """A unique name for a copy of a DAG run, valid in Pub/Sub and Cloud Storage: at most 130 characters."""
    return f"{_slug(dag_id)}-{_slug(run_id)}-{_digest(dag_id, open_task, run_id)}"


def work_subscription(base: str, opening: int) -> str:
    """The name of the subscription that the workers of an opening drain."""
    return f"edgehaul-{base}-{opening}"


def error_subscription(base: str, opening: int) -> str:
    """The name of the subscription that the reconciliation of an opening drains."""
    return f"edgehaul-{base}-{opening}-errors"


def _digest(*ids: str) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:8]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:MAX_SLUG_CHARACTERS]
