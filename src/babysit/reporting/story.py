"""What a run has to tell, in words: the verdict, its reason, the next step, and the facts around them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from babysit.plots.catalogue import PLOTS
from babysit.plots.names import short
from babysit.plots.words import count, number, percent
from babysit.records.finding import Finding
from babysit.records.run import Run, Status
from babysit.reporting import facts

_SHOWN_LAYERS = 3


class Verdict(NamedTuple):
    """The one sentence, why it is so, and what to do next."""

    word: str  # HEALTHY, SICK or UNSURE
    sentence: str
    why: str
    next: str


class Cause(NamedTuple):
    """A finding and, beneath it, the findings it explains."""

    finding: Finding
    symptoms: tuple[Cause, ...]


def verdict(run: Run) -> Verdict:
    """What came of the run."""
    diagnosis = run.diagnosis or next(iter(run.alarms), None)
    if diagnosis is not None:
        others = len(causes(run, alarms=True)) - 1
        more = f", and {count(others, 'other cause')}" if others > 0 else ""
        sentence = f"Sick: {spoken(diagnosis.name)} ({short(diagnosis.code, 12)}){_briefly(diagnosis)}{more}."
        return Verdict("SICK", sentence, diagnosis.meaning, diagnosis.advice or _first_treatment(diagnosis))
    if not measured(run):
        return Verdict(
            "UNSURE",
            "Nothing was measured, so nothing can be said.",
            _why_nothing(run),
            "Watch a training: `babysit watch train.py`, or `with babysit.watch(model, optimizer):` around the loop.",
        )
    failed = [probe for probe in run.probes if probe.outcome == "fail"]
    if failed:
        names = ", ".join(short(probe.name, 40) for probe in failed)
        sentence = f"No rule found anything, but {count(len(failed), 'probe')} failed: {names}."
        return Verdict("UNSURE", sentence, failed[0].message, "Mend that first: a training can hide it for long.")
    checked = _checked(run)
    so_far = " so far" if run.status == Status.RUNNING else ""
    return Verdict(
        "HEALTHY", f"Healthy{so_far}: nothing wrong was found in {checked}.", _outcome(run), _healthy_next(run)
    )


def causes(run: Run, *, alarms: bool) -> tuple[Cause, ...]:
    """The findings as trees, causes first in rank order; `alarms`: those that count, else those worth knowing."""
    chosen = [finding for finding in run.findings if (finding.severity != "INFO") == alarms]
    codes = {finding.code for finding in chosen}
    # A finding that names itself, or one that is not there, stands on its own.
    roots = [finding for finding in chosen if finding.explained_by not in codes or finding.explained_by == finding.code]
    placed: set[int] = set()
    trees = tuple(_tree(finding, chosen, placed) for finding in roots)
    # Findings that explain each other in a circle have no root: each is shown once all the same.
    return trees + tuple(_tree(finding, chosen, placed) for finding in chosen if id(finding) not in placed)


def _tree(finding: Finding, chosen: list[Finding], placed: set[int]) -> Cause:
    placed.add(id(finding))
    below = []
    for other in chosen:
        if other.explained_by == finding.code and id(other) not in placed:
            below.append(_tree(other, chosen, placed))
    return Cause(finding, tuple(below))


def spoken(name: str) -> str:
    """A rule's name as words: rate-too-high as "rate too high"."""
    return short(name.replace("-", " "), 80)


def place(finding: Finding) -> str:
    """Where and when a finding was seen: " in hidden.1, steps 48 to 799", " at step 0"; empty without a place."""
    where = f" in {layers(finding)}" if finding.layers else ""
    first, last = finding.first_step, finding.last_step
    if first is None:
        return where
    if last is not None and last > first:
        return f"{where}, steps {first:,} to {last:,}" if where else f" from step {first:,} to {last:,}"
    return f"{where}, step {first:,}" if where else f" at step {first:,}"


def _briefly(finding: Finding) -> str:
    """Where and since when, short enough for a headline."""
    few = len(finding.layers) <= 2
    where = layers(finding) if few else count(len(finding.layers), "layer")
    since = f", from step {finding.first_step:,}" if finding.first_step is not None else ""
    return (f" in {where}" if finding.layers else "") + since


