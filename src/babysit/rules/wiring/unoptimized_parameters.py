"""W703: trainable parameters that no optimizer holds."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.analysis.learning import poor
from babysit.analysis.model_structure import anatomy_of, output_layer
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy, optimizer
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Lists parameters outside all optimizers; an alarm when the last layer is among them or training is poor."""
    anatomy = anatomy_of(run)
    # What never ran with gradients (a target network, a spare part) is not forgotten by the optimizer.
    resting = {name for layer in anatomy.layers if not layer.output_shape for name in layer.parameter_names}
    missing = [name for name in anatomy.unoptimized if name and name not in resting]
    # What runs inside compiled code was not seen, so nothing there can be called a stranger.
    strangers = [one for one in anatomy.optimizers if one.stale and not one.parameter_names and not anatomy.compiled]
    if strangers:
        yield Evidence(
            first_step=0,
            severity=Severity.ERROR if poor(run) else Severity.INFO,
            numbers={"stale": strangers[0].stale, "steps": strangers[0].steps or 0},
            meaning=f"{strangers[0].kind} holds {strangers[0].stale} tensors, and none of them takes part in what "
            "runs: it was made for parameters that have been replaced since.",
        )
        return
    if not missing or not anatomy.optimizers:
        return
    last = output_layer(run)
    headless = last is not None and bool(set(last.parameter_names) & set(missing))
    stale = sum(one.stale for one in anatomy.optimizers)
    # Random features under a trained head learn something too: without a sign of a mistake more harm is asked for.
    hurt = poor(run) if stale or headless else poor(run, below=limits["skill"])
    severity = Severity.ERROR if hurt and (stale or headless) else Severity.WARNING if hurt else Severity.INFO
    held = f" It holds {stale} tensors that are not part of the network any more." if stale else ""
    yield Evidence(
        layers=tuple(dict.fromkeys(name.rpartition(".")[0] for name in missing)),
        first_step=0,
        severity=severity,
        numbers={"parameters": len(missing), "stale": stale, "last_layer": headless},
        meaning=f"{len(missing)} trainable parameters ({', '.join(missing[:3])}) are in no optimizer and "
        f"never change.{held}",
        confidence=1.0 if stale or headless else 0.8,
    )


RULE = Rule(
    code="W703",
    name="unoptimized-parameters",
    early=True,
    severity=Severity.ERROR,
    what="Trainable parameters are missing from the optimizer, or it holds stale ones.",
    why="They keep the values that they began with.",
    advice="Make the optimizer after the network is complete, with model.parameters().",
    find=find,
    needs=("anatomy",),
    limits={"skill": Limit(0.3, "a head on random features usually removes more of the prior loss than this")},
    leads_to=(*NOT_LEARNING, "U602", "U603", "G504", "W701"),
    treatments=(
        Treatment(
            action="rebuild_optimizer",
            say="Make it after the last change to the network.",
            code="optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)",
        ),
    ),
    false_positives=("A backbone left out on purpose without requires_grad=False: INFO while the head learns.",),
    sources=("An optimizer changes only the tensors that it was given.",),
    fires_on=(
        lambda: example_run(
            loss=flat(2.3),
            facts={"unoptimized": ("layer2.weight",), "optimizers": (msgspec.structs.replace(optimizer(), stale=2),)},
        ),
    ),
    silent_on=(healthy,),
)
