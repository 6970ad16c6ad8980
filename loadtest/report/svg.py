"""How does a matplotlib figure become an SVG that lives in a page?

Colours are drawn as sentinels and replaced by CSS variables, so that one picture serves light and dark; text
keeps no font of its own, so that the page's stylesheet sets it; ids are prefixed, so that several pictures
can stand in one document; nothing depends on the day, so that a run gives the same bytes every time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

VARIABLES = (
    "ink", "muted", "line", "surface", "warn", "bad",
    "websocket", "interval-polling", "long-polling", "upgrade", "other-1", "other-2", "other-3",
)  # fmt: skip
"""CSS variables a chart may use as colours."""

_SENTINELS = {name: f"#0102{index:02x}" for index, name in enumerate(VARIABLES, 1)}

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "loadtest",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.unicode_minus": False,
    "axes.linewidth": 1,
    "path.simplify": True,
}


def colour(variable: str) -> str:
    """What to draw with so that the page shows the CSS variable of this name."""
    return _SENTINELS[variable]


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many units (a unit is a CSS pixel at full size)."""
    with mpl.rc_context(_RC):
        yield Figure(figsize=(width / 72, height / 72), dpi=72)


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def to_svg(figure: Figure, name: str) -> str:
    """The figure as inline SVG; ``name`` must be unique on the page."""
    with mpl.rc_context(_RC):
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    # Hundredths of a pixel are enough, and half of the bytes of a curve.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"-?\d+\.\d{3,}", _hundredths, path[0]), svg)
    svg = re.sub(r"font(-size|-family)?: [^;\"]*;?\s*", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|height="[^"]*pt"|width="[^"]*pt"', r"\1", svg)
    svg = re.sub(r'\sid="', f' id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    # Decoration to a screen reader: the figure around it says in words what it shows.
    svg = svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    for variable, sentinel in _SENTINELS.items():
        svg = svg.replace(sentinel, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", svg).strip()
