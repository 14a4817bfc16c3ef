"""What is secret in a command line, a setting or an address is left out before it becomes part of a record.

Three signs tell a secret: the name before it (`--api-key VALUE`, `DB_PASSWORD=VALUE`), its place in an address
(`postgresql://user:VALUE@host`), and its own shape (the prefixes by which services mark their tokens). A bare word on
a command line has none of these, so a secret given as one is kept.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

Value = float | int | str | bool

MASK: Final = "***"  # as SQLAlchemy hides a password

_SECRET: Final = r"(?:passwd|password|passphrase|pwd|secret|credential|token|key|auth)"
# These words stand in names of other things, too (`--num-tokens 128`, `--key-dim 64`): where they are not the last
# word of the name, a plain number is kept.
_WEAK: Final = frozenset({"key", "token", "auth"})
_STRONG: Final = re.compile("passwd|password|passphrase|pwd|secret|credential")
_NAMED: Final = re.compile(_SECRET, re.IGNORECASE)
_PLAIN: Final = re.compile(r"[-+]?[\d.][\d.eE+\-,:x]*|true|false|none|yes|no|", re.IGNORECASE)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# name=value, "name": value and ?name=value, wherever they stand in a text.
_ASSIGNED: Final = re.compile(
    rf"""(?P<head>(?P<name>[\w.\-/]*{_SECRET}[\w.\-]*)(?P<quote>["']?)\]?\s*(?:=|:(?!//))\s*)"""
    r"""(?P<value>\"[^\"]*(?:\"|$)|'[^']*(?:'|$)|[^\s&;,"'}\])]+)""",
    re.IGNORECASE,
)
_OPTION: Final = re.compile(
    rf"""(?P<head>(?<!\S)-{{1,2}}(?P<name>[\w.\-]*{_SECRET}[\w.\-]*)\s+)(?P<value>"[^"]*"|'[^']*'|[^\s-]\S*)""",
    re.IGNORECASE,
)
# In an address everything between the first colon behind the user's name and the last @ is the password.
_ADDRESS: Final = re.compile(r"(?P<head>[a-z0-9+.\-]*://[^\s:/@\"'<>]*:)(?P<value>[^\s\"'<>]*)(?=@)", re.IGNORECASE)
_BEARER: Final = re.compile(r"(?P<head>\b(?:bearer|basic)\s+)(?P<value>[\w.~+/=\-]{8,})", re.IGNORECASE)
# Prefixes that services give their tokens so that scanners find them: OpenAI, Hugging Face, GitHub, AWS, Slack,
# GitLab, Google, and JSON Web Tokens (RFC 7519: two Base64 objects).
_SHAPED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[\w\-]{16,}|hf_\w{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|"
    r"xox[abeprs]-[\w\-]{10,}|glpat-[\w\-]{16,}|AIza[\w\-]{30,}|eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]+)"
)


def without_secrets(text: str) -> str:
    """The text with a mask in place of every secret that one of the three signs tells."""
    text = redact_addresses(text)
    for pattern in (_ASSIGNED, _OPTION):
        text = pattern.sub(_masked, text)
    return text


def redact_addresses(text: str) -> str:
    """The text without passwords of addresses and tokens of known shapes: for words of others, such as messages."""
    text = _ADDRESS.sub(rf"\g<head>{MASK}", text)
    return _SHAPED.sub(MASK, _BEARER.sub(rf"\g<head>{MASK}", text))


def command_of(words: Sequence[str]) -> str:
    """A command line as one text that a shell would take apart again, without its secrets."""
    return shlex.join(_hidden(words))


def value_without_secrets(name: str, value: Value) -> Value:
    """A setting: masked as a whole when its name tells that it is secret, else without the secrets in its text."""
    if _is_secret(name, str(value)):
        return MASK
    return without_secrets(value) if isinstance(value, str) else value


def command_without_secrets(command: str) -> str:
    """A command that was kept as text; it stays as it is, quotes included, where nothing in it is secret."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quote without its partner
        return without_secrets(command)
    hidden = _hidden(words)
    return without_secrets(command if hidden == words else shlex.join(hidden))


def _hidden(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    name = ""  # of the option before, whose value this word is
    for word in words:
        if name and _is_secret(name, word):
            found.append(MASK)
            name = ""
            continue
        option, assigned, value = word.partition("=")
        if assigned and _NAMED.search(option) and "://" not in option and not re.search(r"\s", option):
            found.append(f"{option}={MASK}" if _is_secret(option, value) else without_secrets(word))
        else:
            found.append(_word_without_secrets(word))
        name = word if word.startswith("-") and not assigned and _NAMED.search(word) else ""
    return found


def _word_without_secrets(word: str) -> str:
    """One word of a command line; an address may hold any sign in its password, since the shell took it as one word."""
    address = re.fullmatch(r"([^\s]*?[a-z0-9+.\-]*://[^\s:/@]*:)(.*)(@[^@]*)", word, re.IGNORECASE | re.DOTALL)
    return without_secrets(f"{address[1]}{MASK}{address[3]}" if address else word)


def _is_secret(name: str, value: str) -> bool:
    if not _NAMED.search(name):
        return False
    if _STRONG.search(name.lower()) or not _PLAIN.fullmatch(value):
        return True
    last = (_WORDS.findall(name) or [""])[-1].lower()
    return any(last.endswith(weak) for weak in _WEAK) and value.lower() not in (
        "",
        "true",
        "false",
        "none",
        "yes",
        "no",
    )


def _masked(found: re.Match[str]) -> str:
    value = found["value"]
    plain = value.strip("\"'")
    if plain == MASK or not _is_secret(found["name"], plain):
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found['head']}{quote}{MASK}{quote}"
