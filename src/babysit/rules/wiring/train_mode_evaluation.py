"""W706: evaluation in train mode."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.events import Event
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.wiring.modes import mode_matters


def _effects(run: Run, event: Event, *, mode_known: bool) -> tuple[str, ...]:
    """Return the modules that ran in train mode during an evaluation and behave differently in eval mode."""
    if mode_known:
        mode, _, effects = event.detail.partition(": ")
        return tuple(effects.split(", ")) if mode == "train mode" and effects else ()
    # A network that was never in eval mode was evaluated in train mode.
    return mode_matters(run) if run.events.counts.get("eval_mode", 0) == 0 else ()


def _consequence(effects: tuple[str, ...]) -> str:
    """Describe the effect of these modules on the evaluation."""
    norms = [one for one in effects if "Norm" in one]
    random = [one for one in effects if one not in norms]
    parts = [f"{', '.join(random)} made the outputs random"] if random else []
    if norms:
        parts.append(
            f"{', '.join(norms)} normalized with the statistics of the evaluated batch and updated the running "
            "statistics with it"
        )
    return ", and ".join(parts)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Count evaluation passes in train mode, if the mode makes a difference."""
    passes = run.events.of("evaluation")
    mode_known = any("mode" in event.detail for event in passes)
    dropping = [event for event in passes if "dropout on" in event.detail]
    if len(dropping) > limits["share"] * len(passes):
        yield Evidence(
            first_step=dropping[0].step,
            last_step=dropping[-1].step,
            numbers={"evaluations": len(passes), "with_dropout": len(dropping)},
            message=f"In {len(dropping)} of {len(passes)} evaluations the network was in eval mode but dropout was "
            "active: F.dropout is active by default.",
            recommendation="Write F.dropout(x, p, training=self.training), or use nn.Dropout, which follows the mode.",
            confidence=0.9,
        )
    wrong = [(event, effects) for event in passes if (effects := _effects(run, event, mode_known=mode_known))]
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
    what="Evaluation runs while dropout or batch norm is in train mode.",
    why="Dropout lowers the score, it depends on the other samples of the batch, and the running statistics "
    "include test data.",
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
    false_positives=("Monte Carlo dropout for uncertainty estimates.",),
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
