"""The web application that Airflow's API server mounts under /edgehaul: one router for each page."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException

from web import overview_page, run_page
from web.answers import refused


def create_app() -> FastAPI:
    """A new application. Every endpoint asks for a user; those about a DAG also check that the user may read it."""
    app = FastAPI(title="Edgehaul", dependencies=[Depends(get_user)], openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(HTTPException, refused)
    app.include_router(run_page.router)
    app.include_router(overview_page.router)
    return app
