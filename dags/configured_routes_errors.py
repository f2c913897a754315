"""No DAG, but the import error for broken routes. Airflow drops every DAG of a file that raises, so it is separate."""

from __future__ import annotations

from pathlib import Path

from routes.route_file import BrokenRoutes, read_routes

problems = read_routes(Path(__file__).resolve().parents[1] / "config" / "routes.yaml").problems
if problems:
    raise BrokenRoutes("\n".join(problems))
