"""Sanitizing of untrusted text for the terminal: no control sequences, no directional controls."""

from __future__ import annotations

import re
from typing import Final

# ECMA-48 control sequences, then C0 and C1 controls except line feed and tab, then Unicode's directional
# controls (https://www.unicode.org/reports/tr9/, https://trojansource.codes/).
_HARMFUL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e"
    r"\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Remove terminal sequences and control characters, keeping line breaks."""
    return _HARMFUL.sub("", text)


def on_one_line(text: str, *, longest: int) -> str:
    """Return the visible text on one line, cut with an ellipsis at `longest` characters."""
    line = " ".join(visible(text[: 20 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
