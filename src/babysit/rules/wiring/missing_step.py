"""W702: the optimizer never steps, or its learning rate is 0."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import values_of
from babysit.analysis.model_structure import model_summary_of
from babysit.records.curves import LEARNING_RATE
from babysit.records.events import Events
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy, optimizer
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare backward passes with steps, by optimizer, and look for a learning rate that is always 0."""
    facts, backwards = model_summary_of(run).optimizers, run.events.counts.get("backward", 0)
    steps, discarded = max((one.steps or 0 for one in facts), default=0), run.events.counts.get("discarded", 0)
    if discarded >= limits["all"] * backwards > 0 and backwards >= limits["backwards"] and steps >= backwards / 2:
        yield Evidence(
            first_step=0,
            numbers={"backward": backwards, "discarded": discarded, "steps": steps},
            message=f"In {discarded} of {backwards} steps the gradients were cleared between backward and step: "
            "the optimizer steps without gradients.",
            recommendation="Call zero_grad() before backward() or after step(), never between the two.",
        )
        return
    rare = 0 < steps < limits["few"] or (steps > 0 and is_underperforming(run))
    if discarded >= limits["discarded"] * max(1, steps) and rare:
        yield Evidence(
            first_step=0,
            numbers={"backward": backwards, "discarded": discarded, "steps": steps},
            message=f"Gradients were computed {backwards} times, and cleared {discarded} times before a step used "
            f"them: only {steps} steps were taken. The step seems to be outside the loop over batches.",
        )
        return
    created = bool(facts) or run.events.counts.get("optimizer", 0) > 0
    moved = np.nan_to_num(table(run, "update_rms"))
    # Without any optimizer step, each backward counts as a step; weights may still be updated manually.
    never = run.events.counts.get("step", run.events.steps) == 0 or (not facts and not moved.any())
    if created and backwards >= limits["backwards"] and never:
        yield Evidence(
            first_step=0,
            numbers={"backward": backwards, "steps": 0},
            message=f"Gradients were computed {backwards} times and the optimizer never stepped.",
        )
        return
    idle = [one for one in facts if one.steps == 0]
    if idle and run.events.steps >= limits["backwards"]:
        yield Evidence(
            first_step=0,
            numbers={"optimizers": len(facts), "idle": len(idle), "steps": run.events.steps},
            message=f"{len(idle)} of {len(facts)} optimizers ({idle[0].kind} over {len(idle[0].parameter_names)} "
            "parameters) never stepped: these parameters keep their initial values.",
        )
    created_first = len([event for event in run.events.of("optimizer") if event.step == 0])
    left_out = model_summary_of(run).unoptimized
    if not idle and created_first > len(facts) > 0 and left_out and run.events.steps >= limits["backwards"]:
        yield Evidence(
            layers=tuple(dict.fromkeys(name.rpartition(".")[0] for name in left_out)),
            first_step=0,
            severity=Severity.WARNING,
            numbers={"optimizers": created_first, "stepping": len(facts), "parameters": len(left_out)},
            message=f"{created_first} optimizers were created and {len(facts)} of them stepped; {len(left_out)} "
            f"trainable parameters ({', '.join(left_out[:3])}) are in none that steps.",
        )
    _, lrs = values_of(run.curves.get(LEARNING_RATE))
    groups = [group for one in facts for group in one.groups]
    if groups and all(group.lr == 0 for group in groups) and not np.any(lrs > 0):
        yield Evidence(
            first_step=0,
            numbers={"lr": 0.0, "steps": run.events.steps},
            message="The learning rate is 0 in every group and at every step.",
        )


RULE = Rule(
    code="W702",
    name="missing-step",
    severity=Severity.ERROR,
    what="optimizer.step is never called, or the learning rate is 0.",
    why="Gradients are computed and discarded: the weights never change.",
    recommendation="Call optimizer.step() after backward, for every optimizer, with a learning rate above 0.",
    find=find,
    needs=("events",),
    limits={
        "all": Limit(0.9, "nearly all steps"),
        "discarded": Limit(
            4.0, "four of five gradients discarded; one or two per step are adversarial attacks or inspections"
        ),
        "few": Limit(200, "adversarial training discards as many, but over thousands of steps"),
        "backwards": Limit(10, "fewer backward passes may only inspect gradients"),
    },
    causes=(*NOT_LEARNING, "U602", "U603", "U605", "W708", "W703", "A401", "G504"),
    fixes=(Fix(action="add_step", say="Step after backward.", code="loss.backward()\noptimizer.step()"),),
    false_positives=("Programs that only inspect gradients (saliency), if they create an optimizer.",),
    sources=("torch.optim: parameters change in step() only.",),
    fires_on=(
        lambda: msgspec.structs.replace(
            example_run(loss=flat(2.3)), events=Events(counts={"backward": 400, "optimizer": 1, "step": 0})
        ),
        lambda: example_run(loss=flat(2.3), facts={"optimizers": (optimizer(lr=0.0),)}),
        lambda: msgspec.structs.replace(
            example_run(facts={"optimizers": (msgspec.structs.replace(optimizer(), steps=8),)}),
            events=Events(counts={"backward": 320, "discarded": 312}, steps=8),
        ),
    ),
    silent_on=(
        healthy,
        lambda: msgspec.structs.replace(
            example_run(), events=Events(counts={"backward": 3200, "discarded": 2800}, steps=400)
        ),
    ),
)
