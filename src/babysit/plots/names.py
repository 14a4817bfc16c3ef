"""Sanitizing and shortening of external names (layers, classes, commands) for figures and terminals."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

# Control, format (bidirectional overrides, zero width), surrogate, private-use and unassigned characters: they have no
# glyph, and in a terminal or a page they can move, hide or reorder the surrounding text.
_SHAPELESS = ("Cc", "Cf", "Cs", "Co", "Cn")


def clean(text: str) -> str:
    """Replace line breaks by spaces and every character without a glyph by the replacement character."""
    if text.isascii() and text.isprintable():
        return text
    blanks = " ".join(text.split()) if any(mark in text for mark in "\n\r\t\v\f") else text
    return "".join("\ufffd" if unicodedata.category(mark) in _SHAPELESS else mark for mark in blanks)


def short(text: str, limit: int = 40) -> str:
    """Return the cleaned text, shortened in the middle to at most `limit` characters."""
    # Very long names are cut before they are cleaned: only both ends are visible.
    text = clean(text if len(text) <= 4 * limit else text[: 2 * limit] + text[-2 * limit :])
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[-end:]}"


def distinct(names: Iterable[str], limit: int = 40) -> tuple[str, ...]:
    """Shorten names so that they stay distinct: duplicates get a number."""
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
