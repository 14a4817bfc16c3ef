"""N804: training and evaluation disagree because running statistics lag."""

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
    """A momentum so small that, after all steps, much of the first guess (mean 0, variance 1) is left."""
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
            message=f"With a momentum of {min(momenta):g} the running averages still hold {100 * left:.0f} % of where "
            f"they began after {steps} steps: in eval mode the network sees another scale than in training.",
            confidence=0.8,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the train/eval experiment; else looks for a validation loss above chance from the first look to the
    last.
    """
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
    learned = float(train[-max(5, len(train) // 10) :].mean())
    # Never once better than a constant, while training is well below: overfitting would begin better than that.
    if float(validation.min()) > limits["above"] * prior and learned < limits["below"] * prior:
        yield Evidence(
            layers=tuple(layer.name for layer in norms),
            numbers={"train": learned, "lowest_validation": float(np.min(validation)), "prior": prior},
            message=f"Training reaches a loss of {learned:.3g}, but in eval mode it was never below "
            f"{validation.min():.3g} (a constant answer: {prior:.3g}): batch norm's running averages do not fit.",
            confidence=0.5,
        )


RULE = Rule(
    code="N804",
    name="stale-running-stats",
    severity=Severity.WARNING,
    what="Train and eval outputs disagree because the running statistics lag.",
    why="In eval mode batch norm uses averages from training; when they lag, the network sees another scale.",
    recommendation="Raise batch norm's momentum, train longer, or recompute the statistics before evaluating.",
    find=find,
    needs=("model_summary",),
    limits={
        "steps": Limit(100, "torch's own momentum of 0.1 has forgotten its start after fifty"),
        "apart": Limit(1.3, "in eval mode three tenths more loss than in training"),
        "left": Limit(0.05, "a twentieth of the first guess"),
        "above": Limit(1.2, "a fifth worse than a constant answer at every look"),
        "below": Limit(0.5, "training removed half of the prior loss"),
    },
    causes=("F901", "D110"),
    fixes=(
        Fix(
            action="set_norm_momentum",
            value=0.1,
            say="Use torch's default momentum of 0.1.",
            code="nn.BatchNorm1d(width, momentum=0.1)",
        ),
    ),
    false_positives=("A validation set from elsewhere.",),
    sources=("Ioffe & Szegedy 2015; torch's momentum is one minus Keras'.",),
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
