"""Options that many commands share, and how they meet the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, final

import msgspec
from cyclopts import Group, Parameter

from babysit.cli.settings import Settings, load_settings, split_words
from babysit.records.finding import Severity
from babysit.records.run import Run

JUDGING = Group("Judging", sort_key=10)
KEEPING = Group("Keeping", sort_key=11)

RunId = Annotated[str, Parameter(help="Its id or the beginning of it, or `latest`.", show_default=False)]
Threads = Annotated[int | None, Parameter(help="Threads of torch [1].")]

Json = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print JSON to standard output, and nothing else."),
]
StoreUrl = Annotated[
    str | None,
    Parameter(name="--store", group=KEEPING, help="Where runs are kept: a folder or a database URL [./babysit_runs]."),
]


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """Which rules judge, and which findings make the exit code 1."""

    select: Annotated[
        tuple[str, ...],
        Parameter(group=JUDGING, negative="", show_default=False, help="Only these rules: codes, prefixes or names."),
    ] = ()
    ignore: Annotated[
        tuple[str, ...], Parameter(group=JUDGING, negative="", show_default=False, help="Not these rules.")
    ] = ()
    fail_on: Annotated[
        Literal["ERROR", "WARNING", "INFO"] | None,
        Parameter(group=JUDGING, help="Mildest finding that makes the exit code 1 [WARNING]."),
    ] = None
    exit_zero: Annotated[
        bool,
        Parameter(group=JUDGING, negative="", show_default=False, help="Exit with 0 even when something was found."),
    ] = False


DEFAULT_JUDGING: Final = RuleOptions()


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Where a new run is kept, and how much of it."""

    store: StoreUrl = None
    max_run_size: Annotated[
        float | None,
        Parameter(group=KEEPING, help="What one run may take before rows are left out; 0 keeps all [64]."),
    ] = None


DEFAULT_KEEPING: Final = StoreOptions()


def settle(
    judging: RuleOptions | None = None, *, store: str | StoreOptions | None = None, threads: int | None = None
) -> Settings:
    """The settings of this call: what the command line says, else the environment, else the file."""
    settings = load_settings()
    said: dict[str, object] = {}
    if judging is not None and judging.select:
        said["select"] = split_words(judging.select)
    if judging is not None and judging.ignore:
        said["ignore"] = split_words(judging.ignore)
    if judging is not None and judging.fail_on:
        said["fail_on"] = Severity(judging.fail_on)
    keeping = store if isinstance(store, StoreOptions) else StoreOptions(store=store)
    if keeping.store:
        said["store"] = keeping.store
    if keeping.max_run_size is not None:
        said["max_run_size"] = keeping.max_run_size
    if threads:
        said["threads"] = threads
    settled = msgspec.structs.replace(settings, **said)
    if judging is not None:
        _require_known_rules(settled)
    return settled


def _require_known_rules(settings: Settings) -> None:
    """A misspelt rule is told before a training that would only be judged at its end."""
    from babysit.rules.selection import check_limits, select_rules

    select_rules(settings.select, settings.ignore)
    check_limits(settings.limits)


def judged(run: Run, settings: Settings) -> Run:
    """Return the run with the findings of the rules that the settings select, and its verdict."""
    from babysit.rules import engine

    return engine.judged(run, select=settings.select, ignore=settings.ignore, limits=settings.limits)


def exit_code(run: Run, settings: Settings, *, exit_zero: bool = False) -> int:
    """0 when nothing was found at or above `fail_on`, else 1."""
    if exit_zero:
        return 0
    return int(any(finding.severity.rank <= settings.fail_on.rank for finding in run.findings))
