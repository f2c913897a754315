"""The tab "Copy" of a DAG run: the page, and its sections again while the run lives."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pages.rendering import page
from pages.run_sections import run_sections
from web.access import ReadableRun
from web.answers import changed, html
from web.run_state import run_view

router = APIRouter()


@router.get("/run")
def run(key: ReadableRun, session: SessionDep) -> HTMLResponse:
    """The page of a run."""
    view = run_view(session, key)
    source = f"run/sections?{urlencode({'dag_id': key.dag_id, 'run_id': key.run_id})}"
    title = f"Copy {key.run_id}"
    return html(lambda nonce: page(run_sections(view), title=title, nonce=nonce, source=source, is_live=view.is_live))


@router.get("/run/sections")
def sections(key: ReadableRun, session: SessionDep, seen: str = "") -> dict[str, Any]:
    """The sections that changed since the page last asked."""
    view = run_view(session, key)
    return changed(run_sections(view), seen, is_live=view.is_live)
