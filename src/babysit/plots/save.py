"""Export of figures as PNG or SVG files, without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from babysit.plots.theme import Figure
from babysit.records.errors import UserError

# Exported figures have an opaque background; the text color matches it.
_LIGHT = ("#ffffff", "#1f2328")
_DARK = ("#14161a", "#e6e6e6")
_WIDTH_PIXELS = 900


def save(figure: Figure, path: Path | str, *, title: str = "", dark: bool = False, scale: float = 2.0) -> Path:
    """Write the figure as .png or .svg, by the suffix of `path`; `scale` is the PNG's pixels per unit."""
    path = Path(path)
    vector = svg(figure, title=title, dark=dark)
    if path.suffix not in (".png", ".svg"):
        raise UserError(f"figures are written as .png or .svg, not as {path.suffix or 'a file without suffix'!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            path.write_bytes(vl_convert.svg_to_png(vector, scale=scale))
        else:
            path.write_text(vector, encoding="utf-8")
    except OSError as problem:
        raise UserError(f"the figure cannot be written: {problem.strerror}", where=str(path)) from problem
    return path


def svg(figure: Figure, *, title: str = "", dark: bool = False) -> str:
    """Render the figure as SVG text, 900 units wide."""
    specification = plain(figure)
    background, ink = _DARK if dark else _LIGHT
    specification |= {"width": _WIDTH_PIXELS, "background": background}
    if title:
        specification["title"] = title
    drawn: str = vl_convert.vegalite_to_svg(json.dumps(specification), vl_version=version(), allowed_base_urls=[])
    return drawn.replace("currentColor", ink)


def plain(figure: Figure) -> dict[str, Any]:
    """Return the figure's Vega-Lite specification with inline data."""
    specification: dict[str, Any] = figure.to_dict(validate=False)  # tests validate every figure against the schema
    specification.pop("usermeta", None)
    return specification


def version() -> str:
    """Return the Vega-Lite version of the figures as vl-convert names it: 6.1."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
