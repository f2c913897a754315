"""Renders templates: every value is escaped, and every page is one file with its own style and script."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2s
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pages import numbers

HERE = Path(__file__).resolve().parent
EVERY_S = 2
"""How often a page asks for what has changed while a run is under way."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(numbers.FILTERS)
    return environment


@cache
def static(name: str) -> Markup:
    """The text of a file in the folder static."""
    return Markup((HERE / "static" / name).read_text())  # noqa: S704 - files of the project


def render(template: str, **values: Any) -> str:
    """The HTML of a template. Thread-safe."""
    return _environment().get_template(template).render(**values)


def digest(html: str) -> str:
    """A short text that differs where two sections do."""
    return blake2s(html.encode(), digest_size=4).hexdigest()


def page(
    sections: Mapping[str, str],
    *,
    title: str,
    nonce: str,
    source: str = "",
    is_live: bool = False,
    every_s: float = EVERY_S,
) -> str:
    """A page of these sections, by their ids, which asks for new ones while it is live (static/page.js).

    :param nonce: that of the answer's Content-Security-Policy.
    :param source: the address that answers with new sections (`web.answers.changed`), relative to the page's own.
    :param every_s: how long after this answer it asks.
    """
    return render(
        "page.html",
        sections={
            name: (Markup(html), digest(html))  # noqa: S704 - made by `render`
            for name, html in sections.items()
        },
        every_s=every_s,
        title=title,
        nonce=nonce,
        source=source,
        is_live=is_live,
        style=static("page.css"),
        script=static("page.js"),
    )
