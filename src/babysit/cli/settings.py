"""Settings for all commands; the command line overrides the environment, which overrides the settings file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from babysit.records.errors import UserError
from babysit.records.finding import Severity
from babysit.records.reading import reading, require_file

MOST_BYTES: Final = 10_000_000  # maximum size of a settings file
PREFIX: Final = "BABYSIT_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Fields of `[tool.babysit]`, with defaults."""

    select: tuple[str, ...] = ()  # codes, prefixes of codes or names of rules; empty for all
    ignore: tuple[str, ...] = ()
    limits: dict[str, dict[str, float]] = {}  # rule -> limit -> value
    overhead: float = 0.01  # maximum fraction of step time for monitoring
    store: str = ""  # folder, or a database URL; "" is ./babysit_runs
    max_run_size: float = 64.0  # MB for curves and layer metrics of a run; 0 = unlimited
    fail_on: Severity = Severity.WARNING  # minimum severity for exit code 1
    threads: int = 1  # torch threads, for `run`, `fit`, `check` and `search`


def load_settings(folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Load the settings of a folder (default: the working directory) and the environment.

    `babysit.toml` takes precedence over `[tool.babysit]` of `pyproject.toml`. Raises UserError for invalid settings.
    """
    words = os.environ if environment is None else environment
    values, where = _from_file(folder or Path.cwd())
    settings = _convert(values, where=where)
    for name in Settings.__struct_encode_fields__:
        variable = PREFIX + name.replace("-", "_").upper()
        if words.get(variable, "") and name != "limits":
            changed = _convert({name: _from_word(name, words[variable])}, where=f"the environment variable {variable}")
            settings = msgspec.structs.replace(settings, **{(field := name.replace("-", "_")): getattr(changed, field)})
    return settings


def _from_file(folder: Path) -> tuple[dict[str, Any], str]:
    own, project = folder / "babysit.toml", folder / "pyproject.toml"
    if own.is_file():
        return _read(own), own.name
    if project.is_file():
        where = "[tool.babysit] of pyproject.toml"
        return _table(_table(_read(project), "tool", where), "babysit", where), where
    return {}, ""


def _table(values: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    found = values.get(name, {})
    if not isinstance(found, dict):
        raise UserError(f"`{name}` is {found!r:.60}, not a table", where=where, do="Make it a table of settings")
    return found


def _read(path: Path) -> dict[str, Any]:
    with reading("a settings file", path):
        require_file(path, most_bytes=MOST_BYTES)
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as problem:
            raise UserError(f"{path.name} is not valid TOML: {problem}", do="Fix that line") from problem


def _from_word(name: str, word: str) -> Any:
    if name in ("select", "ignore"):
        return split_words((word,))
    return word


def _convert(values: Mapping[str, Any], *, where: str) -> Settings:
    known = Settings.__struct_encode_fields__
    plain = {key.replace("_", "-"): value for key, value in values.items()}  # fail_on and fail-on are equivalent
    for key in plain.keys() - set(known):
        near = get_close_matches(key, known, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known settings: {', '.join(known)}"
        raise UserError(f"there is no setting `{key}`", where=where, do=hint)
    try:
        settings = msgspec.convert(plain, Settings, strict=False)
    except msgspec.ValidationError as problem:
        raise UserError(f"a setting has a value of the wrong type: {problem}", where=where) from problem
    if not 0 < settings.overhead < 1:
        raise UserError(
            f"overhead is {settings.overhead:g}", where=where, do="Use a fraction between 0 and 1, such as 0.01 for 1 %"
        )
    if not settings.max_run_size >= 0:
        raise UserError(
            f"max-run-size is {settings.max_run_size:g}",
            where=where,
            do="Use a size in MB such as 64, or 0 for unlimited",
        )
    if settings.threads < 1:
        raise UserError(f"threads is {settings.threads}", where=where, do="Use 1 or more")
    return settings


def split_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Split words at commas: `("O201,I3", "F9")` gives three."""
    return tuple(part.strip() for word in words for part in word.split(",") if part.strip())
