"""U606: the optimizer or one of its settings is unsuitable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, known_settings, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import OptimizerInfo, ParameterGroup
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy, optimizer
from babysit.rules.onset import first_nonfinite
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.updates.lr_too_low import travelled

# Half of the smallest positive number: values up to it round to 0.
ROUNDED_TO_ZERO: Final = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150}
# Optimizers that divide by epsilon; others are recognized by having one.
DIVIDING: Final = {"Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"}
EPSILON_ADVICE: Final = (
    "Keep the weights in float32 (autocast with a GradScaler, or bfloat16), or set eps=1e-4 for weights in float16."
)


def _setting(group: ParameterGroup, kind: str, limits: Limits) -> str:
    if (momentum := group.momentum or 0.0) > limits["momentum"]:
        return f"momentum {momentum:g} averages over more than {1 / max(1 - momentum, 1e-9):.0f} steps"
    if group.betas and max(group.betas) >= 1:
        return f"betas {group.betas} never discard old gradients"
    if kind.startswith("Adam") and (epsilon := group.epsilon or 0.0) > limits["epsilon"]:
        return f"epsilon {epsilon:g} is larger than most gradients, so Adam hardly normalizes them"
    if group.lr is not None and group.lr < 0:
        return f"the learning rate {group.lr:g} is negative"
    return ""


def _vanished_epsilon(one: OptimizerInfo, run: Run) -> str:
    """Describe an epsilon that rounds to 0 in the precision of the weights, if an update made them non-finite."""
    onset = first_nonfinite(run)
    if onset is None or onset.what not in ("update", "weights"):
        return ""
    for group in one.groups:
        epsilon = group.epsilon
        if epsilon is None or not (epsilon > 0 or one.kind in DIVIDING):
            continue
        if epsilon <= ROUNDED_TO_ZERO.get(group.dtype, 0.0):
            return (
                f"epsilon {epsilon:g} rounds to 0 in {group.dtype or 'any precision'}, and {one.kind} divides by "
                "the root of averaged squared gradients plus epsilon: if both are 0, the update is not finite "
                f"(step {onset.step})"
            )
    return ""


def _slow_kind(one: OptimizerInfo, run: Run, limits: Limits) -> str:
    """Describe optimizers whose updates shrink, or start tiny, at a learning rate that suits other optimizers."""
    lr = max(known_settings([one], "lr"), default=float("nan"))
    _, ratio = travelled(run)
    if not ratio < limits["ratio"] or math.isnan(lr):
        return ""
    if one.kind == "Adadelta" and lr < limits["adadelta"]:
        return (
            f"Adadelta with learning rate {lr:g} has tiny updates ({100 * ratio:.2g} % of the weights); its "
            "default learning rate is 1"
        )
    if one.kind == "Adagrad" and lr <= limits["adagrad"]:
        return (
            f"Adagrad divides its learning rate of {lr:g} by the accumulated gradients, so updates vanish "
            f"({100 * ratio:.2g} %)"
        )
    if one.kind in {"SGD", "ASGD"} and all(group.momentum == 0 for group in one.groups):
        return (
            f"plain SGD with learning rate {lr:g} changes the weights by {100 * ratio:.2g} % per step (typical: 0.1 %)"
        )
    return ""


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the settings of each optimizer in runs that learn poorly."""
    if adversarial(run) or not is_underperforming(run):
        return
    for one in model_summary_of(run).optimizers:
        vanished = _vanished_epsilon(one, run)
        wrong = vanished or next(
            (problem for problem in (_setting(group, one.kind, limits) for group in one.groups) if problem), ""
        )
        slow = "" if wrong else _slow_kind(one, run, limits)
        if wrong or slow:
            plain = one.kind in {"SGD", "ASGD"} and not wrong
            yield Evidence(
                first_step=0,
                # Plain SGD that is too slow is reported as lr-too-low; here it only suggests a better optimizer.
                severity=Severity.ERROR if vanished else Severity.INFO if plain else Severity.WARNING,
                numbers={"optimizer": one.kind, "lr": max(known_settings([one], "lr"), default=float("nan"))},
                message=f"{(wrong or slow)[0].upper()}{(wrong or slow)[1:]}.",
                recommendation=EPSILON_ADVICE if vanished else "",
                confidence=0.9 if vanished else 0.7,
            )


RULE = Rule(
    code="U606",
    name="unsuitable-optimizer",
    severity=Severity.WARNING,
    what="The optimizer or its settings are unsuitable: momentum, betas, epsilon, or an optimizer with tiny updates.",
    why="Each optimizer has its own scale of learning rates; at that of another it hardly learns, or diverges.",
    recommendation="Begin with Adam, a learning rate of 1e-3 and default settings.",
    find=find,
    needs=("model_summary", "curves"),
    limits={
        "momentum": Limit(0.995, "0.9 is typical and 0.99 the highest in common use; the default of torch is 0"),
        "epsilon": Limit(1e-2, "the default of torch is 1e-8; some vision models use 1e-3"),
        "adadelta": Limit(0.1, "the default learning rate of Adadelta in torch is 1"),
        "adagrad": Limit(1e-3, "the default learning rate of Adagrad in torch is 1e-2"),
        "ratio": Limit(3e-4, "a third of the typical update ratio of 1e-3"),
    },
    causes=(*NOT_LEARNING, *BLOWING_UP, "U601", "U602"),
    fixes=(
        Fix(
            action="set_optimizer",
            value="Adam",
            say="Use Adam with learning rate 1e-3.",
            code="optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)",
        ),
    ),
    false_positives=("Large-batch training with tuned settings: not reported if the training learns.",),
    sources=("Defaults of torch.optim.",),
    fires_on=(
        lambda: example_run(
            loss=np.r_[2.3, np.full(399, np.nan)],
            layer_metrics={"nonfinite_stage": np.r_[4, np.ones(38)][:, None]},
            facts={"optimizers": (optimizer(epsilon=1e-8, dtype="float16"),)},
        ),
        lambda: example_run(
            loss=flat(2.3),
            layer_metrics={"update_ratio": 1e-5},
            facts={"optimizers": (optimizer("Adadelta", lr=1e-3),)},
        ),
        lambda: example_run(loss=flat(2.3), facts={"optimizers": (optimizer("SGD", momentum=0.999),)}),
    ),
    silent_on=(
        healthy,
        lambda: example_run(loss=flat(2.3)),
        lambda: example_run(
            loss=np.r_[2.3, np.full(399, np.nan)],
            layer_metrics={"nonfinite_stage": np.r_[4, np.ones(38)][:, None]},
            facts={"optimizers": (optimizer(epsilon=1e-8, dtype="bfloat16"),)},
        ),
    ),
)
