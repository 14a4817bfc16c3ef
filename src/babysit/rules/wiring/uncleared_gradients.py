"""W701: gradients are never cleared."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.records.events import Events
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.structure import anatomy_of
from babysit.rules.symptoms import BLOWING_UP, LOST_UNITS, NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares how often gradients were cleared with how often an optimizer stepped."""
    steps, cleared = run.events.steps, run.events.counts.get("zero_grad", 0)
    # Without an optimizer the loop clears by hand, which is not seen.
    if not anatomy_of(run).optimizers or steps < limits["steps"]:
        return
    # Gradients may be cleared by hand (p.grad = None): then none are there when backward begins.
    looks, old = (run.events.counts.get(name, 0) for name in ("looks_before_backward", "old_gradients"))
    if looks >= limits["looks"] and old < looks / 2:
        return
    # Accumulation clears once for each step; only steps without clearing are a fault.
    if cleared < limits["share"] * steps:
        yield Evidence(
            first_step=1,
            numbers={"steps": steps, "zero_grad": cleared, "backward": run.events.counts.get("backward", 0)},
            meaning=f"The optimizer took {steps} steps and gradients were cleared {cleared} times: each step goes "
            "along the sum of all gradients since the beginning.",
        )


RULE = Rule(
    code="W701",
    name="uncleared-gradients",
    severity=Severity.ERROR,
    what="zero_grad is missing: gradients pile up over all steps.",
    why="Old gradients outvote the new ones; the path overshoots and swings.",
    advice="Call optimizer.zero_grad() before every backward.",
    find=find,
    needs=("anatomy", "events"),
    limits={
        "looks": Limit(5, "a handful of looks just before backward"),
        "share": Limit(0.5, "fewer than every second step; accumulation clears at every step"),
        "steps": Limit(10, "shorter loops show nothing"),
    },
    leads_to=(*BLOWING_UP, *LOST_UNITS, *NOT_LEARNING, "F901", "U601"),
    treatments=(
        Treatment(
            action="zero_gradients",
            say="Clear before backward.",
            code="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
        ),
    ),
    false_positives=(
        "Gradients cleared by hand (`p.grad = None`) are known only by looks before backward: five at least.",
    ),
    sources=("torch.Tensor.backward accumulates gradients.",),
    fires_on=(lambda: example_run(events={"zero_grad": 0}),),
    silent_on=(
        lambda: msgspec.structs.replace(
            example_run(), events=Events(counts={"backward": 400, "looks_before_backward": 30}, steps=400)
        ),
        healthy,
        lambda: example_run(events={"backward": 1600}),
    ),
)
