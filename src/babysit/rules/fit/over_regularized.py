"""F908: dropout keeps the training set from being fitted."""

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
    """Fires when validation is clearly better than training, as only regularization can make it, and both are poor."""
    level = levels(run)
    _, validation = values_of(run.curves.get(VAL_LOSS))
    if level is None or level.broken_at is not None or adversarial(run) or len(validation) < 3 or level.end <= 0:
        return
    rates = [layer.dropout for layer in model_summary_of(run).layers if layer.dropout > 0]
    objectives = model_summary_of(run).objectives
    # What else differs between the two losses explains the gap as well.
    if not rates or any(one.composite or one.label_smoothing > 0 or one.class_weights for one in objectives):
        return
    better = 1 - last_mean(validation) / level.end
    if better > limits["better"] and level.end - last_mean(validation) > 3 * noise_of(validation):
        yield Evidence(
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            confidence=0.5,
            numbers={"train": level.end, "validation": last_mean(validation), "dropout": max(rates)},
            message=f"At the end the loss is {level.ended} in training and {last_mean(validation):.4g} on validation "
            f"(mean of the last tenth): dropout (p = {max(rates):g}), which validation switches off, may cost more "
            "than it brings.",
        )


RULE = Rule(
    code="F908",
    name="over-regularized",
    severity=Severity.WARNING,
    what="Dropout so strong that training is worse than it need be.",
    why="The network is kept from learning what it could without fear of overfitting.",
    recommendation="Halve the dropout rate.",
    find=find,
    needs=("model_summary", "curves"),
    limits={"better": Limit(0.2, "validation a fifth below training; moderate dropout gives less")},
    causes=("F902", "F903"),
    fixes=(Fix(action="set_dropout", value=0.2, say="Use less dropout.", code="nn.Dropout(0.2)"),),
    false_positives=(
        "Training loss averaged over an epoch lags behind: harm is asked for.",
        "Augmentation of the training data alone, and an easier validation set, look the same.",
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
