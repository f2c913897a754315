"""Adds the pages to Airflow's UI: the tab "Copy" on each DAG run, and the page "Edgehaul" in the navigation."""

from __future__ import annotations

import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin

URL_PREFIX = "/edgehaul"


def _apps() -> list[dict[str, Any]]:
    """The web application, in the API server only: Airflow loads plugins in every task as well."""
    if "airflow.api_fastapi.app" not in sys.modules:
        return []
    from web.app import create_app

    return [{"app": create_app(), "url_prefix": URL_PREFIX, "name": "Edgehaul"}]


class EdgehaulPlugin(AirflowPlugin):
    """Registered by the entry point `airflow.plugins`."""

    name = "edgehaul"
    # Relative to the UI's <base>, so that they also hold where the API server is under a prefix. Airflow encodes the ids.
    external_views = [  # noqa: RUF012 - Airflow's attribute
        {
            "name": "Copy",
            "href": "edgehaul/run?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "copy",
        },
        {"name": "Edgehaul", "href": "edgehaul/overview", "destination": "nav", "url_route": "edgehaul"},
    ]
    fastapi_apps = _apps()
