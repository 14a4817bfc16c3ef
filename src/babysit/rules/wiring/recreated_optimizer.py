"""W704: the optimizer is created repeatedly for the same parameters."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the number of optimizers created for the same parameters with the number of steps."""
    recreated, steps = run.events.counts.get("optimizer_recreated", 0), run.events.steps
    if recreated < limits["times"] or not steps:
        return
    between = steps / (recreated + 1)
    yield Evidence(
        first_step=int(between),
        severity=Severity.WARNING if is_underperforming(run) or between < limits["steps"] else Severity.INFO,
        numbers={"recreated": recreated, "steps_between": between},
        message=f"A new optimizer was created {recreated} times for the same parameters, every {between:.0f} "
        "steps: its momentum and running averages are reset each time.",
    )


RULE = Rule(
    code="W704",
    name="recreated-optimizer",
    severity=Severity.WARNING,
    what="The optimizer is recreated every step or epoch, and its state is lost.",
    why="Momentum and the running averages of Adam need tens of steps to be useful.",
    recommendation="Create the optimizer once, before the loop; change its learning rate in param_groups.",
    find=find,
    needs=("events",),
    limits={
        "times": Limit(3, "once or twice for stages of training is common"),
        "steps": Limit(10, "the first average of Adam covers ten steps (beta 0.9)"),
    },
    causes=("F905", "F909", "U601", "F902", "F903"),
    fixes=(
        Fix(
            action="move_optimizer",
            say="Create it before the loop.",
            code="optimizer = torch.optim.Adam(model.parameters())\nfor epoch in range(epochs): ...",
        ),
    ),
    false_positives=("Intentional warm restarts: INFO if the training learns.",),
    sources=("Kingma & Ba 2015 (arXiv 1412.6980): running averages.",),
    fires_on=(lambda: example_run(events={"optimizer_recreated": 399}),),
    silent_on=(healthy, lambda: example_run(events={"optimizer": 5})),
)
