"""No DAG: the import error of the routes that are broken. Airflow drops every DAG of a file that raises, so they have one of
their own.
"""

from __future__ import annotations

from pathlib import Path

from routes.route_file import BrokenRoutes, read_routes

problems = read_routes(Path(__file__).resolve().parents[1] / "config" / "routes.yaml").problems
if problems:
    raise BrokenRoutes("\n".join(problems))
