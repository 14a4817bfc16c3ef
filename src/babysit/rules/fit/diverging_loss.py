"""F906: the loss diverges or becomes NaN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.loss_curve import levels, values_of
from babysit.analysis.model_structure import adversarial, main_objective
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import diverging, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a loss that ends as NaN or infinity, or far above its start."""
    level, series = levels(run), run.curves.get(TRAIN_LOSS)
    if level is None or level.broken_at is None:
        yield from _at_the_end(run)
    if level is None:
        return
    yield from _further_losses(run)
    if level.broken_at is not None:
        steps, values = values_of(series)
        numbers: dict[str, float | int | str | bool] = {"broken_at": level.broken_at}
        numbers |= {"start_loss": level.start} if len(values) else {}
        last = f"the last value was {values[-1]:.3g} at step {int(steps[-1])}" if len(values) else "it was never finite"
        yield Evidence(
            first_step=level.broken_at,
            numbers=numbers,
            message=f"The loss is NaN or infinite from step {level.broken_at} on ({last}).",
        )
        return
    _, values = values_of(series)
    objective = main_objective(run)
    floor = max(abs(level.start), 10 * level.noise, 1e-8)
    # A loss that may be negative may also decrease without bound, which is an error only if the loss measures an
    # error; that is unknown for a custom loss.
    downwards = level.end < 0 and (objective is None or objective.loss == "custom")
    if abs(level.end) > limits["growth"] * floor and not downwards and not adversarial(run):
        below = np.flatnonzero(~(np.abs(np.asarray(series.values)) > limits["growth"] * floor))
        at = int(series.steps[min(int(below[-1]) + 1 if below.size else 0, len(series) - 1)])
        yield Evidence(
            first_step=at,
            numbers={"start_loss": level.start, "end_loss": level.end, "growth": abs(level.end) / floor},
            message=f"The loss {'grew' if level.end > 0 else 'decreased without bound'} from {level.begun} to "
            f"{level.ended}; from step {at} on its magnitude stayed above {limits['growth']:g} times its start.",
        )


def _at_the_end(run: Run) -> Iterator[Evidence]:
    """Look for traces of a program that stopped before calling backward on a non-finite loss."""
    for event in run.events.of("nonfinite_loss")[:1]:
        kind = "NaN" if event.detail == "nan" else "infinite"
        yield Evidence(
            first_step=event.step,
            numbers={"loss": event.detail, "steps": event.step},
            message=f"After {event.step} steps the loss was {kind}, and no step followed.",
        )
    lost = run.events.of("nonfinite_parameter")
    if lost:
        names = ", ".join(event.detail for event in lost[:3])
        yield Evidence(
            first_step=lost[0].step,
            numbers={"parameters": len(lost), "steps": lost[0].step},
            message=f"After the last of {lost[0].step} steps, values of "
            f"{names}{' and more' if len(lost) > 3 else ''} were NaN or infinite.",
        )


def _further_losses(run: Run) -> Iterator[Evidence]:
    """Check the losses of further optimizers: of other networks, or of later trainings in the same script."""
    for name, series in run.curves.series.items():
        broken = np.flatnonzero(~np.isfinite(np.asarray(series.values, dtype="float64")))
        if name.startswith(f"{TRAIN_LOSS}/") and len(broken):
            number = int(name.rpartition("/")[2]) + 1 if name.rpartition("/")[2].isdigit() else 0
            yield Evidence(
                numbers={"optimizer": number, "values": len(series), "broken_from": int(broken[0])},
                message=f"The loss of optimizer {number} is NaN or infinite from its step {int(broken[0])} on.",
            )


RULE = Rule(
    code="F906",
    name="diverging-loss",
    early=True,
    severity=Severity.ERROR,
    what="The loss grows, or becomes NaN or infinite.",
    why="The weights are useless from there on, and further training is wasted.",
    recommendation="Restore the last good checkpoint and divide the learning rate by 10.",
    find=find,
    needs=("curves",),
    limits={"growth": Limit(3.0, "three times the initial loss (CS231n lecture 6 aborts a trial there)")},
    fixes=(
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
        Fix(
            action="clip_gradients",
            value=1.0,
            say="Clip the gradient norm.",
            code="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        ),
    ),
    false_positives=("Custom losses without a lower bound and adversarial losses are not checked for growth.",),
    sources=("CS231n lecture 6: a loss of NaN almost always means too high a learning rate.",),
    fires_on=(
        lambda: example_run(loss=diverging(2.3)),
        lambda: example_run(loss=diverging(2.3, broken=False)),
        lambda: example_run(kept=((60, "nonfinite_loss", "nan"),)),
        lambda: example_run(kept=((60, "nonfinite_parameter", "0.weight"),)),
    ),
    silent_on=(healthy, lambda: example_run(loss=flat(2.3))),
)
