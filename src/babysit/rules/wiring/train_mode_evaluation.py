"""W706: evaluating while dropout and batch norm are in train mode."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.wiring.modes import mode_matters


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Counts evaluation passes in train mode, where that makes a difference."""
    passes = run.events.of("evaluation")
    told = any("mode" in event.detail for event in passes)
    # A network that was never put into eval mode was in train mode whenever it was evaluated.
    never = run.events.counts.get("eval_mode", 0) == 0
    wrong = [event for event in passes if ("train mode" in event.detail if told else never)]
    dropping = [event for event in passes if "dropout on" in event.detail]
    if len(dropping) > limits["share"] * len(passes):
        yield Evidence(
            first_step=dropping[0].step,
            last_step=dropping[-1].step,
            numbers={"evaluations": len(passes), "with_dropout": len(dropping)},
            meaning=f"In {len(dropping)} of {len(passes)} evaluations the network was in eval mode and dropout was on "
            "all the same: F.dropout drops unless it is told not to.",
            advice="Write F.dropout(x, p, training=self.training), or use nn.Dropout, which follows the mode.",
            confidence=0.9,
        )
    kinds = mode_matters(run)
    if kinds and wrong and len(wrong) > limits["share"] * len(passes):
        yield Evidence(
            first_step=wrong[0].step,
            last_step=wrong[-1].step,
            numbers={"evaluations": len(passes), "in_train_mode": len(wrong), "kinds": ", ".join(kinds)},
            meaning=f"{len(wrong)} of {len(passes)} evaluations ran in train mode: {', '.join(kinds)} made them "
            "noisy and dependent on the batch, and batch norm learned from the test data.",
        )


RULE = Rule(
    code="W706",
    name="train-mode-evaluation",
    severity=Severity.WARNING,
    what="Evaluation runs while dropout and batch norm are in train mode.",
    why="The score is of a crippled network, depends on who shares the batch, and statistics leak from the test set.",
    advice="Call model.eval() before evaluating and model.train() after.",
    find=find,
    needs=("anatomy", "events"),
    limits={"share": Limit(0.5, "more than half of the evaluations")},
    leads_to=("F908", "N803", "N804"),
    treatments=(
        Treatment(
            action="set_mode",
            value="eval",
            say="Evaluate in eval mode.",
            code="model.eval()\nwith torch.no_grad():\n    output = model(x)",
        ),
    ),
    false_positives=("Dropout as a measure of uncertainty (Monte Carlo dropout).",),
    sources=("torch.nn.Module.eval.",),
    fires_on=(
        lambda: example_run(kept=((100, "evaluation", "train mode"),), facts={"module_kinds": {"Dropout": 1}}),
        lambda: example_run(kept=((100, "evaluation", "eval mode, dropout on"),)),
    ),
    silent_on=(
        healthy,
        lambda: example_run(kept=((100, "evaluation", "eval mode"),)),
        lambda: example_run(kept=((100, "evaluation", "eval mode"),), facts={"module_kinds": {"Dropout": 1}}),
        lambda: example_run(
            kept=((100, "evaluation", ""),), facts={"module_kinds": {"Dropout": 1}}, events={"eval_mode": 1}
        ),
    ),
)
