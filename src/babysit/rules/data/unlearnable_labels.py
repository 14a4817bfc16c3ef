"""D108: labels that are unrelated to the inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.baseline import prior_loss
from babysit.analysis.layer_metrics import last_known, overall, select
from babysit.analysis.learning import FEW_SAMPLES, explained_loss_share, falling, is_underperforming
from babysit.analysis.loss_curve import BLOCKS, Floats, blocks, levels, values_of
from babysit.analysis.model_structure import main_objective, model_summary_of, weight_layers
from babysit.records.curves import TRAIN_ACCURACY, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective
from babysit.records.run import Run
from babysit.rules import examples
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.updates.lr_too_high import ratios


def _chance(objective: Objective) -> float | None:
    """Return the accuracy of predicting the most frequent class; None if no classes were observed."""
    counts = objective.class_counts
    return max(counts) / sum(counts) if sum(counts) else None


def _clearly_right(chance: float, samples: float, limits: Limits) -> float:
    """Return the accuracy over this number of samples that is significantly above chance."""
    return chance + limits["errors"] * float(np.sqrt(chance * (1 - chance) / max(samples, 1.0)))


def _shares(run: Run, name: str) -> Floats:
    """Return accuracies as fractions, converting percentages."""
    _, values = values_of(run.curves.get(name))
    return values / 100 if len(values) and values.max() > 1.5 else values


def _validation_ever_right(run: Run, objective: Objective, prior: float, limits: Limits) -> bool:
    """Check whether validation was ever clearly better than a constant prediction, by accuracy or loss."""
    chance, accuracies = _chance(objective), _shares(run, VAL_ACCURACY)
    _, losses = values_of(run.curves.get(VAL_LOSS))
    by_accuracy = chance is not None and bool(len(accuracies)) and chance < 1
    better = by_accuracy and float(accuracies.max()) > _clearly_right(chance or 0.0, FEW_SAMPLES, limits)
    return better or (len(losses) > 0 and float(losses.min()) < (1 - limits["clearly"]) * prior)


def _training_ever_right(run: Run, objective: Objective, prior: float, limits: Limits) -> bool:
    """Check whether training was ever clearly better than a constant prediction, by loss or accuracy."""
    level, chance = levels(run), _chance(objective)
    _, losses = values_of(run.curves.get(TRAIN_LOSS))
    if level is None or not len(losses):
        return False
    noise = limits["errors"] * level.noise / float(np.sqrt(max(1.0, len(losses) / BLOCKS)))
    if level.best < prior - max(limits["clearly"] * prior, noise):
        return True
    accuracies = _shares(run, TRAIN_ACCURACY)
    if chance is None or chance >= 1 or len(accuracies) < limits["looks"]:
        return False
    means = blocks(accuracies, int(limits["looks"]))
    samples = len(accuracies) / len(means) * max(1, model_summary_of(run).batch_size)
    return float(means.max()) > _clearly_right(chance, samples, limits)


def _long_enough(run: Run, limits: Limits) -> bool:
    """Check whether the run is long enough to conclude that nothing is learned, and its batches large enough."""
    level, batch = levels(run), model_summary_of(run).batch_size
    if level is None or level.steps < limits["steps"] or batch < limits["batch"]:
        return False
    split = run.data.split("train") if run.data is not None else None
    passes = level.steps * batch / split.samples if split is not None and split.samples else 0.0
    return level.steps * batch >= limits["samples"] or passes >= limits["passes"]


def _healthy_network(run: Run, limits: Limits) -> bool:
    """Check whether updates, gradients and units are in the range of networks that learn."""
    sizes = ratios(run)
    known = sizes[np.isfinite(sizes)]
    gradients = list(select(weight_layers(run, trainable=True), overall(run, "gradient_rms")).values())
    dead = select(weight_layers(run), last_known(run, "dead"))
    if not len(known) or not gradients or min(gradients) <= 0:
        return False
    pace = limits["slowest"] < float(np.median(known)) < limits["fastest"]
    return pace and min(gradients) > 1e-3 * max(gradients) and max(dead.values(), default=0.0) < 0.5


def _only_memorized(run: Run, chance: float | None, prior: float, limits: Limits) -> Evidence | None:
    """Report a training loss that decreased while validation was never better than a constant prediction."""
    trained = explained_loss_share(run)
    _, losses = values_of(run.curves.get(VAL_LOSS))
    accuracies = _shares(run, VAL_ACCURACY)
    if trained is None:
        return None
    at_prior = len(losses) >= limits["looks"] and float(losses.min()) > (1 - limits["near"]) * prior
    by_loss = at_prior and trained > limits["memorized"]
    by_accuracy = (
        chance is not None and len(accuracies) > 0 and not len(losses) and trained > limits["a_little"] and falling(run)
    )
    if not (by_loss or by_accuracy):
        return None
    result = (
        f"the lowest validation loss is {losses.min():.4g}, and a constant prediction has {prior:.4g}"
        if by_loss
        else f"the highest validation accuracy is {100 * accuracies.max():.0f} %, and the most frequent class "
        f"gives {100 * (chance or 0.0):.0f} %"
    )
    return Evidence(
        numbers={
            "train_skill": trained,
            "prior_loss": prior,
            "best_validation": float(losses.min() if by_loss else accuracies.max()),
        },
        message=f"Possible cause: labels misaligned with the inputs. Training removed {100 * trained:.0f} % of the "
        f"baseline loss, but {result}: the network memorized the training set. This is a guess by exclusion.",
        confidence=limits["sure"],
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for memorization only, or for no learning at all despite healthy updates and gradients."""
    objective, level, prior = main_objective(run), levels(run), prior_loss(run)
    if objective is None or level is None or prior is None or level.broken_at is not None:
        return
    if not _long_enough(run, limits) or _validation_ever_right(run, objective, prior, limits):
        return
    memorized = _only_memorized(run, _chance(objective), prior, limits)
    if memorized is not None:
        yield memorized
        return
    if _training_ever_right(run, objective, prior, limits) or not _healthy_network(run, limits):
        return
    if abs(level.end - prior) < limits["near"] * prior and is_underperforming(run):
        yield Evidence(
            numbers={
                "end_loss": level.end,
                "lowest_loss": level.lowest,
                "prior_loss": prior,
                "samples": level.steps * model_summary_of(run).batch_size,
            },
            message="Possible cause: labels misaligned with the inputs. Updates and gradients look normal, but "
            f"the loss ends at {level.ended}, and a constant prediction has {prior:.4g}. This is a guess by "
            "exclusion: no measurement explains it.",
            confidence=limits["sure"],
        )


