"""Findings of the synthetic runs, written out."""

from __future__ import annotations

from typing import Final

from babysit.records.finding import Finding, Fix, Severity

DIVERGING: Final = (
    Finding(
        code="U601",
        name="lr-too-high",
        severity=Severity.ERROR,
        rank=1,
        first_step=0,
        last_step=159,
        layers=("hidden.0", "hidden.1", "hidden.2", "output"),
        evidence={"update_ratio": 0.41, "limit": 0.1, "lr": 1.0},
        message="Each step changes the weights by 41 % of their size; about 0.1 % is usual. "
        "Steps this large overshoot, and the loss grows.",
        recommendation="Divide the learning rate by 100 (from 1 to 0.01), then look for the best one with `babysit "
        "check`.",
        fixes=(
            Fix(
                action="scale_lr",
                value=0.01,
                say="divide the learning rate by 100",
                code="optimizer.param_groups[0]['lr'] = 1e-2",
            ),
        ),
        confidence=0.97,
    ),
    Finding(
        code="F906",
        name="diverging-loss",
        severity=Severity.ERROR,
        rank=2,
        explained_by="U601",
        first_step=9,
        last_step=128,
        evidence={"first": 2.31, "largest": float("inf"), "nan_from": 128},
        message="The loss grew from 2.31 to infinity by step 120 and is NaN from step 128 on.",
        recommendation="No separate fix: lower the learning rate.",
    ),
    Finding(
        code="G502",
        name="exploding-gradient",
        severity=Severity.WARNING,
        rank=3,
        explained_by="F906",
        first_step=40,
        last_step=125,
        layers=("hidden.0",),
        evidence={"growth": 4.1e5},
        message="The gradient of hidden.0 grew 410,000-fold within 80 steps.",
    ),
)

DEAD_UNITS: Final = (
    Finding(
        code="A401",
        name="dead-units",
        severity=Severity.WARNING,
        rank=1,
        first_step=48,
        last_step=799,
        layers=("hidden.1",),
        evidence={"dead_share": 0.92, "usual_share": 0.2, "died_at_step": 60},
        message="92 % of the units of hidden.1 are zero on all samples since about step 60, "
        "so they no longer learn. "
        "They were alive at the start: the learning rate is the cause, not the initialization.",
        recommendation="Train again with a tenth of the learning rate; if units still die, use a leaky ReLU.",
        fixes=(
            Fix(
                action="scale_lr",
                value=0.1,
                say="divide the learning rate by 10",
                code="optimizer.param_groups[0]['lr'] *= 0.1",
            ),
            Fix(
                action="replace_activation",
                target="hidden.1",
                value="leaky_relu",
                say="let the units of hidden.1 leak",
                code="model.hidden[3] = torch.nn.LeakyReLU(0.01)",
            ),
        ),
        confidence=0.9,
    ),
)

OVERFITTING: Final = (
    Finding(
        code="F901",
        name="overfitting",
        severity=Severity.WARNING,
        rank=1,
        first_step=520,
        last_step=2399,
        evidence={"best_validation": 0.97, "last_validation": 1.96, "gap_accuracy": 0.3},
        message="Since step 520 the training loss falls while the validation loss rises (0.97 to 1.96): "
        "what is learned no longer generalizes to new data.",
        recommendation="Stop at the lowest validation loss, then add weight decay or dropout, or get more data.",
        fixes=(
            Fix(
                action="stop_earlier",
                value=520.0,
                say="stop at step 520",
                code="fit(model, splits, settings=FitSettings(patience=8))",
            ),
            Fix(action="set_weight_decay", value=1e-3, say="add weight decay 1e-3"),
        ),
    ),
    Finding(
        code="F907",
        name="underconfident-predictions",
        severity=Severity.INFO,
        rank=2,
        first_step=0,
        last_step=80,
        evidence={"accuracy_gain": 0.12},
        message="Accuracy rose by 12 points while the loss hardly moved.",
    ),
)

BEST_AT_EDGE: Final = (
    Finding(
        code="S001",
        name="best-at-edge",
        severity=Severity.WARNING,
        rank=1,
        evidence={"parameter": "lr", "best": 0.0095, "high": 0.01},
        message="The best learning rate, 0.0095, lies at the upper edge of its range (up to 0.01).",
        recommendation="Search again with the range shifted upward: 1e-3 to 0.1.",
    ),
)
