"""W703: trainable parameters that are in no optimizer."""

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

LEFT_OUT = ("layer0.weight", "layer0.bias")  # a quarter of the parameters of the examples
HEAD = ("layer2.weight", "layer2.bias")


def _left_out(run: Run, names: set[str]) -> float:
    """Return the fraction of the trainable parameters that these are; a partly listed layer counts in part."""
    model_summary = model_summary_of(run)
    count = sum(
        one.parameters * len(names & set(one.parameter_names)) / len(one.parameter_names)
        for one in model_summary.layers
        if one.parameter_names
    )
    return count / max(model_summary.trainable_parameters, 1)


def _replaced(run: Run) -> Iterator[Evidence]:
    """Look for an optimizer whose tensors are all unused by the network."""
    model_summary = model_summary_of(run)
    # Parameters used in compiled code are not observed, so no tensor can be called unused.
    replaced = [
        one for one in model_summary.optimizers if one.stale and not one.parameter_names and not model_summary.compiled
    ]
    if replaced:
        yield Evidence(
            first_step=0,
            severity=Severity.ERROR if is_underperforming(run) else Severity.INFO,
            numbers={"stale": replaced[0].stale, "steps": replaced[0].steps or 0},
            message=f"{replaced[0].kind} has {replaced[0].stale} tensors, and the network uses none of them: it "
            "was created for parameters that have been replaced since.",
        )


def _unregistered(run: Run, missing: list[str]) -> Iterator[Evidence]:
    """Look for layers whose weights get gradients and belong to no module, such as blocks in a plain list."""
    model_summary = model_summary_of(run)
    unregistered = set(missing) & set(model_summary.forgotten)
    found = [
        one
        for one in weight_layers(run, trainable=True)
        if one.kind == "matmul" and unregistered & set(one.parameter_names)
    ]
    # Without any module the script manages all weights manually.
    if not found or len(found) == len([one for one in weight_layers(run) if one.output_shape]):
        return
    yield Evidence(
        layers=tuple(one.name for one in found),
        first_step=0,
        severity=Severity.ERROR if is_underperforming(run) else Severity.WARNING,
        numbers={"layers": len(found), "parameters": len(unregistered)},
        message=f"{len(found)} weight layers run and get gradients, but are neither in the parameters() of a "
        "module nor in an optimizer: they never change, and state_dict() does not save them.",
        recommendation="Register modules in nn.ModuleList, nn.ModuleDict or as attributes, and tensors as "
        "nn.Parameter; a plain list or dict does not register them.",
    )


def _one_network(run: Run, left_out: Layer) -> bool:
    """Check whether an optimizer trains another part of the network that this layer belongs to.

    A network without any trained part (a perceptual loss, a fixed readout) is intentionally left out.
    """
    model_summary = model_summary_of(run)
    if ", " not in model_summary.model:
        return True
    root = left_out.name.partition(".")[0]
    held = (name for one in model_summary.optimizers for name in one.parameter_names)
    return any(name.partition(".")[0] == root for name in held)


def _missed(run: Run, limits: Limits) -> list[Layer]:
    """Return weight layers with gradients but without an optimizer that come after a trained layer.

    Layers before all trained ones are a backbone, and if most of the network is left out a few layers are fine-tuned:
    both are intentional, although they compute unused gradients.
    """
    model_summary = model_summary_of(run)
    forgotten = set(model_summary.forgotten)
    held = {name for one in model_summary.optimizers if one.steps != 0 for name in one.parameter_names}
    layers = weight_layers(run, trainable=True)
    trained = [one for one in layers if held & set(one.parameter_names)]
    first = min((one.order for one in trained), default=None)
    shapes = {one.output_shape for one in trained}
    candidates = [
        one
        for one in layers
        if first is not None
        and one.order > first
        and set(one.parameter_names) <= forgotten
        and _one_network(run, one)
        # With an unknown source and the shape of a trained layer, it may be an optional branch.
        and (one.source or one.output_shape not in shapes)
    ]
    names = {name for one in candidates for name in one.parameter_names}
    return candidates if _left_out(run, names) < limits["share"] or any(one.is_output for one in candidates) else []


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """List parameters in no optimizer; the severity depends on their fraction, their gradients and the harm."""
    model_summary = model_summary_of(run)
    # Modules that never ran with gradients (a target network, an unused module) are left out intentionally.
    unused = {name for layer in model_summary.layers if not layer.output_shape for name in layer.parameter_names}
    missing = [name for name in model_summary.unoptimized if name and name not in unused]
    found = list(_replaced(run)) or (list(_unregistered(run, missing)) if missing and model_summary.optimizers else [])
    yield from found
    if found or not missing or not model_summary.optimizers:
        return
    last = output_layer(run)
    headless = last is not None and bool(set(last.parameter_names) & set(missing))
    stale = sum(one.stale for one in model_summary.optimizers)
    share = _left_out(run, set(missing))
    # A trained head on random features learns something too, so without other evidence more harm is required.
    hurt = is_underperforming(run) if stale or headless else is_underperforming(run, below=limits["skill"])
    most = _left_out(run, set(missing) & set(model_summary.forgotten)) >= limits["share"]
    hurt = hurt or (most and is_underperforming(run, below=limits["learned"]))
    missed = _missed(run, limits)
    severity = Severity.WARNING if hurt or missed else Severity.INFO
    severity = Severity.ERROR if hurt and (stale or headless) else severity
    held = f" The optimizer has {stale} tensors that no layer of the network uses." if stale else ""
    gradients = " Their gradients are computed but not used." if set(missing) & set(model_summary.forgotten) else ""
    yield Evidence(
        layers=tuple(dict.fromkeys(name.rpartition(".")[0] for name in missing)),
        first_step=0,
        severity=severity,
        numbers={"parameters": len(missing), "share": share, "stale": stale, "last_layer": headless},
        message=f"{len(missing)} trainable tensors ({', '.join(missing[:3])}), {100 * share:.0f} % of all "
        f"trainable parameters, are in no optimizer and never change.{gradients}{held}",
        confidence=1.0 if stale or headless or missed else 0.8,
    )


RULE = Rule(
    code="W703",
    name="unoptimized-parameters",
    early=True,
    severity=Severity.ERROR,
    what="Trainable parameters are missing from the optimizer, or it has stale ones.",
    why="They keep their initial values.",
    recommendation="Create the optimizer with model.parameters() after the network is complete.",
    find=find,
    needs=("model_summary",),
    limits={
        "skill": Limit(0.3, "a head on random features usually removes more of the baseline loss than this"),
        "share": Limit(0.5, "more than half of the parameters"),
        "learned": Limit(0.8, "a head on pretrained features usually removes more of the baseline loss"),
    },
    causes=(*NOT_LEARNING, "U602", "U603", "G504", "W701"),
    fixes=(
        Fix(
            action="rebuild_optimizer",
            say="Create it after the last change to the network.",
            code="optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)",
        ),
    ),
    false_positives=(
        "An intentionally excluded backbone without requires_grad=False: INFO if the head learns.",
        "An intentionally fixed network, such as a perceptual loss: INFO.",
    ),
    sources=("An optimizer updates only its own parameter groups.",),
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