RULE = Rule(
    code="D108",
    name="unlearnable-labels",
    severity=Severity.WARNING,
    what="Labels that are unrelated to the inputs: shuffled, wrongly joined, or random.",
    why="There is nothing to generalize: a large network memorizes the training set, a small one learns only "
    "class frequencies.",
    recommendation="Inspect ten samples with their labels; shuffle inputs and labels with the same permutation.",
    find=find,
    fallback=True,
    needs=("model_summary", "curves"),
    limits={
        "near": Limit(0.03, "within 3 % of the loss of a constant prediction"),
        "clearly": Limit(0.1, "removing a tenth of the baseline loss does not happen by chance"),
        "errors": Limit(4.0, "standard errors; the best of 30 evaluations by chance lies two above chance"),
        "memorized": Limit(0.3, "training removed three tenths of the baseline loss, validation nothing"),
        "a_little": Limit(0.05, "a twentieth of the baseline loss: more than noise, on training data"),
        "looks": Limit(3, "too few evaluations to estimate a level"),
        "sure": Limit(0.3, "a guess: no measurement supports it"),
        "steps": Limit(200, "too few steps to conclude that nothing is learned"),
        "samples": Limit(
            10_000, "nine times what the slowest healthy training of the tests needed to beat a constant prediction"
        ),
        "passes": Limit(10, "ten epochs of a small training set count as well"),
        "batch": Limit(4, "the gradient of one or two samples is mostly noise, which has the same symptoms"),
        "slowest": Limit(3e-4, "a third of the typical update ratio"),
        "fastest": Limit(0.03, "thirty times the typical update ratio"),
    },
    causes=("F901", "F902", "F905", "O210", "A406"),
    fixes=(
        Fix(
            action="check_labels",
            say="Keep inputs and labels together.",
            code="order = torch.randperm(len(x))\nx, y = x[order], y[order]",
        ),
    ),
    false_positives=(
        "A task that needs far more data or training.",
        "Not reported if the run was ever clearly better than a constant prediction, in training or validation.",
    ),
    sources=("Zhang et al. 2017 (arXiv 1611.03530): networks memorize random labels.",),
    fires_on=(
        lambda: example_run(loss=flat(2.302)),
        lambda: example_run(loss=examples.falling(2.4, 0.4), curves={"val/loss": np.linspace(2.31, 6.0, 20)}),
        lambda: example_run(loss=examples.falling(2.4, 1.8), curves={"val/accuracy": np.full(20, 0.11)}),
    ),
    silent_on=(
        healthy,
        lambda: example_run(curves={"val/loss": np.linspace(2.3, 0.5, 20)}),
        lambda: example_run(loss=np.r_[examples.falling(2.4, 0.5, steps=200), flat(2.302, steps=200)]),
        lambda: example_run(loss=flat(2.302), curves={"val/accuracy": np.r_[0.1, 0.4, 0.1, 0.1]}),
        lambda: example_run(loss=flat(2.302), curves={"train/accuracy": np.full(40, 0.3)}),
        lambda: example_run(loss=flat(2.302), facts={"batch_size": 1}),
        lambda: example_run(loss=flat(2.302), facts={"batch_size": 16}),
    ),
)
