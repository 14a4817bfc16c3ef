"""Terminal output of commands: stages, pre-training checks, findings and locations of files."""

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

# A word in addition to the colour: readable in logs and without colour vision.
MARKS: Final = {
    Outcome.PASS: ("ok", "green"),
    Outcome.WARN: ("warn", "yellow"),
    Outcome.FAIL: ("FAIL", "bold red"),
    Outcome.SKIPPED: ("skipped", "dim"),
}


def show_stage(stage: str, run: Run, progress: Progress) -> None:
    """Print the result of a stage above the progress bars and remove the bars of the stage."""
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
    """Print the pre-training checks and the findings of the rules."""
    console = out()
    console.print(_data_line(run))
    console.print(preflight(run.experiments))
    if run.findings:
        show_report(run, format="text")
    console.print(f"Saved run {run.id}.")


def show_report(run: Run, *, format: str) -> None:
    """Print the report of the run to standard output."""
    from babysit.reporting.report import report

    say(report(run, format=format))


def preflight(experiments: Sequence[ExperimentResult]) -> RenderableType:
    """Return a table of measured and expected values, with the message of every check that did not pass."""
    table = Table("", "measured", "expected", "", box=None, pad_edge=False, expand=False)
    others = Table.grid(padding=(0, 1))
    for experiment in experiments:
        word, style = MARKS[experiment.outcome]
        if experiment.name in TITLES:
            table.add_row(TITLES[experiment.name], *measured_and_expected(experiment), Text(word, style=style))
        else:
            others.add_row(Text(display_name(experiment.name)), Text(experiment.message), Text(word, style=style))
    messages = [
        Text(f"{TITLES[experiment.name]}: {experiment.message}")
        for experiment in experiments
        if experiment.name in TITLES and experiment.outcome is not Outcome.PASS
    ]
    rest: list[RenderableType] = [Text(), others] if others.row_count else []
    return Panel(Group(table, *messages, *rest), title="Pre-training checks", title_align="left", expand=False)


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


def show_findings(run: Run, *, store: str = "", others: Sequence[Run] = ()) -> None:
    """Print the findings of a watched script to standard error, leaving standard output to the script.

    Args:
        run: the run that decides the verdict.
        store: the option that names its store.
        others: the runs of the other trainings of the script.
    """
    from babysit.reporting.text import verdict_box
    from babysit.reporting.verdict import other_trainings

    console = err()
    console.print(verdict_box(run))
    for line in _others(run):
        console.print(line, markup=False)
    if others:
        console.print(other_trainings(run, others), markup=False, soft_wrap=True)
    console.print(
        f"Saved run {run.id}. Full report: babysit report {run.id}{store} --open", markup=False, soft_wrap=True
    )


def show_end(run: Run, *, store: str = "") -> None:
    """Print verdict, results, and the locations of model, report and run."""
    from babysit.reporting.summary import results
    from babysit.reporting.text import verdict_box

    console = out()
    console.print(verdict_box(run))
    for line in _others(run):
        console.print(line, markup=False)
    lines = [(name, words) for name, words in results(run) if name.startswith(("Test", "Best"))]
    lines += [(name.capitalize(), run.artifacts[name]) for name in ("report", "model") if name in run.artifacts]
    lines.append(("Run", f"{run.id} (babysit runs {run.id}{store})"))
    for name, words in lines:  # paths are meant for copying: never wrap them
        console.print(f"{name:<14} {words}", markup=False, soft_wrap=True)


def _others(run: Run) -> list[str]:
    """Return one line for every other problem that no finding explains."""
    first = run.root_cause
    return [
        f"  also {finding.severity} {finding.code} {finding.name}: {finding.message}"
        for finding in run.problems
        if finding is not first and finding.explained_by is None
    ]


def parameters_in_words(parameters: Mapping[str, float | int | str | bool]) -> str:
    """Format hyperparameters: `lr 0.0032, weight_decay 1e-05`."""
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in parameters.items()
    )


def show_search(run: Run, notes: Sequence[str]) -> None:
    """Print the ten best trials, the ranges with the reasons for their changes, and the notes."""
    table = Table("trial", "stage", "metric", "hyperparameters", "outcome", box=None, pad_edge=False)
    shown = [(row.trial, row.stage, f"{row.metric:.4f}") for row in ranked(run.trials)]
    # Unfinished trials come last: an early metric must not rank above a final one.
    stopped = sorted((trial for trial in run.trials if not finished(trial)), key=rank_key, reverse=True)
    shown += [(trial, trial.stage, "" if trial.metric is None else f"{trial.metric:.4f}") for trial in stopped]
    for trial, stage, metric in shown[:10]:
        table.add_row(
            str(trial.number), stage, metric, parameters_in_words(trial.parameters), trial.reason or trial.state
        )
    console: Console = out()
    console.print(table)
    for bounds in run.ranges:
        say(f"{bounds.stage}: {bounds.parameter} {bounds.low:.2g} to {bounds.high:.2g}, {bounds.why}")
    for note in notes:
        say(note)
    say(f"Saved run {run.id}.")
