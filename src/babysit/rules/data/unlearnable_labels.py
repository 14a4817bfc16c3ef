"""D108: labels that have nothing to do with the inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import of, whole
from babysit.analysis.learning import FEW_SAMPLES, loss_skill, poor, prior_loss
from babysit.analysis.learning import falling as falling_loss
from babysit.analysis.loss_curve import levels, values_of
from babysit.analysis.model_structure import main_objective, weight_layers
from babysit.records.curves import ACCURACY_VALIDATION, LOSS_VALIDATION
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, falling, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.updates.rate_too_high import ratios


def _validation_at_chance(run: Run, near: float) -> float | None:
    """The best validation loss relative to the prior, when it never got below; None otherwise or when unknown."""
    prior = prior_loss(run)
    _, values = values_of(run.curves.get(LOSS_VALIDATION))
    if prior is None or len(values) < 3:
        return None
    best = float(values.min()) / prior
    return best if best > 1 - near else None


def _sound_network(run: Run, limits: Limits) -> bool:
    """Whether steps, gradients and units look as they do in networks that learn."""
    sizes = ratios(run)
    known = sizes[np.isfinite(sizes)]
    gradients = list(of(weight_layers(run, trainable=True), whole(run, "gradient_rms")).values())
    dead = of(weight_layers(run), whole(run, "dead"))
    if not len(known) or not gradients or min(gradients) <= 0:
        return False
    pace = limits["slowest"] < float(np.median(known)) < limits["fastest"]
    return pace and min(gradients) > 1e-3 * max(gradients) and max(dead.values(), default=0.0) < 0.5


def _never_right(run: Run, chance: float | None, limits: Limits) -> bool:
    """Whether no evaluation was right more often than by guessing, as far as a few hundred samples can tell."""
    _, accuracies = values_of(run.curves.get(ACCURACY_VALIDATION))
    level = levels(run)
    if chance is None or not len(accuracies) or level is None or level.looks < limits["steps"]:
        return False
    error = float(np.sqrt(chance * (1 - chance) / FEW_SAMPLES))
    return float(accuracies.max()) < chance + error


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Two signs: training learned by heart and validation never beat chance; or a sound network learned nothing."""
    objective, level, prior = main_objective(run), levels(run), prior_loss(run)
    if objective is None or level is None or prior is None or level.broken_at is not None:
        return
    trained = loss_skill(run)
    at_chance = _validation_at_chance(run, limits["near"])
    _, accuracies = values_of(run.curves.get(ACCURACY_VALIDATION))
    chance = max(objective.class_counts) / sum(objective.class_counts) if sum(objective.class_counts) else None
    guessing = chance is None or not len(accuracies) or float(accuracies.max()) < chance + 0.1
    if at_chance is not None and guessing and trained is not None and trained > limits["by_heart"]:
        yield Evidence(
            numbers={"train_skill": trained, "best_validation_to_prior": at_chance},
            meaning=f"The network learned the training labels by heart ({100 * trained:.0f} % of the loss removed), "
            f"yet validation was never better than guessing ({at_chance:.2f} times the loss of a constant answer).",
            confidence=0.7,
        )
        return
    beyond = trained is not None and trained > limits["a_little"] and falling_loss(run)
    if beyond and at_chance is None and _never_right(run, chance, limits):
        yield Evidence(
            numbers={"train_skill": trained or 0.0, "validation_accuracy": float(accuracies.max())},
            meaning=f"Training removed {100 * (trained or 0.0):.0f} % of the loss, and on other data the network is "
            f"right {100 * float(accuracies.max()):.0f} times of 100, as often as by guessing: what it learns of these "
            "labels holds for nothing else.",
            confidence=0.6,
        )
        return
    sizes, mixed = _sound_network(run, limits), abs(level.end - prior) < limits["near"] * prior
    if sizes and mixed and poor(run) and level.looks >= limits["steps"]:
        yield Evidence(
            numbers={"end_loss": level.end, "prior_loss": prior, "steps": level.steps},
            meaning=f"Updates and gradients look sound, and still the loss stays at {level.end:.4g}, where a constant "
            f"answer gives {prior:.4g}: the labels may not belong to these inputs.",
            confidence=0.5,
        )


RULE = Rule(
    code="D108",
    name="unlearnable-labels",
    severity=Severity.WARNING,
    what="Labels that are unrelated to the inputs: shuffled, wrongly joined, or random.",
    why="There is nothing to generalize; a large network learns by heart, a small one only the frequencies.",
    advice="Look at ten samples with their labels; shuffle inputs and labels with the same permutation.",
    find=find,
    by_exclusion=True,
    needs=("anatomy", "curves"),
    limits={
        "near": Limit(0.03, "within 3 % of the loss of a constant answer"),
        "by_heart": Limit(0.3, "training removed three tenths of the prior loss, validation nothing"),
        "a_little": Limit(0.05, "a twentieth of the prior loss: more than noise, on training data"),
        "steps": Limit(100, "fewer steps say only that nobody waited"),
        "slowest": Limit(3e-4, "a third of the usual update ratio"),
        "fastest": Limit(0.03, "thirty times the usual update ratio"),
    },
    leads_to=("F901", "F902", "F905", "O210", "A406"),
    treatments=(
        Treatment(
            action="check_labels",
            say="Keep inputs and labels together.",
            code="order = torch.randperm(len(x))\nx, y = x[order], y[order]",
        ),
    ),
    false_positives=("A task that needs far more data than there is.",),
    sources=("Zhang et al. 2017 (arXiv 1611.03530): networks fit random labels by heart.",),
    fires_on=(
        lambda: example_run(loss=falling(2.4, 0.4), curves={"loss/validation": np.linspace(2.31, 6.0, 20)}),
        lambda: example_run(loss=flat(2.302)),
    ),
    silent_on=(healthy, lambda: example_run(curves={"loss/validation": np.linspace(2.3, 0.5, 20)})),
)
