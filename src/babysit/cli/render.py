"""What a command shows of a run in the terminal: stages as they end, preflight, what was found, where it all is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from babysit.analysis.trials import best_trial, finished, rank_key, ranked
from babysit.cli.render_experiments import TITLES, measured_and_expected
from babysit.cli.terminal import err, out, say
from babysit.plots.names import display_name
from babysit.records.curves import metric_of
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.run import Run
from babysit.records.trial import TrialState

# A word beside the colour: readable in a log, and for those who do not see the colours.
MARKS: Final = {
    Outcome.PASS: ("ok", "green"),
    Outcome.WARN: ("look", "yellow"),
    Outcome.FAIL: ("FAIL", "bold red"),
    Outcome.SKIPPED: ("skipped", "dim"),
}


def show_stage(stage: str, run: Run, progress: Progress) -> None:
    """What a stage of the method found, above the progress bars, in place of the stage's own."""
    console = progress.console
    for task in progress.tasks:
        progress.remove_task(task.id)
    if stage == "prepared":
        console.print(_data_line(run))
    elif stage == "checked":
        console.print(preflight(run.experiments))
    elif stage == "searched":
        console.print(_search_line(run))
    elif stage == "trained":
        console.print(_training_line(run))


def show_preflight(run: Run) -> None:
    """The experiments before training and what the rules say of them, as a result."""
    console = out()
    console.print(_data_line(run))
    console.print(preflight(run.experiments))
    if run.findings:
        show_report(run, format="text")
    console.print(f"Kept as run {run.id}.")


def show_report(run: Run, *, format: str) -> None:
    """The run's report on standard output."""
    from babysit.reporting.report import report

    say(report(run, format=format))


def preflight(experiments: Sequence[ExperimentResult]) -> RenderableType:
    """Measured against expected, and one sentence for whatever is not as it should be."""
    table = Table("", "measured", "expected", "", box=None, pad_edge=False, expand=False)
    others = Table.grid(padding=(0, 1))
    for experiment in experiments:
        word, style = MARKS[experiment.outcome]
        if experiment.name in TITLES:
            table.add_row(TITLES[experiment.name], *measured_and_expected(experiment), Text(word, style=style))
        else:
            others.add_row(Text(display_name(experiment.name)), Text(experiment.message), Text(word, style=style))
    remarks = [
        Text(f"{TITLES[experiment.name]}: {experiment.message}")
        for experiment in experiments
        if experiment.name in TITLES and experiment.outcome is not Outcome.PASS
    ]
    rest: list[RenderableType] = [Text(), others] if others.row_count else []
    return Panel(Group(table, *remarks, *rest), title="Preflight", title_align="left", expand=False)


def _data_line(run: Run) -> str:
    data = run.data
    if data is None:
        return ""
    sizes = " / ".join(str(split.samples) for split in data.splits)
    train = data.split("train")
    shape = " x ".join(map(str, train.input_shape)) if train else ""
    classes = f", {len(data.class_names)} classes" if data.class_names else ""
    left_out = "".join(f"; {note}" for note in data.notes if data.skipped and note.startswith("left out"))
    return f"Data: {sizes} samples of {shape} values{classes}, {data.preprocessing}{left_out}"


def _search_line(run: Run) -> str:
    pruned = sum(trial.state is TrialState.PRUNED for trial in run.trials)
    best = best_trial(run)
    reached = (
        f"{parameters_in_words(best.trial.parameters)}, {best.metric:.3f} on validation" if best else "none finished"
    )
    stopped = f" ({pruned} stopped early)" if pruned else ""
    return f"Search: {len(run.trials)} trials{stopped}; {reached}"


def _training_line(run: Run) -> str:
    steps = run.events.steps
    reached = ", ".join(f"{name} {value:.4g}" for name, value in run.result.items() if metric_of(name) == "accuracy")
    why = f"; {run.stop_reason}" if run.stop_reason else ""
    return f"Training: {steps} steps{f', {reached}' if reached else ''}{why}"


def show_findings(run: Run, *, store: str = "") -> None:
    """What was found in a watched script, on standard error: the script's own output stays as it was."""
    from babysit.reporting.text import verdict_box

    console = err()
    console.print(verdict_box(run))
    for line in _others(run):
        console.print(line, markup=False)
    console.print(f"Kept as run {run.id}; all of it: babysit report {run.id}{store}", markup=False, soft_wrap=True)


def show_end(run: Run, *, store: str = "") -> None:
    """Verdict, why and what next, the scores, and where model, report and run are."""
    from babysit.reporting.summary import results
    from babysit.reporting.text import verdict_box

    console = out()
    console.print(verdict_box(run))
    for line in _others(run):
        console.print(line, markup=False)
    told = [(name, words) for name, words in results(run) if name.startswith(("Test", "Best"))]
    told += [(name.capitalize(), run.artifacts[name]) for name in ("report", "model") if name in run.artifacts]
    told.append(("Run", f"{run.id} (babysit runs {run.id}{store})"))
    for name, words in told:  # paths are copied, so they are never broken into lines
        console.print(f"{name:<14} {words}", markup=False, soft_wrap=True)


def _others(run: Run) -> list[str]:
    """One line for every other alarm that stands on its own."""
    first = run.root_cause
    return [
        f"  also {finding.severity} {finding.code} {finding.name}: {finding.message}"
        for finding in run.problems
        if finding is not first and finding.explained_by is None
    ]


def parameters_in_words(parameters: Mapping[str, float | int | str | bool]) -> str:
    """Hyperparameters as `rate 3.2e-03, weight_decay 1.0e-05`."""
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in parameters.items()
    )


def show_search(run: Run, notes: Sequence[str]) -> None:
    """The best ten trials, the ranges and why they moved, and what is worth knowing."""
    table = Table("trial", "stage", "metric", "hyperparameters", "how it ended", box=None, pad_edge=False)
    shown = [(place.trial, place.stage, f"{place.metric:.4f}") for place in ranked(run.trials)]
    # What did not finish comes after all that did, so that no early metric stands above a final one.
    stopped = sorted((trial for trial in run.trials if not finished(trial)), key=rank_key, reverse=True)
    shown += [(trial, trial.stage, "" if trial.metric is None else f"{trial.metric:.4f}") for trial in stopped]
    for trial, stage, metric in shown[:10]:
        table.add_row(
            str(trial.number), stage, metric, parameters_in_words(trial.parameters), trial.reason or trial.state
        )
    console: Console = out()
    console.print(table)
    for piece in run.ranges:
        say(f"{piece.stage}: {piece.parameter} {piece.low:.2g} to {piece.high:.2g}, {piece.why}")
    for note in notes:
        say(note)
    say(f"Kept as run {run.id}.")
