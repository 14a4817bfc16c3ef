"""U606: the optimizer or one of its settings does not fit."""

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

# Half of the smallest number above 0: what is not larger rounds to 0.
ROUNDED_TO_ZERO: Final = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150}
# They divide by their epsilon; other kinds are known by having one.
DIVIDING: Final = {"Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"}
EPSILON_ADVICE: Final = (
    "Keep the weights in float32 (autocast with a GradScaler, or bfloat16), or set eps=1e-4 for weights in float16."
)


def _setting(group: ParameterGroup, kind: str, limits: Limits) -> str:
    if (momentum := group.momentum or 0.0) > limits["momentum"]:
        return f"momentum {momentum:g} remembers more than {1 / max(1 - momentum, 1e-9):.0f} steps"
    if group.betas and max(group.betas) >= 1:
        return f"betas {group.betas} never forget"
    if kind.startswith("Adam") and (epsilon := group.epsilon or 0.0) > limits["epsilon"]:
        return f"epsilon {epsilon:g} is larger than most gradients, so that Adam hardly scales them"
    if group.lr is not None and group.lr < 0:
        return f"the learning rate {group.lr:g} is negative"
    return ""


def _vanished_epsilon(one: OptimizerInfo, run: Run) -> str:
    """An epsilon that is 0 in the precision of the weights, when a step with finite gradients broke the weights."""
    onset = first_nonfinite(run)
    if onset is None or onset.what not in ("update", "weights"):
        return ""
    for group in one.groups:
        epsilon = group.epsilon
        if epsilon is None or not (epsilon > 0 or one.kind in DIVIDING):
            continue
        if epsilon <= ROUNDED_TO_ZERO.get(group.dtype, 0.0):
            return (
                f"epsilon {epsilon:g} is 0 in {group.dtype or 'any precision'}, and {one.kind} divides by the "
                f"root of averaged squared gradients plus epsilon: where those are 0 too, the step is no number (step "
                f"{onset.step})"
            )
    return ""


def _slow_kind(one: OptimizerInfo, run: Run, limits: Limits) -> str:
    """Optimizers whose steps shrink by themselves, or start tiny, at a learning rate that suits others."""
    lr = max(known_settings([one], "lr"), default=float("nan"))
    _, ratio = travelled(run)
    if not ratio < limits["ratio"] or math.isnan(lr):
        return ""
    if one.kind == "Adadelta" and lr < limits["adadelta"]:
        return (
            f"Adadelta with learning rate {lr:g} takes tiny steps ({100 * ratio:.2g} % of the weights); "
            "it is made for learning rate 1"
        )
    if one.kind == "Adagrad" and lr <= limits["adagrad"]:
        return (
            f"Adagrad divides its learning rate of {lr:g} by all gradients so far, and steps fade ({100 * ratio:.2g} %)"
        )
    if one.kind in {"SGD", "ASGD"} and all(group.momentum == 0 for group in one.groups):
        return f"plain SGD with learning rate {lr:g} changes the weights by {100 * ratio:.2g} % a step (0.1 % is usual)"
    return ""


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the settings of each optimizer; what only slows down is an alarm when training is poor."""
    if adversarial(run) or not is_underperforming(run):
        return
    for one in model_summary_of(run).optimizers:
        vanished = _vanished_epsilon(one, run)
        wrong = vanished or next(
            (said for said in (_setting(group, one.kind, limits) for group in one.groups) if said), ""
        )
        slow = "" if wrong else _slow_kind(one, run, limits)
        if wrong or slow:
            plain = one.kind in {"SGD", "ASGD"} and not wrong
            yield Evidence(
                first_step=0,
                # Plain SGD that is too slow is told as lr-too-low; here it is a hint at a better optimizer.
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
    what="The optimizer or its settings are unfit: odd momentum, betas or epsilon, or a kind that barely moves here.",
    why="Each optimizer has its own scale of learning rates; at another's it hardly moves, or never stops.",
    recommendation="Begin with Adam at 1e-3 and its default settings.",
    find=find,
    needs=("model_summary", "curves"),
    limits={
        "momentum": Limit(0.995, "0.9 is usual and 0.99 the most in use; torch's own default is 0"),
        "epsilon": Limit(1e-2, "torch's default is 1e-8; some vision recipes use 1e-3"),
        "adadelta": Limit(0.1, "torch's default learning rate for Adadelta is 1"),
        "adagrad": Limit(1e-3, "torch's default learning rate for Adagrad is 1e-2"),
        "ratio": Limit(3e-4, "a third of the usual update ratio of 1e-3"),
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
    false_positives=("Large-batch recipes with tuned settings: silent while they learn.",),
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
