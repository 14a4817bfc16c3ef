"""Verdict of a run as text: status, verdict, evidence and next step. Formats the stored verdict, never judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from babysit.analysis.extent import steps
from babysit.analysis.model_structure import adversarial
from babysit.analysis.verdict import FEWEST_STEPS, required
from babysit.plots.formatting import count, number, percent
from babysit.plots.names import display_name, short
from babysit.records.experiment import Outcome
from babysit.records.finding import Finding
from babysit.records.run import Run, Status
from babysit.records.verdict import Crash, Learning, Missing
from babysit.records.verdict import Verdict as Known

_SYMBOLS: Final = {Known.HEALTHY: "✓", Known.PROBLEMS: "✗", Known.INCONCLUSIVE: "?"}
_LONGEST_ERROR: Final = 300


class Verdict(NamedTuple):
    """Headline of a report."""

    word: str  # healthy, problems or inconclusive: colours and styles go by it
    title: str  # the status where it is not "finished", then the word
    sentence: str
    why: str
    next: str
    symbol: str  # so that the verdict does not rely on colour


def verdict(run: Run) -> Verdict:
    """Return the stored verdict of the run as text, its status first."""
    describe = {Known.HEALTHY: _healthy, Known.PROBLEMS: _problems, Known.INCONCLUSIVE: _inconclusive}[run.verdict]
    sentence, why, following = describe(run)
    ended = _ended(run)
    symbol = "✗" if run.status is Status.CRASHED else _SYMBOLS[run.verdict]
    return Verdict(str(run.verdict), title(run), f"{ended} {sentence}".strip(), why, following, symbol)


def title(run: Run) -> str:
    """Return the words of a headline: CRASHED · INCONCLUSIVE, or the verdict alone for a run that finished."""
    word = str(run.verdict).upper()
    return word if run.status is Status.FINISHED else f"{run.status.upper()} · {word}"


def other_trainings(run: Run, others: Sequence[Run], *, saved: bool = True) -> str:
    """Return one sentence about the other trainings of the program that this run is a training of."""
    listed = "; ".join(f"{one.id} {title(one).lower()}, {count(steps(one), 'step')}" for one in others)
    kept = "saved as a run" if saved else "as a run of its own"
    return f"This program trained {len(others) + 1} times, each {kept}. This is {run.id}; the others: {listed}."


def learned(run: Run) -> str:
    """Return what the run was measured to learn, in one sentence; empty where nothing was measured."""
    known = run.learning or Learning()
    parts = []
    if known.loss is not None and known.loss > -1:
        parts.append(_removed(known.loss, "training"))
    if known.accuracy is not None:
        parts.append(f"training accuracy {percent(known.accuracy)}")
    if known.validation_loss is not None and known.validation_accuracy is None and known.validation_loss > -1:
        parts.append(_removed(known.validation_loss, "validation"))
    if known.validation_accuracy is not None:
        where = "test" if "test/accuracy" in run.result else "validation"
        parts.append(f"{where} accuracy {percent(known.validation_accuracy)}")
    if known.score is not None:
        parts.append(f"R² {number(known.score, 3)}")
    if not parts:
        return ""
    baseline = f" (most frequent class: {percent(known.chance)})" if known.chance and "accuracy" in parts[-1] else ""
    when = f" by step {known.steps:,}" if run.status is Status.RUNNING else ""
    return f"Learned{when}: {', '.join(parts)}{baseline}."


def _removed(share: float, split: str) -> str:
    if share < 0:
        return f"the {split} loss is {percent(-share)} above that of the best constant prediction"
    return f"{percent(share)} of the {split} loss of the best constant prediction removed"


def _ended(run: Run) -> str:
    """Describe the end of a run that crashed or was interrupted; "" otherwise."""
    after = f"after {count(steps(run), 'step')}" if steps(run) else "before its first optimizer step"
    if run.crash is not None and run.crash.kind == SystemExit.__name__:
        return _exited(run.crash, after)
    if run.status is Status.CRASHED:
        error = f": {_error(run)}" if _error(run) else ""
        return f"The program crashed {after}{error}."
    if run.status is Status.INTERRUPTED:
        return f"The run was interrupted {after}."
    return ""


def _exited(crash: Crash, after: str) -> str:
    place = f" ({short(crash.place, 120)})" if crash.place else ""
    if crash.message.lstrip("-").isdecimal():
        return f"The program exited with code {short(crash.message, 20)} {after}{place}."
    said = f": {short(crash.message, _LONGEST_ERROR).rstrip('.')}" if crash.message else ""
    return f"The program exited with an error {after}{said}{place}."


def _error(run: Run) -> str:
    crash = run.crash
    if crash is None:
        return short(run.stop_reason, _LONGEST_ERROR).rstrip(".")
    message = f": {short(crash.message, _LONGEST_ERROR)}" if crash.message else ""
    return f"{crash.kind}{message}" + (f" ({short(crash.place, 120)})" if crash.place else "")


def _healthy(run: Run) -> tuple[str, str, str]:
    so_far = " so far" if run.status is Status.RUNNING else ""
    stopped = f" Stopped: {short(run.stop_reason, 200)}." if run.stop_reason else ""
    warned = [short(experiment.name, 40) for experiment in run.experiments if experiment.outcome is Outcome.WARN]
    checks = f" Checks that warned: {', '.join(warned)}." if warned else ""
    sentence = f"No problems found{so_far} in {_checked(run)}."
    return sentence, f"{learned(run)}{stopped}{checks}{_gaps(run)}", "No action needed."


def _problems(run: Run) -> tuple[str, str, str]:
    first = run.root_cause or run.problems[0]
    others = sum(finding.explained_by is None for finding in run.problems) - 1
    more = f", and {count(others, 'other cause')}" if others > 0 else ""
    sentence = f"Problem found: {display_name(first.name)} ({short(first.code, 12)}){_briefly(first)}{more}."
    return sentence, first.message, first.recommendation or _first_fix(first)


def _inconclusive(run: Run) -> tuple[str, str, str]:
    if not run.missing:  # default of a run that was never judged
        so_far = f"{count(steps(run), 'step')} so far." if steps(run) else "No optimizer step yet."
        return f"Not judged yet: the first assessment comes after {FEWEST_STEPS} steps.", so_far, ""
    first = next((one for one in run.missing if one is not Missing.END), None)
    if first is None:  # only the end is missing
        sentence, following = _end(run)
        return sentence, f"{learned(run)}{_gaps(run)}".strip(), following
    sentence, following = _MISSING_TEXTS[first](run)
    if first is Missing.ANYTHING:
        return sentence, "", following
    found = f"{learned(run)}{_gaps(run)}".strip()
    return f"{sentence[0].upper()}{sentence[1:]}", found, following


def _gaps(run: Run) -> str:
    gap = next((finding.message for finding in run.findings if finding.code == "T001"), "")
    return f" Not everything was measured: {gap}" if gap else ""


def _anything(run: Run) -> tuple[str, str]:
    return (
        "No data: no optimizer step, no loss, no check and no trial was observed.",
        "Monitor a training: `babysit watch train.py`, or `with babysit.watch(model, optimizer):` around the loop. "
        "Training in a child process is not monitored.",
    )


def _steps(run: Run) -> tuple[str, str]:
    return (
        f"{count(steps(run), 'step')} observed, too few to judge.",
        f"Train for at least {FEWEST_STEPS} steps.",
    )


def _loss(run: Run) -> tuple[str, str]:
    return (
        f"{count(steps(run), 'step')} observed, but no training loss, so learning could not be measured.",
        'Log a metric, such as `w.log("val/accuracy", accuracy)`, or call `loss.backward()` on the loss.',
    )


def _baseline(run: Run) -> tuple[str, str]:
    why = "the loss of a constant prediction is unknown for this loss function"
    if adversarial(run):
        why = "several optimizers step in turns, as in adversarial training, where a constant prediction is no baseline"
    return (
        f"no problems found in {_checked(run)}, but {why}{_fall(run)}.",
        'To measure learning, log a metric on held-out data, such as `w.log("val/accuracy", accuracy)`.',
    )


def _learning(run: Run) -> tuple[str, str]:
    return (
        f"no rule found a cause in {_checked(run)}, but the model hardly learned the training data "
        f"(at least {percent(required(run))} of the way from a constant prediction to a perfect one is expected).",
        "Train longer if the loss is still decreasing. Otherwise overfit 20 samples first, and compare with a linear "
        "model on the same data.",
    )


def _generalization(run: Run) -> tuple[str, str]:
    return (
        f"no rule found a cause in {_checked(run)}, but on validation data the model is hardly better than a "
        "constant prediction.",
        "Check that validation data are preprocessed and labelled like the training data.",
    )


def _agreement(run: Run) -> tuple[str, str]:
    return (
        "the loss is far below that of a constant prediction, but the accuracy is no better than predicting the most "
        "frequent class: one of the two is computed incorrectly.",
        "Check the metric: axis of argmax, broadcast shapes, order of predictions and labels.",
    )


def _validation(run: Run) -> tuple[str, str]:
    passes = run.events.of("unread_validation")
    return (
        f"no problems found in {_checked(run)}, but validation was seen {len(passes)} times (the first after step "
        f"{passes[0].step:,}), and neither its loss nor its accuracy could be read.",
        'Log it after each pass: `w.log("val/loss", value)`.',
    )


def _last_step(run: Run) -> tuple[str, str]:
    return (
        f"no problems found in {_checked(run)}, but the last forward pass was not followed by a step, and its loss "
        "could not be read.",
        "Look at why the loop ended there: a loss of NaN or infinity is the usual reason. "
        'Log it before the loop is left: `w.log("train/loss", loss)`.',
    )


def _checks(run: Run) -> tuple[str, str]:
    failed = [experiment for experiment in run.experiments if experiment.outcome is Outcome.FAIL]
    names = ", ".join(short(experiment.name, 40) for experiment in failed)
    detail = f" {failed[0].message}" if failed else ""
    return (
        f"no rule found a cause, but {count(len(failed), 'check')} failed: {names}.{detail}",
        "Fix this first: training can mask it.",
    )


def _training(run: Run) -> tuple[str, str]:
    return (
        f"{count(len(run.experiments), 'check')} ran, but nothing was trained.",
        "Train the model under `babysit.watch`.",
    )


def _end(run: Run) -> tuple[str, str]:
    if run.status is Status.CRASHED:
        return "No rule found a cause.", "Fix the error and run the program again."
    return f"No problems found in {_checked(run)} until then.", "Let it run to its end for a verdict."


_MISSING_TEXTS: Final[dict[Missing, Callable[[Run], tuple[str, str]]]] = {
    Missing.ANYTHING: _anything,
    Missing.END: _end,
    Missing.STEPS: _steps,
    Missing.LOSS: _loss,
    Missing.BASELINE: _baseline,
    Missing.LEARNING: _learning,
    Missing.GENERALIZATION: _generalization,
    Missing.VALIDATION: _validation,
    Missing.LAST_STEP: _last_step,
    Missing.AGREEMENT: _agreement,
    Missing.CHECKS: _checks,
    Missing.TRAINING: _training,
}


def _fall(run: Run) -> str:
    from babysit.analysis.loss_curve import levels

    level = levels(run)
    if level is None or level.broken_at is not None:
        return ""
    return f" (it changed from {number(level.start)} to {number(level.end)})"


def _checked(run: Run) -> str:
    parts = [
        count(size, name)
        for size, name in (
            (steps(run), "step"),
            (len(run.layer_metrics.layers), "layer"),
            (len(run.experiments), "check"),
            (len(run.trials), "trial"),
        )
        if size
    ]
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def _briefly(finding: Finding) -> str:
    """Format layers and first step of a finding for a headline."""
    few = len(finding.layers) <= 2
    names = ", ".join(short(name, 40) or "(no name)" for name in finding.layers)
    where = names if few else count(len(finding.layers), "layer")
    since = f", since step {finding.first_step:,}" if finding.first_step is not None else ""
    return (f" in {where}" if finding.layers else "") + since


def _first_fix(finding: Finding) -> str:
    return finding.fixes[0].say if finding.fixes else ""
