"""W704: a new optimizer again and again for the same parameters."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares how many optimizers were made for parameters that another held with the number of steps."""
    again, steps = run.events.counts.get("optimizer_recreated", 0), run.events.steps
    if again < limits["times"] or not steps:
        return
    between = steps / (again + 1)
    yield Evidence(
        first_step=int(between),
        severity=Severity.WARNING if is_underperforming(run) or between < limits["steps"] else Severity.INFO,
        numbers={"recreated": again, "steps_between": between},
        message=f"A new optimizer was made {again} times for the same parameters, every {between:.0f} steps: "
        "momentum and running averages start from nothing each time.",
    )


RULE = Rule(
    code="W704",
    name="recreated-optimizer",
    severity=Severity.WARNING,
    what="The optimizer is made anew every step or epoch, and its state is lost.",
    why="Momentum and Adam's averages need tens of steps to be worth anything.",
    recommendation="Make the optimizer once, before the loop; change its learning rate in param_groups.",
    find=find,
    needs=("events",),
    limits={
        "times": Limit(3, "once or twice for stages of training is usual"),
        "steps": Limit(10, "Adam's first average alone remembers ten steps (beta 0.9)"),
    },
    causes=("F905", "F909", "U601", "F902", "F903"),
    fixes=(
        Fix(
            action="move_optimizer",
            say="Make it before the loop.",
            code="optimizer = torch.optim.Adam(model.parameters())\nfor epoch in range(epochs): ...",
        ),
    ),
    false_positives=("Warm restarts on purpose: INFO while they learn.",),
    sources=("Kingma & Ba 2015 (arXiv 1412.6980): running averages.",),
    fires_on=(lambda: example_run(events={"optimizer_recreated": 399}),),
    silent_on=(healthy, lambda: example_run(events={"optimizer": 5})),
)
