"""Decides who may see what. Airflow leaves a mounted application open to anyone, so each endpoint depends on a function of
this module: without a valid token it answers 401, and 403 for a DAG that the user may not read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Query, status
from sqlalchemy.orm import Session

from transfer.plain_text import one_line

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest

User = Annotated[BaseUser, Depends(get_user)]
"""The user who asks. Anonymous requests are answered with 401."""
SHOWN = (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
"""What of a DAG the page of a run shows."""


@dataclass(frozen=True, slots=True)
class RunKey:
    """The DAG run that a request asks about, and which its user may read."""

    dag_id: str
    run_id: str


def may(user: BaseUser, method: ResourceMethod, dag_id: str, *entities: DagAccessEntity) -> bool:
    """Whether Airflow's auth manager lets the user do this with all of these parts of a DAG."""
    details, manager = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)), get_auth_manager()
    return all(
        manager.is_authorized_dag(method=method, access_entity=entity, details=details, user=user)
        for entity in entities
    )


def may_read(user: BaseUser, dag_id: str) -> bool:
    """Whether the user may see the runs of a DAG, with their tasks and results."""
    return may(user, "GET", dag_id, *SHOWN)


def readable_dags(user: BaseUser, dag_ids: Collection[str], session: Session) -> frozenset[str]:
    """Those of the DAGs whose runs the user may see. Asks the auth manager once for each DAG, and the database once."""
    teams, manager = DagModel.get_dag_id_to_team_name_mapping(list(dag_ids), session=session), get_auth_manager()

    def asked(dag_id: str) -> list[IsAuthorizedDagRequest]:
        details = DagDetails(id=dag_id, team_name=teams.get(dag_id))
        return [{"method": "GET", "access_entity": entity, "details": details} for entity in SHOWN]

    return frozenset(dag_id for dag_id in dag_ids if manager.batch_is_authorized_dag(asked(dag_id), user=user))


def readable_run(
    user: User,
    dag_id: Annotated[str, Query(min_length=1, max_length=250)],
    run_id: Annotated[str, Query(min_length=1, max_length=250)],
) -> RunKey:
    """The run in the query string. Answers 403 where the user may not read the DAG, whether or not there is such a DAG."""
    if not may_read(user, dag_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"You may not read the runs of the DAG {one_line(dag_id, 250)}.")
    return RunKey(dag_id, run_id)


ReadableRun = Annotated[RunKey, Depends(readable_run)]