def layers(finding: Finding) -> str:
    """The layers of a finding, the first few by name."""
    names = [short(name, 40) or "(no name)" for name in finding.layers[:_SHOWN_LAYERS]]
    rest = len(finding.layers) - len(names)
    return ", ".join(names) + (f" and {rest:,} more" if rest > 0 else "")


def evidence(finding: Finding) -> list[tuple[str, str]]:
    """The numbers that made a rule fire: name and value in words."""
    return [(short(name.replace("_", " "), 40), facts.value_words(value)) for name, value in finding.evidence.items()]


def measured(run: Run) -> bool:
    """Whether there is anything to judge: a curve, a sampled step, a probe or a trial."""
    curves = any(len(series) for series in run.curves.series.values())
    return bool(curves or len(run.vitals.steps) or run.probes or run.trials)


def results(run: Run) -> list[tuple[str, str]]:
    """What the run achieved: "Test accuracy" and "97.8 %"; the test values first, then the other splits'."""
    splits = ("test", "validation", "train")

    def order(name: str) -> int:
        split = name.rpartition("/")[2]
        return splits.index(split) if split in splits else len(splits)

    ordered = sorted(run.result.items(), key=lambda item: (order(item[0]), item[0]))
    return [(result_name(name), result_value(name, value)) for name, value in ordered]


def result_name(name: str) -> str:
    """A result's name as people write it: accuracy/test as "Test accuracy"."""
    metric, _, split = name.partition("/")
    words = f"{split} {metric}" if split else metric
    return short(words.replace("_", " ").capitalize(), 40)


def result_value(name: str, value: float) -> str:
    """A result's value as people write it: accuracies as per cent."""
    return percent(value) if name.startswith("accuracy") else number(value)


def missing(run: Run, shown: Collection[str]) -> list[tuple[str, str]]:
    """The figures that are not among those `shown` (names), and why: title and reason."""
    searched = run.kind in ("search", "routine") or run.trials
    plots = [plot for plot in PLOTS if searched or not plot.name.startswith("search")]
    return [(plot.title, plot.needs) for plot in plots if plot.name not in shown]


def unmeasured(run: Run) -> list[tuple[str, str]]:
    """What a training should have shown and did not: title and reason; nothing for a run that trained nothing."""
    if run.kind in ("search", "check") or not facts.steps(run):
        return []
    plots = [plot for plot in PLOTS if plot.name in ("losses", "update_ratio", "heatmap")]
    return [(plot.title, plot.needs) for plot in plots if plot.numbers(run) is None]


def _checked(run: Run) -> str:
    parts = []
    if facts.steps(run):
        parts.append(count(facts.steps(run), "step"))
    if run.vitals.layers:
        parts.append(count(len(run.vitals.layers), "layer"))
    if run.probes:
        parts.append(count(len(run.probes), "probe"))
    if run.trials:
        parts.append(count(len(run.trials), "trial"))
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def _outcome(run: Run) -> str:
    said = [f"{name}: {value}." for name, value in results(run)[:2]]
    if run.stop_reason:
        said.append(f"Stopped: {short(run.stop_reason, 200)}.")
    warned = [short(probe.name, 40) for probe in run.probes if probe.outcome == "warn"]
    if warned:
        said.append(f"Probes that warned: {', '.join(warned)}.")
    gaps = [finding.meaning for finding in run.findings if finding.code == "T001"]
    if gaps and not said:
        return f"No rule raised an alarm. Not everything was seen: {gaps[0]}"
    return " ".join(said) or "Every rule that had what it needs looked at the run, and none fired."


def _healthy_next(run: Run) -> str:
    if run.status in (Status.CRASHED, Status.INTERRUPTED):
        return f"The run did not end by itself ({run.status}): what was recorded up to then is shown."
    if run.kind == "watch":
        return "Nothing to mend. To look for better hyperparameters: `babysit search`."
    return "Nothing to mend."


def _why_nothing(run: Run) -> str:
    if run.status == Status.CRASHED:
        return "The program ended with an error before its first optimizer step."
    if run.status == Status.RUNNING:
        return "The run has not made its first step yet, or did not get to say how it ended."
    return "No optimizer step, no loss, no probe and no trial was seen."


def _first_treatment(finding: Finding) -> str:
    return finding.treatments[0].say if finding.treatments else ""
