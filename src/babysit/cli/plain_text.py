"""Text that others wrote, made safe to show: nothing in it moves the cursor, colours the screen or turns it round."""

from __future__ import annotations

import re
from typing import Final

# ECMA-48's control sequences as a whole, then C0 and C1 controls but for line feed and tab, then Unicode's directional
# controls (https://www.unicode.org/reports/tr9/, https://trojansource.codes/).
_HARMFUL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e"
    r"\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text without terminal sequences and control characters; lines stay lines."""
    return _HARMFUL.sub("", text)


def on_one_line(text: str, *, longest: int) -> str:
    """The visible text on one line, cut with an ellipsis where it is longer."""
    line = " ".join(visible(text[: 20 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
