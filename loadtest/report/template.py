"""How are words set into a page? One environment for all pages, and one style sheet inside each."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATES = "templates"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("loadtest.report", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flags"] = unbroken_flags
    environment.filters["sentence"] = sentence
    return environment


def fill(template: str, **context: Any) -> str:
    """A page that extends ``base.html.j2``, with the style sheet in it. The same context gives the same bytes."""
    environment = _environment()
    css = environment.get_template("page.css").render()
    return environment.get_template(template).render(css=css, **context)


def unbroken_flags(text: str) -> Markup:
    """A browser may break a line after any hyphen: keep ``--processes 2`` in one piece."""
    return Markup(
        re.sub(r"(?<!\w)(--?[a-z][\w-]*(?: \d+)?)", r'<span class="flag">\1</span>', str(escape(text)))
    )


def sentence(text: str) -> str:
    """A remark as a sentence: with a capital, and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
