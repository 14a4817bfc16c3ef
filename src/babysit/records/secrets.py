"""What is secret in a command line, a setting or a message is left out before it becomes part of a record.

Three signs tell a secret: the name before it (`--api-key VALUE`, `DB_PASSWORD=VALUE`, `Authorization: Token VALUE`),
its place in an address (`postgresql://user:VALUE@host`), and its own shape (the prefixes by which services mark their
tokens). A bare word on a command line has none of these, so a secret given as one is kept.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

Value = float | int | str | bool

MASK: Final = "***"  # as SQLAlchemy hides a password

# Where a value stands, the clearest place first: ?name=value, --name value, name=value, name: value, name value. A name
# hides every value up to the place that `_level` gives for it, and farther out only values that look random.
_QUERY, _OPTION, _ASSIGNED, _PROSE, _BESIDE = 1, 2, 3, 4, 5

_STRONG: Final = re.compile("passwd|password|passphrase|secret|credential")
_NOUN: Final = re.compile(
    r"(?P<before>[a-z]*?)(?:(?P<token>token)|(?P<key>key|signature|sig)|(?P<step>pass)|"
    r"pwd?|pswd|cred|o?auth|authorization|dsn|webhook)(?P<plural>s?)"
)
_QUALIFIED: Final = frozenset(
    ("api", "auth", "access", "secret", "private", "account", "master", "service", "license", "encryption", "ssh")
)
# Before these nouns they make a count, an entry of a vocabulary or a part of a training step.
_ORDINARY: Final = frozenset(
    ("max", "min", "num", "n", "total", "per", "pad", "eos", "bos", "unk", "cls", "sep", "mask", "special", "start",
     "end", "forward", "backward", "one", "two", "single")
)  # fmt: skip
_PLACES: Final = frozenset(("file", "path", "dir", "folder", "name", "length", "len", "size", "dim", "count", "id"))
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_UNTOLD: Final = frozenset(("", MASK, "true", "false", "none", "null", "yes", "no"))
_NUMBERS: Final = re.compile(r"[-+\d.,:x\s\[\]()eE]*")
_RANDOM: Final = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/]{16,}={0,2}")
_USER: Final = re.compile(r"(?P<user>[^:/\s]+:)(?!//)(?!\d{1,5}$)\S+")  # `--user NAME:PASSWORD`, not a port

_NAME: Final = re.compile(
    r"(?<![\w.\-])(?P<dash>-{0,2})(?=[\w.\-]*(?:passw|pass|secret|cred|token|key|sig|pw|pswd|auth|dsn|webhook|user)|u\s)"
    r"(?P<name>[\w.\-]++)(?P<quote>\\*[\"'])?(?P<sep>\]?\s{0,9}(?:==?|:(?!//))\s{0,9}|,?\s{1,9})",
    re.IGNORECASE,
)
_QUOTED: Final = r"""\*{3}(?![^\s&;,"'}\])])|\\+"[^"]*"?|"(?:[^"\\]|\\.)*"?|\\*'[^']*'?|[\[({][^\])}]*[\])}]?"""
_BARE: Final = r"""(?:[^\s&;,"'}\])]|[&;,](?!\s|$|["'}\])]|[\w.\-]+=))+"""
_SCHEME: Final = r"(?:(?:bearer|basic|token|api-?key|key|digest|negotiate)\s+)?"
_VALUE: Final = re.compile(f"{_QUOTED}|{_SCHEME}{_BARE}", re.IGNORECASE | re.DOTALL)
_HEADER: Final = re.compile(rf"{_QUOTED}|{_BARE}(?:[ ]+{_BARE})?", re.DOTALL)  # any scheme, or none
_MORE: Final = re.compile(r"""(?:\s+(?!-)(?:"[^"]*"?|'[^']*'?|[^\s"']+))*""")
_PROBED: Final = 256  # characters of a value that tell whether it is secret: a text takes linear time

_ADDRESS: Final = re.compile(r"(?P<web>https?)?://(?P<user>[^\s:/@?#\"'<>]*)(?P<rest>(?:(?!://)[^\s\"'<>])*)", re.I)
_HOOK: Final = re.compile(
    r"(https?://(?:[^\s/]{0,255}hook[^\s/]{0,255}/|[^\s/]{1,255}/(?:[\w\-]{1,99}/){0,3}webhooks?/))[^\s\"'<>]+", re.I
)
_BEARER: Final = re.compile(r"(\b(?:bearer|basic)\s+)(?=[\w.~+/\-]*[\d=])[\w.~+/=\-]{8,}", re.IGNORECASE)
# Prefixes that services give their tokens so that scanners find them: OpenAI, Stripe, Hugging Face, npm, GitHub, AWS,
# Slack, GitLab, Google; JSON Web Tokens (RFC 7519: two Base64 objects); and private keys (RFC 7468).
_SHAPED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-(?=[\w\-]{0,60}\d)[\w\-]{16,}|[spr]k_(?:live|test)_\w{10,}|(?:hf|npm)_[A-Za-z0-9]{20,}|"
    r"gh[pousr]_\w{20,}|github_pat_\w{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeprs]-[\w\-]{10,}|glpat-[\w\-]{16,}|"
    r"AIza[\w\-]{30,}|(?<![_\-])eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]+)|"
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:(?!-----END).)*(?:-----END [A-Z ]{0,30}-----)?",
    re.DOTALL,
)


