"""The page "Edgehaul" in the navigation: every route with its last runs."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from pages.overview import Overview
from pages.overview_sections import overview_sections
from pages.rendering import EVERY_S, page
from web.access import User
from web.answers import changed, html
from web.history import overview_of

router = APIRouter()
QUIET_EVERY_S = 30
"""How often the page asks while no run is under way: a run that starts is seen that much later."""


@router.get("/overview")
def overview(user: User, session: SessionDep) -> HTMLResponse:
    """The page, with the DAGs that the user may read."""
    shown = overview_of(session, user)
    sections, every_s = overview_sections(shown), _every_s(shown)
    source = "overview/sections"
    return html(
        lambda nonce: page(sections, title="Edgehaul", nonce=nonce, source=source, is_live=True, every_s=every_s)
    )


@router.get("/overview/sections")
def sections(user: User, session: SessionDep, seen: Annotated[str, Query()] = "") -> dict[str, Any]:
    """The sections that changed since the page last asked."""
    shown = overview_of(session, user)
    return changed(overview_sections(shown), seen, is_live=True, every_s=_every_s(shown))


def _every_s(shown: Overview) -> float:
    return EVERY_S if shown.is_live else QUIET_EVERY_S
