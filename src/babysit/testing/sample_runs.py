"""Sample runs for store tests: one with a value in every field, and rows to append to another."""

from __future__ import annotations

import numpy as np

from babysit.records.curves import TRAIN_LOSS, VAL_ACCURACY, Curves, Series
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.events import Event, Events
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Finding, Fix, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.model_summary import Layer, ModelSummary
from babysit.records.run import Overhead, Run, Status
from babysit.records.serialization import to_bytes
from babysit.records.trial import StageRange, Trial, TrialState
from babysit.records.verdict import Crash, Learning, Missing, Verdict


def losses(first: int, last: int) -> Curves:
    """Return a decreasing training loss for the steps from `first` up to, not including, `last`."""
    steps = np.arange(first, last)
    return Curves(series={TRAIN_LOSS: Series(steps, 2.3 / (1.0 + steps))})


def full_run(run_id: str) -> Run:
    """Return a run with a value in every field, NaN and infinities included."""
    layers = tuple(Layer(name=name, kind="Linear", order=order) for order, name in enumerate(("first", "second")))
    table = np.array([[0.5, np.nan], [-np.inf, -0.0], [1e-40, 3.0]], dtype="float32")
    curve = Series(np.array([0, 1, 2]), np.array([2.3, np.nan, np.inf]))
    fix = Fix(action="scale_lr", value=0.1, say="Lower the learning rate")
    return Run(
        id=run_id,
        name="größer als 1 🙂",
        kind="fit",
        status=Status.FINISHED,
        created="2026-01-31T14:25:30+00:00",
        ended="2026-01-31T14:26:30+00:00",
        command="train.py --lr 0.1",
        config={"lr": 0.1, "epochs": 3, "name": "a", "shuffle": True},
        model_summary=ModelSummary(model="Net", layers=layers, parameters=12),
        data=DataProfile(source="digits", splits=(SplitProfile(split="train", feature_mean=np.array([1.0, 2.0])),)),
        layer_metrics=LayerMetrics(layers=("first", "second"), steps=np.array([0, 1, 5]), values={"zeros": table}),
        curves=Curves(series={TRAIN_LOSS: curve, VAL_ACCURACY: Series(np.array([2]), np.array([0.5]))}),
        experiments=(ExperimentResult(name="initial-loss", outcome=Outcome.PASS, curves={"loss": curve}),),
        events=Events(counts={"step": 3}, kept=(Event(step=1, kind="clip"),), steps=3),
        trials=(Trial(number=0, stage="coarse", state=TrialState.COMPLETE, metric=0.5),),
        ranges=(StageRange(stage="coarse", parameter="lr", low=1e-4, high=1e-1),),
        findings=(Finding(code="R301", name="lr-too-high", severity=Severity.ERROR, fixes=(fix,)),),
        verdict=Verdict.PROBLEMS,
        missing=(Missing.CHECKS,),
        learning=Learning(loss=0.25, chance=0.1, train=0.25),
        crash=Crash(kind="ValueError", message="no such file", place="train.py:3"),
        result={"test/accuracy": 0.25},
        artifacts={"model": "model.pt"},
        stop_reason="the last epoch",
        overhead=Overhead(share=0.004, steps=3),
    )


def same(one: Run, other: Run) -> bool:
    """Check whether two runs are equal to the last bit."""
    return to_bytes(one) == to_bytes(other)