class WithoutSecrets(msgspec.Struct, frozen=True):
    """A record whose texts hold no secret from the moment it is made, read or changed."""

    TEXTS: ClassVar[tuple[str, ...]] = ()  # fields with words of others: messages, addresses, settings

    def __post_init__(self) -> None:
        for field in self.TEXTS:
            value = getattr(self, field)
            hidden = command_without_secrets(value) if field == "command" else _texts_without_secrets(value)
            if hidden != value:
                msgspec.structs.force_setattr(self, field, hidden)


def without_secrets(text: str) -> str:
    """Return the text with a mask in place of every secret that one of the three signs tells."""
    text = redact_addresses(text)
    made, at = [], 0
    while found := _NAME.search(text, at):
        start, end, shown = _behind(text, found)
        made += [text[at:start], shown]
        at = end
    return "".join((*made, text[at:]))


def redact_addresses(text: str) -> str:
    """Return the text without secrets in addresses and tokens of known shapes: such as messages of libraries."""
    text = _HOOK.sub(rf"\1{MASK}", _ADDRESS.sub(_address, text))
    return _SHAPED.sub(MASK, _BEARER.sub(rf"\1{MASK}", text))


def command_of(words: Sequence[str]) -> str:
    """Return a command line as one text that a shell would take apart again, without its secrets."""
    return shlex.join(_hidden(words))


def value_without_secrets(name: str, value: Value) -> Value:
    """Mask a setting as a whole if its name marks it as secret, else without the secrets in its text."""
    hidden = _masked(name, str(value), _ASSIGNED)
    return hidden if hidden != str(value) else _texts_without_secrets(value)


