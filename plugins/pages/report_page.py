"""report.html: the page of a finished run in one file, for somebody without Airflow."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from markupsafe import Markup

from pages.rendering import render, static
from pages.run_sections import run_sections
from pages.run_view import RunView


def report_html(view: RunView) -> str:
    """The page as one HTML file that loads nothing and runs nothing. Times are in UTC."""
    style = static("page.css")
    return render(
        "report.html",
        sections={name: Markup(html) for name, html in run_sections(view).items()},  # noqa: S704 - made by `render`
        title=f"Copy {view.run_id}",
        view=view,
        style=style,
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
    )
