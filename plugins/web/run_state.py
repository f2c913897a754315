"""The state of a run in Airflow's metadata database, as a `RunView`."""

from __future__ import annotations

from sqlalchemy.orm import Session

from pages.run_view import RunView
from web.access import RunKey


def run_view(session: Session, key: RunKey) -> RunView:
    """What the database knows about a run."""
    return RunView(dag_id=key.dag_id, run_id=key.run_id)