def command_without_secrets(command: str) -> str:
    """Mask a command that was stored as text; it stays as it is, quotes included, where nothing in it is secret."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quote without its partner
        return without_secrets(command)
    hidden = _hidden(words)
    return without_secrets(command if hidden == words else shlex.join(hidden))


def _texts_without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: value_without_secrets(name, item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_texts_without_secrets, value))
    return without_secrets(value) if isinstance(value, str) else value


def _hidden(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    name = ""  # of the option before, whose value this word is
    for word in words:
        option, assigned, value = word.partition("=")
        if name and not word.startswith("-") and (hidden := _masked(name, word, _OPTION)) != word:
            found.append(hidden)
            name = name if _is_plural(name) else ""
            continue
        if assigned and not re.search(r"\s|://", option) and (hidden := _masked(option, value, _ASSIGNED)) != value:
            found.append(f"{option}={hidden}")
        else:
            found.append(_word_without_secrets(word))
        name = word if word.startswith("-") and not assigned else ""
    return found


def _word_without_secrets(word: str) -> str:
    """One word of a command line, which a shell took as one: addresses with any sign, 'NAME VALUE' in quotes."""
    address = re.fullmatch(r"([^\s:]*://[^\s:/@]*:)(.*)(@[^@]*)", word, re.DOTALL)
    parts = without_secrets(f"{address[1]}{MASK}{address[3]}" if address else word).split(" ")
    if len(parts) % 2 == 0 and all(re.fullmatch(r"[\w.\-]+", part) for part in parts[::2]):
        parts[1::2] = map(_masked, parts[::2], parts[1::2], [_ASSIGNED] * len(parts))
    return " ".join(parts)


def _behind(text: str, found: re.Match[str]) -> tuple[int, int, str]:
    """Where the value behind a name begins and ends, and what is shown for it; no characters where none is secret."""
    start, name, before = found.end(), found["dash"] + found["name"], text[found.start() - 1 : found.start()]
    if not found["sep"].strip(", \t\r\n"):  # --name value, or '--name', 'value' in a list of words
        option = found["dash"] and bool(found["quote"]) == ("," in found["sep"]) and text[start : start + 1] != "-"
        where = _OPTION if option else _BESIDE
    elif before and before in "?&":
        where = _QUERY
    else:
        where = _PROSE if ":" in found["sep"] and not found["quote"] else _ASSIGNED
    pattern = _HEADER if name.lower().endswith("authorization") else _VALUE
    probe = pattern.match(text, start, start + _PROBED) if _level(name) or _is_user(name) else None
    plain = probe[0].strip("\\\"'") if probe else ""
    masked = _masked(name, plain, where)
    value = pattern.match(text, start) if masked != plain else None
    if value is None:
        return found.end("name"), found.end("name"), ""
    end, quote = value.end(), re.match(r"(?:\\*[\"'])?", value[0])[0]  # type: ignore[index]
    if where == _OPTION and _is_plural(name):
        end = _MORE.match(text, end).end()  # type: ignore[union-attr]
    elif where in (_ASSIGNED, _PROSE) and before in ("'", '"') and not found["quote"] and not quote:
        closing = text.find(before, start)  # 'NAME=VALUE', quoted as a whole
        end = closing if closing >= 0 else len(text)
    return start, end, f"{quote}{masked}{quote}"


def _masked(name: str, value: str, where: int) -> str:
    """Return the value, or its mask if it is secret."""
    level = _level(name)
    if value.lower() in _UNTOLD:
        return value
    marked = level >= where and (level == _PROSE or not _NUMBERS.fullmatch(value))
    if marked or (level and _RANDOM.fullmatch(value)):
        return MASK
    login = _USER.fullmatch(value) if where < _BESIDE and _is_user(name) else None
    return f"{login['user']}{MASK}" if login else value


def _level(name: str) -> int:
    """How far out a name still says that its value is secret; 0 for a name that says nothing of the kind."""
    words = [word.lower() for word in _WORDS.findall(name)] or [""]
    if any(map(_STRONG.search, words)):
        return 0 if words[-1] in _PLACES else _PROSE
    noun = _NOUN.fullmatch(words[-1])
    before = noun["before"] or (words[-2] if len(words) > 1 else "") if noun else ""
    if noun is None or before in _ORDINARY or (noun["before"] and not noun["token"] and before not in _QUALIFIED):
        return 0
    if before in _QUALIFIED:
        return _PROSE
    if noun["key"]:
        return _QUERY if before or noun["plural"] else _OPTION
    if noun["step"]:
        return _PROSE if before else _ASSIGNED
    return _ASSIGNED if noun["token"] and noun["plural"] else _PROSE


def _is_plural(name: str) -> bool:
    return name.lower().endswith("s") and not name.lower().endswith("pass")


def _is_user(name: str) -> bool:
    return name == "-u" or name.lower().endswith("user")


def _address(found: re.Match[str]) -> str:
    """Return an address without its password, or without the token that stands for user and password."""
    head, user, rest = f"{found['web'] or ''}://", found["user"], found["rest"]
    if rest.startswith(":") and "@" in rest:
        return f"{head}{user}:{MASK}@{rest.rpartition('@')[2]}"
    return f"{head}{MASK}{rest}" if rest.startswith("@") and user and found["web"] else found[0]
