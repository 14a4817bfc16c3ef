"""U603: trainable parameters do not change."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import select, table
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _never_changed(run: Run) -> list[str]:
    rows = table(run, "update_rms")
    if not len(rows):
        return []
    known = np.isfinite(rows).any(axis=0)
    unused = model_summary_of(run).unused_outputs
    unchanged = {
        name: 0.0
        for column, name in enumerate(run.layer_metrics.layers)
        if known[column] and np.nanmax(rows[:, column]) == 0 and name not in unused
    }
    return list(select(weight_layers(run, trainable=True), unchanged))


def _frozen(run: Run, share: float) -> Iterator[Evidence]:
    """Look for a mostly frozen network whose trainable part learns poorly."""
    model_summary = model_summary_of(run)
    frozen = [layer for layer in weight_layers(run) if not layer.trainable]
    count = sum(layer.parameters for layer in frozen)
    if (
        frozen
        and model_summary.parameters
        and count > share * model_summary.parameters
        and is_underperforming(run, below=0.3)
    ):
        yield Evidence(
            layers=tuple(layer.name for layer in frozen),
            first_step=0,
            numbers={"frozen_parameters": count, "parameters": model_summary.parameters},
            message=f"{count:,} of {model_summary.parameters:,} parameters are frozen (requires_grad is False), "
            "and the trainable part does not learn the task.",
            recommendation="If they should train: `model.requires_grad_(True)`. Setting the attribute "
            "requires_grad of a module has no effect.",
            confidence=0.7,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for trainable layers that no sampled step changed, then for a mostly frozen network."""
    # With several optimizers a sampled step belongs to one of them, so the layers of the others look unchanged.
    if adversarial(run) or len(run.layer_metrics.steps) < limits["samples"]:
        return
    unchanged = _never_changed(run)
    if unchanged and is_underperforming(run):
        layers = weight_layers(run, trainable=True)
        yield Evidence(
            layers=tuple(unchanged),
            first_step=int(run.layer_metrics.steps[0]),
            last_step=int(run.layer_metrics.steps[-1]),
            severity=Severity.ERROR if len(unchanged) == len(layers) else Severity.WARNING,
            numbers={"layers": len(unchanged), "of_layers": len(layers), "samples": len(run.layer_metrics.steps)},
            message=f"{len(unchanged)} of {len(layers)} trainable layers ({', '.join(unchanged[:4])}) did not "
            f"change at all in {len(run.layer_metrics.steps)} sampled steps.",
        )
    elif not unchanged:
        yield from _frozen(run, limits["frozen"])


RULE = Rule(
    code="U603",
    name="unchanged-weights",
    severity=Severity.WARNING,
    what="Trainable parameters do not change.",
    why="A layer that keeps its random weights does not learn.",
    recommendation="Check that the optimizer has these parameters, that they require gradients, and that the loss "
    "depends on them.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={
        "samples": Limit(5, "a handful of sampled steps"),
        "frozen": Limit(0.5, "more than half of the network is frozen"),
    },
    causes=NOT_LEARNING,
    fixes=(
        Fix(
            action="change_code",
            say="Make them trainable.",
            code="model.requires_grad_(True)\noptimizer = torch.optim.Adam(model.parameters())",
        ),
    ),
    false_positives=("An intentionally frozen backbone: not reported if its head learns.",),
    sources=("DeepDiagnosis (ICSE 2022): unchanged weights.",),
    fires_on=(
        lambda: example_run(loss=flat(2.3), layer_metrics={"update_rms": 0.0, "update_ratio": 0.0}),
        lambda: example_run(
            layers=(
                *dense_layers((20, 64, 64), trainable=False, is_output=False),
                *dense_layers((64, 10), name="head", order=2),
            ),
            loss=flat(2.3),
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(
            layers=(
                *dense_layers((20, 64, 64), trainable=False, is_output=False),
                *dense_layers((64, 10), name="head", order=2),
            )
        ),
    ),
)
