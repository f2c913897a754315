"""The page "Edgehaul" in the navigation: every route with its last runs."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pages.rendering import page
from web.access import User
from web.answers import html

router = APIRouter()


@router.get("/overview")
def overview(user: User) -> HTMLResponse:
    """The page, with the DAGs that the user may read."""
    return html(lambda nonce: page({}, title="Edgehaul", nonce=nonce))
