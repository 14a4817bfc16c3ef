"""W701: gradients are never cleared."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.analysis.model_structure import model_summary_of
from babysit.records.events import Events
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import example_run, healthy, optimizer
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare how often gradients were cleared with how often an optimizer stepped."""
    steps, cleared = run.events.steps, run.events.counts.get("zero_grad", 0)
    # Without an optimizer the loop clears gradients manually, which is not observed.
    if not model_summary_of(run).optimizers or steps < limits["steps"]:
        return
    # Gradients may be cleared manually (p.grad = None) or assigned, so a missing zero_grad alone is no evidence: the
    # gradients that exist before backward are checked as well.
    checks, old = (run.events.counts.get(name, 0) for name in ("looks_before_backward", "old_gradients"))
    if checks < limits["looks"] or old < checks / 2:
        return
    yield from _one_of_several(run, limits, old=old)
    # Gradient accumulation clears once per step; only steps without clearing are an error.
    if cleared < limits["share"] * steps:
        yield Evidence(
            first_step=1,
            numbers={"steps": steps, "zero_grad": cleared, "backward": run.events.counts.get("backward", 0)},
            message=f"The optimizer took {steps} steps and gradients were cleared {cleared} times: each update "
            "uses the sum of all gradients since the last clearing.",
        )


def _two(*, cleared: bool) -> Run:
    both = tuple(
        msgspec.structs.replace(optimizer(), parameter_names=(name,), steps=400, cleared=known)
        for name, known in (("encoder.weight", True), ("decoder.weight", cleared))
    )
    checks = {"looks_before_backward": 30, "old_gradients": 30}
    return example_run(facts={"optimizers": both}, events=checks)


def _one_of_several(run: Run, limits: Limits, *, old: int) -> Iterator[Evidence]:
    """Look for an optimizer whose gradients are never cleared, while those of others are."""
    stepping = [one for one in model_summary_of(run).optimizers if (one.steps or 0) >= limits["steps"]]
    forgotten = [one for one in stepping if one.cleared is False and one.parameter_names]
    if not forgotten or len(forgotten) == len(stepping):
        return
    index, names = stepping.index(forgotten[0]) + 1, forgotten[0].parameter_names
    yield Evidence(
        first_step=1,
        layers=tuple(dict.fromkeys(name.rpartition(".")[0] for name in names)),
        numbers={"optimizer": index, "of": len(stepping), "steps": forgotten[0].steps or 0, "old_gradients": old},
        message=f"Of {len(stepping)} optimizers, number {index} ({names[0]}, …) took {forgotten[0].steps} steps "
        "and its gradients were never cleared: each update uses the sum of all gradients so far.",
    )


RULE = Rule(
    code="W701",
    name="uncleared-gradients",
    severity=Severity.ERROR,
    what="zero_grad is missing: gradients accumulate over all steps.",
    why="Old gradients outweigh the new ones, so the updates overshoot and the loss oscillates.",
    recommendation="Call optimizer.zero_grad() before every backward.",
    find=find,
    needs=("model_summary", "events"),
    limits={
        "looks": Limit(5, "a handful of checks just before backward"),
        "share": Limit(0.5, "fewer than every second step; gradient accumulation clears at every step"),
        "steps": Limit(10, "too few steps to conclude"),
    },
    causes=(*BLOWING_UP, *LOST_UNITS, *NOT_LEARNING, "F901", "U601"),
    fixes=(
        Fix(
            action="zero_gradients",
            say="Clear gradients before backward.",
            code="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
        ),
    ),
    false_positives=("Gradients written into the same tensor (`p.grad.copy_(g)`) look like accumulated ones.",),
    sources=("torch.Tensor.backward accumulates gradients.",),
    fires_on=(
        lambda: example_run(events={"zero_grad": 0, "looks_before_backward": 30, "old_gradients": 30}),
        lambda: _two(cleared=False),
    ),
    silent_on=(
        lambda: msgspec.structs.replace(
            example_run(), events=Events(counts={"backward": 400, "looks_before_backward": 30}, steps=400)
        ),
        lambda: example_run(events={"zero_grad": 0}),  # gradients are computed without backward, by torch.func
        healthy,
        lambda: _two(cleared=True),
        lambda: example_run(events={"backward": 1600}),
    ),
)
