"""The tab "Copy" of a DAG run: the page, its sections again while the run lives, and downloads of its records."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import HTMLResponse

from pages.rendering import page
from pages.run_sections import run_sections
from web.access import ReadableRun, RunKey, User
from web.answers import changed, html, sorry
from web.downloads import Unavailable, download
from web.run_actions import with_actions
from web.run_state import run_view

router = APIRouter()
Group = Annotated[str | None, Query(max_length=250)]


@router.get("/run")
def run(key: ReadableRun, user: User, session: SessionDep, group: Group = None) -> HTMLResponse:
    """The page of a run."""
    found = run_view(session, key, group)
    if found is None:
        return sorry(404, _gone(key))
    view = with_actions(*found, user, session)
    source = f"run/sections?{_query(key, found[1].group)}"
    title = f"Copy {key.run_id}"
    return html(lambda nonce: page(run_sections(view), title=title, nonce=nonce, source=source, is_live=view.is_live))


@router.get("/run/sections")
def sections(
    key: ReadableRun, user: User, session: SessionDep, group: Group = None, seen: Annotated[str, Query()] = ""
) -> dict[str, Any]:
    """The sections that changed since the page last asked."""
    found = run_view(session, key, group)
    if found is None:
        raise HTTPException(404, _gone(key))
    view = with_actions(*found, user, session)
    return changed(run_sections(view), seen, is_live=view.is_live)


@router.get("/run/download")
def download_record(key: ReadableRun, session: SessionDep, name: str, group: Group = None) -> Response:
    """One file of the run's records."""
    found = run_view(session, key, group)
    if found is None:
        return sorry(404, _gone(key))
    try:
        return download(found[1], name)
    except Unavailable as error:
        return sorry(error.status, str(error), back=f"../run?{_query(key, found[1].group)}")


def _query(key: RunKey, group: str) -> str:
    return urlencode({"dag_id": key.dag_id, "run_id": key.run_id, "group": group})


def _gone(key: RunKey) -> str:
    return f"There is no run {key.run_id} of the DAG {key.dag_id}: it was deleted, or its name is misspelled."
