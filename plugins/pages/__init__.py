"""Renders what a person sees of a run: the live page inside Airflow, and the self-contained report.html.

Pure functions from frozen records to HTML. No Airflow, no database, no network.
"""

from __future__ import annotations

from pages.report_page import report_html

__all__ = ["report_html"]
