"""W705: training in eval mode."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.wiring.modes import mode_matters, steps_in_eval_mode


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Count steps between .eval() and the next .train(), if the mode makes a difference."""
    kinds, steps = mode_matters(run), run.events.steps
    inside = steps_in_eval_mode(run)
    if kinds and steps >= limits["steps"] and inside > limits["share"] * steps:
        since = next(event.step for event in run.events.kept if event.kind == "eval_mode")
        yield Evidence(
            first_step=since,
            numbers={"eval_steps": inside, "steps": steps, "kinds": ", ".join(kinds)},
            message=f"{inside} of {steps} steps were taken in eval mode (since step {since}): {', '.join(kinds)} "
            "behaved as in evaluation.",
        )


RULE = Rule(
    code="W705",
    name="eval-mode-training",
    severity=Severity.WARNING,
    what="Training runs while dropout or batch norm is in eval mode.",
    why="Dropout does not regularize, and batch norm uses running statistics instead of those of the batch.",
    recommendation="Call model.train() at the start of every epoch, after evaluating.",
    find=find,
    needs=("model_summary", "events"),
    limits={"share": Limit(0.5, "more than half of all steps"), "steps": Limit(20, "too few steps to conclude")},
    causes=("F901", "N804", "F906", "G502", "F909", "F902", "F905"),
    fixes=(
        Fix(
            action="set_mode",
            value="train",
            say="Return to train mode after evaluation.",
            code="for epoch in range(epochs):\n    model.train()\n    ...",
        ),
    ),
    false_positives=("Fine-tuning with intentionally frozen statistics.",),
    sources=("torch.nn.Module.eval: changes dropout and batch norm.",),
    fires_on=(
        lambda: example_run(
            kept=((10, "eval_mode", "Sequential"),), facts={"mode_dependent": {"2": "Dropout (p=0.5)"}}
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(
            kept=((10, "eval_mode", "Sequential"), (10, "train_mode", "Sequential")),
            facts={"mode_dependent": {"2": "Dropout (p=0.5)"}},
        ),
        lambda: example_run(kept=((10, "eval_mode", "Sequential"),)),
    ),
)
