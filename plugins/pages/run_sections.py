"""The sections of the page of a run, as HTML."""

from __future__ import annotations

from pages.rendering import render
from pages.run_view import RunView


def run_sections(view: RunView) -> dict[str, str]:
    """The HTML of each section by its id, in the order of the page. A section without content is empty."""
    return {"heading": render("run/heading.html", view=view)}
