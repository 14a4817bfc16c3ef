"""Options shared by several commands, and their combination with the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, final

import msgspec
from cyclopts import Group, Parameter

from babysit.cli.settings import Settings, load_settings, split_words
from babysit.records.finding import Severity
from babysit.records.run import Run

RULES = Group("Rules", sort_key=10)
STORAGE = Group("Storage", sort_key=11)

RunId = Annotated[str, Parameter(help="Select the run: an ID, an ID prefix, or `latest`.", show_default=False)]
Threads = Annotated[int | None, Parameter(help="Set the number of torch threads [1].")]

Json = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print JSON only, to standard output."),
]
StoreUrl = Annotated[
    str | None,
    Parameter(name="--store", group=STORAGE, help="Use the store at this folder or database URL [./babysit_runs]."),
]


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """Selection of rules, and findings that set exit code 1."""

    select: Annotated[
        tuple[str, ...],
        Parameter(
            group=RULES, negative="", show_default=False, help="Enable only these rules: codes, code prefixes or names."
        ),
    ] = ()
    ignore: Annotated[
        tuple[str, ...],
        Parameter(
            group=RULES, negative="", show_default=False, help="Disable these rules: codes, code prefixes or names."
        ),
    ] = ()
    fail_on: Annotated[
        Literal["ERROR", "WARNING", "INFO"] | None,
        Parameter(group=RULES, help="Set the minimum severity for exit code 1 [WARNING]."),
    ] = None
    exit_zero: Annotated[
        bool,
        Parameter(group=RULES, negative="", show_default=False, help="Exit with code 0 even if there are findings."),
    ] = False


DEFAULT_RULE_OPTIONS: Final = RuleOptions()


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Location and maximum size of a new run."""

    store: StoreUrl = None
    max_run_size: Annotated[
        float | None,
        Parameter(
            group=STORAGE, help="Limit a run to this size in MB; further rows are downsampled (0 = unlimited) [64]."
        ),
    ] = None


DEFAULT_STORE_OPTIONS: Final = StoreOptions()


def settle(
    rule_options: RuleOptions | None = None, *, store: str | StoreOptions | None = None, threads: int | None = None
) -> Settings:
    """Return the settings of this call; the command line overrides the environment and the settings file."""
    settings = load_settings()
    changed: dict[str, object] = {}
    if rule_options is not None and rule_options.select:
        changed["select"] = split_words(rule_options.select)
    if rule_options is not None and rule_options.ignore:
        changed["ignore"] = split_words(rule_options.ignore)
    if rule_options is not None and rule_options.fail_on:
        changed["fail_on"] = Severity(rule_options.fail_on)
    store_options = store if isinstance(store, StoreOptions) else StoreOptions(store=store)
    if store_options.store:
        changed["store"] = store_options.store
    if store_options.max_run_size is not None:
        changed["max_run_size"] = store_options.max_run_size
    if threads:
        changed["threads"] = threads
    settled = msgspec.structs.replace(settings, **changed)
    if rule_options is not None:
        _require_known_rules(settled)
    return settled


def _require_known_rules(settings: Settings) -> None:
    """Raise UserError for an unknown rule before the training starts."""
    from babysit.rules.selection import check_limits, select_rules

    select_rules(settings.select, settings.ignore)
    check_limits(settings.limits)


def judged(run: Run, settings: Settings) -> Run:
    """Return the run with the findings of the rules that the settings select, and its verdict."""
    from babysit.rules import engine

    return engine.judged(run, select=settings.select, ignore=settings.ignore, limits=settings.limits)


def exit_code(run: Run, settings: Settings, *, exit_zero: bool = False) -> int:
    """Return 1 if there is a finding at or above `fail_on`, else 0."""
    if exit_zero:
        return 0
    return int(any(finding.severity.rank <= settings.fail_on.rank for finding in run.findings))
