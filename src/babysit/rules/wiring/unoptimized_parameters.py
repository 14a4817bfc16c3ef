"""W703: trainable parameters that no optimizer holds."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import model_summary_of, output_layer, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, falling, flat, healthy, optimizer
from babysit.rules.rule import Limit, Limits, Rule

LEFT_OUT = ("layer0.weight", "layer0.bias")  # of the examples: a quarter of the parameters
HEAD = ("layer2.weight", "layer2.bias")


def _left_out(run: Run, names: set[str]) -> float:
    """The share of the trainable parameters that these are; a layer held in part counts in part."""
    model_summary = model_summary_of(run)
    count = sum(
        one.parameters * len(names & set(one.parameter_names)) / len(one.parameter_names)
        for one in model_summary.layers
        if one.parameter_names
    )
    return count / max(model_summary.trainable_parameters, 1)


def _replaced(run: Run) -> Iterator[Evidence]:
    """An optimizer none of whose tensors takes part in what runs."""
    model_summary = model_summary_of(run)
    # What runs inside compiled code was not seen, so nothing there can be called a stranger.
    strangers = [
        one for one in model_summary.optimizers if one.stale and not one.parameter_names and not model_summary.compiled
    ]
    if strangers:
        yield Evidence(
            first_step=0,
            severity=Severity.ERROR if is_underperforming(run) else Severity.INFO,
            numbers={"stale": strangers[0].stale, "steps": strangers[0].steps or 0},
            message=f"{strangers[0].kind} holds {strangers[0].stale} tensors, and none of them takes part in what "
            "runs: it was made for parameters that have been replaced since.",
        )


def _unregistered(run: Run, missing: list[str]) -> Iterator[Evidence]:
    """Layers whose weights get gradients and belong to no module: blocks in a plain list, tensors of the user's own."""
    model_summary = model_summary_of(run)
    wanted = set(missing) & set(model_summary.forgotten)
    lost = [
        one for one in weight_layers(run, trainable=True) if one.kind == "matmul" and wanted & set(one.parameter_names)
    ]
    # Where no weight belongs to a module, the script manages all of them itself.
    if not lost or len(lost) == len([one for one in weight_layers(run) if one.output_shape]):
        return
    yield Evidence(
        layers=tuple(one.name for one in lost),
        first_step=0,
        severity=Severity.ERROR if is_underperforming(run) else Severity.WARNING,
        numbers={"layers": len(lost), "parameters": len(wanted)},
        message=f"{len(lost)} weight layers run and get gradients, and are in no module's parameters() and in no "
        "optimizer: they never change, and state_dict() does not save them.",
        recommendation="Hold modules in nn.ModuleList, nn.ModuleDict or as attributes, and tensors as nn.Parameter; a "
        "plain "
        "list or dict hides them.",
    )


def _one_network(run: Run, left_out: Layer) -> bool:
    """Whether an optimizer trains another part of the network that this layer belongs to.

    A network of which no part is trained (a perceptual loss, a fixed readout) is left out on purpose.
    """
    model_summary = model_summary_of(run)
    if ", " not in model_summary.model:
        return True
    root = left_out.name.partition(".")[0]
    held = (name for one in model_summary.optimizers for name in one.parameter_names)
    return any(name.partition(".")[0] == root for name in held)


