"""Texts of a report: findings grouped under their causes, results, and missing measurements."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from babysit.analysis.extent import steps
from babysit.plots.catalogue import PLOTS
from babysit.plots.formatting import number, percent
from babysit.plots.names import short
from babysit.records.curves import metric_of, split_of
from babysit.records.finding import Finding
from babysit.records.run import Run
from babysit.reporting import run_metadata

_SHOWN_LAYERS = 3


class Cause(NamedTuple):
    """A finding and the findings it explains."""

    finding: Finding
    symptoms: tuple[Cause, ...]


def causes(run: Run, *, problems: bool) -> tuple[Cause, ...]:
    """Return the findings as trees in rank order; `problems` selects WARNING and ERROR, otherwise INFO."""
    chosen = [finding for finding in run.findings if (finding.severity != "INFO") == problems]
    codes = {finding.code for finding in chosen}
    # A finding that explains itself, or whose cause is absent, is a root.
    roots = [finding for finding in chosen if finding.explained_by not in codes or finding.explained_by == finding.code]
    placed: set[int] = set()
    trees = tuple(_tree(finding, chosen, placed) for finding in roots)
    # Findings that explain each other in a cycle have no root: show each once.
    return trees + tuple(_tree(finding, chosen, placed) for finding in chosen if id(finding) not in placed)


def _tree(finding: Finding, chosen: list[Finding], placed: set[int]) -> Cause:
    placed.add(id(finding))
    below = []
    for other in chosen:
        if other.explained_by == finding.code and id(other) not in placed:
            below.append(_tree(other, chosen, placed))
    return Cause(finding, tuple(below))


def location_text(finding: Finding) -> str:
    """Format where a finding was seen: " in hidden.1, steps 48 to 799", " at step 0", or ""."""
    where = f" in {layers(finding)}" if finding.layers else ""
    first, last = finding.first_step, finding.last_step
    if first is None:
        return where
    if last is not None and last > first:
        return f"{where}, steps {first:,} to {last:,}" if where else f" from step {first:,} to {last:,}"
    return f"{where}, step {first:,}" if where else f" at step {first:,}"


def layers(finding: Finding) -> str:
    """Format the layers of a finding: the first few by name, the others counted."""
    names = [short(name, 40) or "(no name)" for name in finding.layers[:_SHOWN_LAYERS]]
    rest = len(finding.layers) - len(names)
    return ", ".join(names) + (f" and {rest:,} more" if rest > 0 else "")


def evidence(finding: Finding) -> list[tuple[str, str]]:
    """Format the evidence of a finding as pairs of name and value."""
    return [
        (short(name.replace("_", " "), 40), run_metadata.value_words(value)) for name, value in finding.evidence.items()
    ]


_SPLIT_WORDS: Final = {"train": "training", "val": "validation", "test": "test"}


def results(run: Run) -> list[tuple[str, str]]:
    """Format the results as pairs such as "Test accuracy", "97.8 %"; test metrics first."""
    splits = ("test", "val", "train")

    def order(name: str) -> int:
        split = split_of(name)
        return splits.index(split) if split in splits else len(splits)

    ordered = sorted(run.result.items(), key=lambda item: (order(item[0]), item[0]))
    return [(result_name(name), result_value(name, value)) for name, value in ordered]


def result_name(name: str) -> str:
    """Format the name of a result: test/accuracy as "Test accuracy"."""
    split = split_of(name)
    words = f"{_SPLIT_WORDS[split]} {metric_of(name)}" if split else name
    return short(words.replace("_", " ").capitalize(), 40)


def result_value(name: str, value: float) -> str:
    """Format the value of a result, accuracies in percent."""
    return percent(value) if metric_of(name) == "accuracy" else number(value)


def missing(run: Run, shown: Collection[str]) -> list[tuple[str, str]]:
    """Return title and reason of the figures that are not in `shown` (names)."""
    searched = run.kind in ("search", "pipeline") or run.trials
    plots = [plot for plot in PLOTS if searched or not plot.name.startswith("search")]
    return [(plot.title, plot.needs) for plot in plots if plot.name not in shown]


def unmeasured(run: Run) -> list[tuple[str, str]]:
    """Return title and reason of the main figures without data; none for a run without training."""
    if run.kind in ("search", "check") or not steps(run):
        return []
    plots = [plot for plot in PLOTS if plot.name in ("losses", "update_ratio", "heatmap")]
    return [(plot.title, plot.needs) for plot in plots if plot.numbers(run) is None]
