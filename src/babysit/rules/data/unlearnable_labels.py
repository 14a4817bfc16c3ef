"""D108: labels that have nothing to do with the inputs."""

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
    """How often guessing the most frequent class is right; None when no classes were seen."""
    counts = objective.class_counts
    return max(counts) / sum(counts) if sum(counts) else None


def _clearly_right(chance: float, samples: float, limits: Limits) -> float:
    """The accuracy above which an answer over so many samples is no guess."""
    return chance + limits["errors"] * float(np.sqrt(chance * (1 - chance) / max(samples, 1.0)))


def _shares(run: Run, name: str) -> Floats:
    """Accuracies as shares, whether they came as such or as per cent."""
    _, values = values_of(run.curves.get(name))
    return values / 100 if len(values) and values.max() > 1.5 else values


def _validation_ever_right(run: Run, objective: Objective, prior: float, limits: Limits) -> bool:
    """Whether validation was once clearly better than a constant answer, by accuracy or by loss."""
    chance, accuracies = _chance(objective), _shares(run, VAL_ACCURACY)
    _, losses = values_of(run.curves.get(VAL_LOSS))
    by_accuracy = chance is not None and bool(len(accuracies)) and chance < 1
    better = by_accuracy and float(accuracies.max()) > _clearly_right(chance or 0.0, FEW_SAMPLES, limits)
    return better or (len(losses) > 0 and float(losses.min()) < (1 - limits["clearly"]) * prior)


def _training_ever_right(run: Run, objective: Objective, prior: float, limits: Limits) -> bool:
    """Whether some part of the run was clearly better than a constant answer, by training loss or accuracy."""
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
    """Whether training saw enough to tell that it gets nowhere, in batches that have a direction."""
    level, batch = levels(run), model_summary_of(run).batch_size
    if level is None or level.steps < limits["steps"] or batch < limits["batch"]:
        return False
    split = run.data.split("train") if run.data is not None else None
    passes = level.steps * batch / split.samples if split is not None and split.samples else 0.0
    return level.steps * batch >= limits["samples"] or passes >= limits["passes"]


def _sound_network(run: Run, limits: Limits) -> bool:
    """Whether steps, gradients and units look as they do in networks that learn."""
    sizes = ratios(run)
    known = sizes[np.isfinite(sizes)]
    gradients = list(select(weight_layers(run, trainable=True), overall(run, "gradient_rms")).values())
    dead = select(weight_layers(run), last_known(run, "dead"))
    if not len(known) or not gradients or min(gradients) <= 0:
        return False
    pace = limits["slowest"] < float(np.median(known)) < limits["fastest"]
    return pace and min(gradients) > 1e-3 * max(gradients) and max(dead.values(), default=0.0) < 0.5


def _only_memorized(run: Run, chance: float | None, prior: float, limits: Limits) -> Evidence | None:
    """The training loss fell, and validation was never better than a constant answer."""
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
    seen = (
        f"the lowest validation loss is {losses.min():.4g}, where a constant answer gives {prior:.4g}"
        if by_loss
        else f"the highest validation accuracy is {100 * accuracies.max():.0f} %, and guessing gives "
        f"{100 * (chance or 0.0):.0f} %"
    )
    return Evidence(
        numbers={
            "train_skill": trained,
            "prior_loss": prior,
            "best_validation": float(losses.min() if by_loss else accuracies.max()),
        },
        message=f"Possible cause: the labels do not belong to these inputs. Training removed {100 * trained:.0f} % of "
        f"the loss, and {seen}. This is a guess by exclusion: what is learned holds for no other data.",
        confidence=limits["sure"],
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Two signs, and nothing in the record against them: only memorized, or nothing learned by sound steps."""
    objective, level, prior = main_objective(run), levels(run), prior_loss(run)
    if objective is None or level is None or prior is None or level.broken_at is not None:
        return
    if not _long_enough(run, limits) or _validation_ever_right(run, objective, prior, limits):
        return
    memorized = _only_memorized(run, _chance(objective), prior, limits)
    if memorized is not None:
        yield memorized
        return
    if _training_ever_right(run, objective, prior, limits) or not _sound_network(run, limits):
        return
    if abs(level.end - prior) < limits["near"] * prior and is_underperforming(run):
        yield Evidence(
            numbers={
                "end_loss": level.end,
                "lowest_loss": level.lowest,
                "prior_loss": prior,
                "samples": level.steps * model_summary_of(run).batch_size,
            },
            message="Possible cause: the labels do not belong to these inputs. Updates and gradients look sound, and "
            f"the loss ends at {level.ended}, where a constant answer gives {prior:.4g}. This is "
            "a guess by exclusion: nothing that was measured explains it.",
            confidence=limits["sure"],
        )


RULE = Rule(
    code="D108",
    name="unlearnable-labels",
    severity=Severity.WARNING,
    what="Labels that are unrelated to the inputs: shuffled, wrongly joined, or random.",
    why="There is nothing to generalize; a large network learns by heart, a small one only the frequencies.",
    recommendation="Look at ten samples with their labels; shuffle inputs and labels with the same permutation.",
    find=find,
    fallback=True,
    needs=("model_summary", "curves"),
    limits={
        "near": Limit(0.03, "within 3 % of the loss of a constant answer"),
        "clearly": Limit(0.1, "a tenth of a constant answer's loss removed is no accident"),
        "errors": Limit(4.0, "standard errors: of 30 evaluations by guessing the best lies two above chance"),
        "memorized": Limit(0.3, "training removed three tenths of the prior loss, validation nothing"),
        "a_little": Limit(0.05, "a twentieth of the prior loss: more than noise, on training data"),
        "looks": Limit(3, "fewer evaluations show no level"),
        "sure": Limit(0.3, "a guess: nothing that was measured speaks for it"),
        "steps": Limit(200, "fewer steps say only that training was short"),
        "samples": Limit(
            10_000, "nine times what the slowest sound training of tests/watcher/trainings.py needed to beat a constant"
        ),
        "passes": Limit(10, "of a small training set, ten passes as well"),
        "batch": Limit(4, "the gradient of one or two samples is mostly noise, which looks the same"),
        "slowest": Limit(3e-4, "a third of the usual update ratio"),
        "fastest": Limit(0.03, "thirty times the usual update ratio"),
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
        "A task that needs far more data or time than there was.",
        "Silent when the run was ever clearly better than a constant answer, in training or in validation.",
    ),
    sources=("Zhang et al. 2017 (arXiv 1611.03530): networks fit random labels by heart.",),
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
