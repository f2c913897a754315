"""A DAG for each valid route of config/routes.yaml. configured_routes_errors.py reports the problems of the others."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import get_parsing_context

from routes.route_dag import route_dag
from routes.route_file import read_routes

asked_for = get_parsing_context().dag_id  # a task needs its own DAG only

for route in read_routes(Path(__file__).resolve().parents[1] / "config" / "routes.yaml").routes:
    if asked_for in (None, route.dag_id):
        globals()[route.dag_id] = route_dag(route)
