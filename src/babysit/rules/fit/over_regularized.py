"""F908: dropout prevents fitting the training set."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import levels, noise_of, values_of
from babysit.analysis.model_structure import adversarial, model_summary_of
from babysit.records.curves import VAL_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import classes, dense_layers, example_run, falling, healthy
from babysit.rules.fit.overfitting import last_mean
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check whether the validation loss is clearly below the training loss although dropout is the only difference."""
    level = levels(run)
    _, validation = values_of(run.curves.get(VAL_LOSS))
    if level is None or level.broken_at is not None or adversarial(run) or len(validation) < 3 or level.end <= 0:
        return
    dropouts = [layer.dropout for layer in model_summary_of(run).layers if layer.dropout > 0]
    objectives = model_summary_of(run).objectives
    # Any other difference between the two losses explains the gap as well.
    if not dropouts or any(one.composite or one.label_smoothing > 0 or one.class_weights for one in objectives):
        return
    better = 1 - last_mean(validation) / level.end
    if better > limits["better"] and level.end - last_mean(validation) > 3 * noise_of(validation):
        yield Evidence(
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            confidence=0.5,
            numbers={"train": level.end, "validation": last_mean(validation), "dropout": max(dropouts)},
            message=f"The final loss is {level.ended} in training and {last_mean(validation):.4g} on validation "
            f"(mean of the last tenth), where dropout (p = {max(dropouts):g}) is off: the dropout may be too "
            "strong.",
        )


RULE = Rule(
    code="F908",
    name="over-regularized",
    severity=Severity.WARNING,
    what="Dropout is so strong that it prevents fitting the training set.",
    why="The network underfits although overfitting is not a risk.",
    recommendation="Halve the dropout probability.",
    find=find,
    needs=("model_summary", "curves"),
    limits={"better": Limit(0.2, "validation loss 20 % below training loss; moderate dropout gives less")},
    causes=("F902", "F903"),
    fixes=(Fix(action="set_dropout", value=0.2, say="Use less dropout.", code="nn.Dropout(0.2)"),),
    false_positives=(
        "A training loss averaged over an epoch lags behind: INFO unless the training learns poorly.",
        "Augmentation of the training data, and an easier validation set, have the same symptoms.",
    ),
    sources=("Srivastava et al. 2014: training error under dropout.",),
    fires_on=(
        lambda: example_run(
            loss=falling(2.4, 1.8),
            curves={"val/loss": falling(2.3, 1.1, steps=20)},
            layers=dense_layers((20, 64, 64, 10), dropout=0.8),
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(loss=falling(2.4, 1.8), curves={"val/loss": falling(2.3, 1.1, steps=20)}),
        lambda: example_run(
            objective=classes(label_smoothing=0.1),
            loss=falling(2.4, 1.8),
            curves={"val/loss": falling(2.3, 1.1, steps=20)},
            layers=dense_layers((20, 64, 64, 10), dropout=0.8),
        ),
    ),
)
