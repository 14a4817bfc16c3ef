"""N804: outputs in train and eval mode differ because the running statistics lag."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.baseline import prior_loss
from babysit.analysis.loss_curve import values_of
from babysit.analysis.model_structure import is_batch_norm, model_summary_of
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS
from babysit.records.experiment import Outcome
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, falling, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _slow(run: Run, norms: list[Layer], limits: Limits) -> Iterator[Evidence]:
    """Look for a momentum so small that the running statistics keep much of their initial values (0 and 1)."""
    momenta = [layer.momentum for layer in norms if layer.momentum is not None]
    steps = run.events.steps
    if not momenta or steps < limits["steps"]:
        return
    left = (1 - min(momenta)) ** steps
    _, train = values_of(run.curves.get(TRAIN_LOSS))
    _, validation = values_of(run.curves.get(VAL_LOSS))
    apart = len(validation) and validation[-1] > limits["apart"] * train[-max(5, len(train) // 10) :].mean()
    if left > limits["left"]:
        yield Evidence(
            layers=tuple(layer.name for layer in norms),
            first_step=0,
            severity=Severity.WARNING if apart else Severity.INFO,
            numbers={"momentum": min(momenta), "steps": steps, "left_of_the_start": left},
            message=f"With a momentum of {min(momenta):g} the running statistics still contain {100 * left:.0f} % "
            f"of their initial values after {steps} steps: in eval mode the activations have another scale than in "
            "training.",
            confidence=0.8,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the train/eval experiment, the momentum, and a validation loss that was never better than a constant."""
    experiment = run.experiment("train-eval-agreement")
    if experiment is not None and experiment.outcome is Outcome.FAIL:
        yield Evidence(numbers=dict(experiment.measured), message=experiment.message)
        return
    norms = [layer for layer in model_summary_of(run).layers if is_batch_norm(layer)]
    yield from _slow(run, norms, limits)
    prior, (_, train) = prior_loss(run), values_of(run.curves.get(TRAIN_LOSS))
    _, validation = values_of(run.curves.get(VAL_LOSS))
    if not norms or prior is None or len(validation) < 3 or len(train) < 10:
        return
    final = float(train[-max(5, len(train) // 10) :].mean())
    # Overfitting would begin with a validation loss better than a constant prediction.
    if float(validation.min()) > limits["above"] * prior and final < limits["below"] * prior:
        yield Evidence(
            layers=tuple(layer.name for layer in norms),
            numbers={"train": final, "lowest_validation": float(np.min(validation)), "prior": prior},
            message=f"The training loss reaches {final:.3g}, but the loss in eval mode was never below "
            f"{validation.min():.3g} (constant prediction: {prior:.3g}): the running statistics of batch norm do "
            "not match the data.",
            confidence=0.5,
        )


RULE = Rule(
    code="N804",
    name="stale-running-stats",
    severity=Severity.WARNING,
    what="Outputs in train and eval mode differ because the running statistics lag.",
    why="In eval mode batch norm uses running statistics; if they lag, the activations have another scale.",
    recommendation="Raise the momentum of batch norm, train longer, or recompute the statistics before evaluating.",
    find=find,
    needs=("model_summary",),
    limits={
        "steps": Limit(100, "with the default momentum of 0.1 the initial values are negligible after 50 steps"),
        "apart": Limit(1.3, "30 % more loss in eval mode than in training"),
        "left": Limit(0.05, "5 % of the initial values"),
        "above": Limit(1.2, "20 % worse than a constant prediction at every evaluation"),
        "below": Limit(0.5, "training removed half of the baseline loss"),
    },
    causes=("F901", "D110"),
    fixes=(
        Fix(
            action="set_norm_momentum",
            value=0.1,
            say="Use the default momentum of 0.1.",
            code="nn.BatchNorm1d(width, momentum=0.1)",
        ),
    ),
    false_positives=("A validation set from another distribution.",),
    sources=("Ioffe & Szegedy 2015; the momentum in PyTorch is one minus that in Keras.",),
    fires_on=(
        lambda: example_run(
            layers=(*dense_layers((20, 64, 10)), Layer(name="norm", kind="BatchNorm1d", order=1, norm=True)),
            curves={"val/loss": np.full(10, 8.0)},
        ),
        lambda: example_run(
            layers=(
                *dense_layers((20, 64, 10)),
                Layer(name="n", kind="BatchNorm1d", order=1, norm=True, momentum=3e-3),
            ),
            curves={"val/loss": np.full(10, 1.4)},
        ),
    ),
    silent_on=(
        lambda: example_run(
            layers=(*dense_layers((20, 64, 10)), Layer(name="n", kind="BatchNorm1d", order=1, norm=True, momentum=0.1))
        ),
        healthy,
        lambda: example_run(curves={"val/loss": falling(2.3, 0.3, steps=20)}),
    ),
)
