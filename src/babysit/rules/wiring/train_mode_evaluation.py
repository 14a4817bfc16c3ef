"""W706: evaluating while dropout and batch norm are in train mode."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.events import Event
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.wiring.modes import mode_matters


def _effects(run: Run, event: Event, *, told: bool) -> tuple[str, ...]:
    """What ran in train mode during an evaluation and does otherwise in eval mode."""
    if told:
        mode, _, effects = event.detail.partition(": ")
        return tuple(effects.split(", ")) if mode == "train mode" and effects else ()
    # A network that was never put into eval mode was in train mode whenever it was evaluated.
    return mode_matters(run) if run.events.counts.get("eval_mode", 0) == 0 else ()


def _consequence(effects: tuple[str, ...]) -> str:
    """What these did to the evaluation; only what is there."""
    norms = [one for one in effects if "Norm" in one]
    random = [one for one in effects if one not in norms]
    said = [f"{', '.join(random)} made the outputs random"] if random else []
    if norms:
        said.append(
            f"{', '.join(norms)} normalized by the batch that was evaluated and took it into the running statistics"
        )
    return ", and ".join(said)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Counts evaluation passes in train mode, where that makes a difference."""
    passes = run.events.of("evaluation")
    told = any("mode" in event.detail for event in passes)
    dropping = [event for event in passes if "dropout on" in event.detail]
    if len(dropping) > limits["share"] * len(passes):
        yield Evidence(
            first_step=dropping[0].step,
            last_step=dropping[-1].step,
            numbers={"evaluations": len(passes), "with_dropout": len(dropping)},
            message=f"In {len(dropping)} of {len(passes)} evaluations the network was in eval mode and dropout was on "
            "all the same: F.dropout drops unless it is told not to.",
            recommendation="Write F.dropout(x, p, training=self.training), or use nn.Dropout, which follows the mode.",
            confidence=0.9,
        )
    wrong = [(event, effects) for event in passes if (effects := _effects(run, event, told=told))]
    if wrong and len(wrong) > limits["share"] * len(passes):
        effects = tuple(dict.fromkeys(one for _, several in wrong for one in several))
        yield Evidence(
            first_step=wrong[0][0].step,
            last_step=wrong[-1][0].step,
            numbers={"evaluations": len(passes), "in_train_mode": len(wrong), "kinds": ", ".join(effects)},
            message=f"In {len(wrong)} of {len(passes)} evaluations modules were in train mode: "
            f"{_consequence(effects)}.",
        )


RULE = Rule(
    code="W706",
    name="train-mode-evaluation",
    severity=Severity.WARNING,
    what="Evaluation runs while dropout and batch norm are in train mode.",
    why="The score is of a crippled network, depends on who shares the batch, and statistics leak from the test set.",
    recommendation="Call model.eval() before evaluating and model.train() after.",
    find=find,
    needs=("model_summary", "events"),
    limits={"share": Limit(0.5, "more than half of the evaluations")},
    causes=("F908", "N803", "N804"),
    fixes=(
        Fix(
            action="set_mode",
            value="eval",
            say="Evaluate in eval mode.",
            code="model.eval()\nwith torch.no_grad():\n    output = model(x)",
        ),
    ),
    false_positives=("Dropout as a measure of uncertainty (Monte Carlo dropout).",),
    sources=("torch.nn.Module.eval.",),
    fires_on=(
        lambda: example_run(kept=((100, "evaluation", "train mode: Dropout (p=0.5)"),)),
        lambda: example_run(kept=((100, "evaluation", "eval mode, dropout on"),)),
    ),
    silent_on=(
        healthy,
        lambda: example_run(kept=((100, "evaluation", "eval mode"),)),
        lambda: example_run(kept=((100, "evaluation", "train mode"),)),
        lambda: example_run(
            kept=((100, "evaluation", "eval mode"),), facts={"mode_dependent": {"2": "Dropout (p=0.5)"}}
        ),
        lambda: example_run(
            kept=((100, "evaluation", ""),), facts={"mode_dependent": {"2": "Dropout (p=0.5)"}}, events={"eval_mode": 1}
        ),
    ),
)
