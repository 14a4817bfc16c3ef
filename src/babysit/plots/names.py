"""Names that came from elsewhere (layers, classes, commands), made safe and short enough to draw or print."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

# Control, format (bidirectional overrides, zero width), surrogate and unassigned characters: none of them has a
# shape of its own, and in a terminal or a page they can move, hide or re-order what stands around them.
_SHAPELESS = ("Cc", "Cf", "Cs", "Co", "Cn")


def clean(text: str) -> str:
    """The text with line breaks as blanks and every character without a shape as a replacement mark."""
    if text.isascii() and text.isprintable():
        return text
    blanks = " ".join(text.split()) if any(mark in text for mark in "\n\r\t\v\f") else text
    return "".join("\ufffd" if unicodedata.category(mark) in _SHAPELESS else mark for mark in blanks)


def short(text: str, limit: int = 40) -> str:
    """The cleaned text, its middle left out when it is longer than `limit` characters."""
    # A name of a megabyte is cut before it is cleaned: only its two ends can be seen anyway.
    text = clean(text if len(text) <= 4 * limit else text[: 2 * limit] + text[-2 * limit :])
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[-end:]}"


def distinct(names: Iterable[str], limit: int = 40) -> tuple[str, ...]:
    """Short names that stay different from each other: twins get a number."""
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    labels = []
    for name in names:
        label = base = short(name, limit) or "(no name)"
        while label in taken:
            seen[base] += 1
            label = f"{base} ({seen[base] + 1})"
        taken.add(label)
        labels.append(label)
    return tuple(labels)


def display_name(name: str) -> str:
    """Return a rule's name as words: lr-too-high as "learning rate too high"."""
    words = ("learning rate" if word == "lr" else word for word in name.split("-"))
    return short(" ".join(words), 80)
