"""Answers of the endpoints: HTML that loads nothing from elsewhere, and is shown inside Airflow's UI only."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from pages.rendering import EVERY_S, digest, page, render

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

NOT_SIGNED_IN = "You are not signed in to Airflow, or no longer: sign in, then open this page again."


def html(render: Callable[[str], str], *, status: int = 200) -> HTMLResponse:
    """The page that `render` makes with a nonce, which its own style and script carry; nothing else may run or load."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    return HTMLResponse(render(nonce), status, {**HEADERS, "Content-Security-Policy": policy})


def changed(sections: Mapping[str, str], seen: str, *, is_live: bool, every_s: float = EVERY_S) -> dict[str, Any]:
    """The sections that the page does not show yet, and the ids of all, in their order.

    :param seen: those that it shows, as `id.digest,id.digest`.
    :param is_live: whether the page is to ask again, `every_s` seconds later.
    """
    shown = set(seen.split(","))
    digests = {name: digest(html) for name, html in sections.items()}
    fresh = {
        name: {"html": html, "digest": digests[name]}
        for name, html in sections.items()
        if f"{name}.{digests[name]}" not in shown
    }
    return {"sections": fresh, "order": list(sections), "live": is_live, "every_s": every_s}


def sorry(status: int, sentence: str, back: str = "") -> HTMLResponse:
    """A page of one sentence, with a link back if there is where to go."""
    section = render("sorry.html", sentence=sentence, back=back)
    return html(lambda nonce: page({"heading": section}, title="Edgehaul", nonce=nonce), status=status)


def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that is refused: a page for a person, JSON for the script."""
    assert isinstance(error, HTTPException)
    sentence = NOT_SIGNED_IN if error.status_code == 401 else str(error.detail)
    if "text/html" in request.headers.get("accept", ""):
        return sorry(error.status_code, sentence)
    return JSONResponse({"detail": sentence}, error.status_code, error.headers)