def _missed(run: Run, limits: Limits) -> list[Layer]:
    """Weight layers that get gradients, are in no optimizer, and stand after or between layers that are trained.

    What stands before all trained layers is a backbone, and where most of the network is left out a few layers are
    tuned: both are done on purpose, if at the cost of gradients that nothing uses.
    """
    model_summary = model_summary_of(run)
    forgotten = set(model_summary.forgotten)
    held = {name for one in model_summary.optimizers if one.steps != 0 for name in one.parameter_names}
    layers = weight_layers(run, trainable=True)
    trained = [one for one in layers if held & set(one.parameter_names)]
    first = min((one.order for one in trained), default=None)
    shapes = {one.output_shape for one in trained}
    late = [
        one
        for one in layers
        if first is not None
        and one.order > first
        and set(one.parameter_names) <= forgotten
        and _one_network(run, one)
        # Of unknown source and of the shape of a trained one, it may be an optional branch beside that.
        and (one.source or one.output_shape not in shapes)
    ]
    names = {name for one in late for name in one.parameter_names}
    return late if _left_out(run, names) < limits["share"] or any(one.is_output for one in late) else []


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Lists parameters outside all optimizers; how bad that is depends on their share, their gradients and the harm."""
    model_summary = model_summary_of(run)
    # What never ran with gradients (a target network, a spare part) is not forgotten by the optimizer.
    resting = {name for layer in model_summary.layers if not layer.output_shape for name in layer.parameter_names}
    missing = [name for name in model_summary.unoptimized if name and name not in resting]
    found = list(_replaced(run)) or (list(_unregistered(run, missing)) if missing and model_summary.optimizers else [])
    yield from found
    if found or not missing or not model_summary.optimizers:
        return
    last = output_layer(run)
    headless = last is not None and bool(set(last.parameter_names) & set(missing))
    stale = sum(one.stale for one in model_summary.optimizers)
    share = _left_out(run, set(missing))
    # Random features under a trained head learn something too: without a sign of a mistake more harm is asked for.
    hurt = is_underperforming(run) if stale or headless else is_underperforming(run, below=limits["skill"])
    most = _left_out(run, set(missing) & set(model_summary.forgotten)) >= limits["share"]
    hurt = hurt or (most and is_underperforming(run, below=limits["learned"]))
    missed = _missed(run, limits)
    severity = Severity.WARNING if hurt or missed else Severity.INFO
    severity = Severity.ERROR if hurt and (stale or headless) else severity
    held = f" The optimizer holds {stale} tensors that no layer of the network uses." if stale else ""
    gradients = " They get gradients that no step uses." if set(missing) & set(model_summary.forgotten) else ""
    yield Evidence(
        layers=tuple(dict.fromkeys(name.rpartition(".")[0] for name in missing)),
        first_step=0,
        severity=severity,
        numbers={"parameters": len(missing), "share": share, "stale": stale, "last_layer": headless},
        message=f"{len(missing)} trainable tensors ({', '.join(missing[:3])}), {100 * share:.0f} % of all trainable "
        f"parameters, are in no optimizer and never change.{gradients}{held}",
        confidence=1.0 if stale or headless or missed else 0.8,
    )


RULE = Rule(
    code="W703",
    name="unoptimized-parameters",
    early=True,
    severity=Severity.ERROR,
    what="Trainable parameters are missing from the optimizer, or it holds stale ones.",
    why="They keep the values that they began with.",
    recommendation="Make the optimizer after the network is complete, with model.parameters().",
    find=find,
    needs=("model_summary",),
    limits={
        "skill": Limit(0.3, "a head on random features usually removes more of the prior loss than this"),
        "share": Limit(0.5, "half of the parameters: more than that is most of the network"),
        "learned": Limit(0.8, "a head on features of a trained network usually removes more of the prior loss"),
    },
    causes=(*NOT_LEARNING, "U602", "U603", "G504", "W701"),
    fixes=(
        Fix(
            action="rebuild_optimizer",
            say="Make it after the last change to the network.",
            code="optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)",
        ),
    ),
    false_positives=(
        "A trained backbone left out on purpose without requires_grad=False: INFO while the head learns.",
        "A whole network that is fixed on purpose, such as a perceptual loss: INFO.",
    ),
    sources=("An optimizer changes only the tensors that it was given.",),
    fires_on=(
        lambda: example_run(facts={"unoptimized": HEAD, "forgotten": HEAD}),
        lambda: example_run(
            loss=falling(2.4, 0.9),
            facts={
                "unoptimized": (*LEFT_OUT, "layer1.weight", "layer1.bias"),
                "forgotten": (*LEFT_OUT, "layer1.weight", "layer1.bias"),
            },
        ),
        lambda: example_run(
            layers=(
                *dense_layers((20, 64), is_output=False, activation="relu"),
                *dense_layers(
                    (64, 64),
                    is_output=False,
                    kind="matmul",
                    name="parameter3",
                    order=1,
                    parameter_names=("parameter3", "parameter3.bias"),
                ),
                *dense_layers((64, 10), name="head", order=2, parameter_names=("head.weight", "head.bias")),
            ),
            facts={"unoptimized": ("parameter3",), "forgotten": ("parameter3",)},
        ),
        lambda: example_run(
            loss=flat(2.3),
            facts={"unoptimized": ("layer2.weight",), "optimizers": (msgspec.structs.replace(optimizer(), stale=2),)},
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(facts={"unoptimized": LEFT_OUT, "forgotten": LEFT_OUT}),
        lambda: example_run(loss=falling(2.4, 0.9), facts={"unoptimized": LEFT_OUT, "forgotten": LEFT_OUT}),
    ),
)
