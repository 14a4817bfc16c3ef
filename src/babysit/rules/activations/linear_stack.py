"""A404: weight layers without an activation between them."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import RECURRENT, is_batch_norm, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule

PLAIN = ("Linear", "Conv", "matmul")
MOST_NAMED = 6  # layers or stacks in one message


def _origin(run: Run, layer: Layer) -> str:
    """Return the name of the layer that feeds this one, skipping batch norms without an activation (affine)."""
    source = layer.source
    between = model_summary_of(run).layer(source)
    while between is not None and is_batch_norm(between) and not between.activation:
        source = between.source
        between = model_summary_of(run).layer(source)
    return source


def _stacks(run: Run, layers: list[Layer]) -> list[list[str]]:
    """Return the longest chains of weight layers in which the output of each is the input of the next.

    Only traced connections count: matching shapes do not exclude an unobserved activation in between.
    """
    plain = {layer.name: layer for layer in layers if layer.kind.startswith(PLAIN)}
    feeds = {name: _origin(run, layer) for name, layer in plain.items()}
    before = {name: one for name, one in feeds.items() if one in plain and one != name and not plain[one].activation}
    stacks = []
    for last in [name for name in before if name not in before.values()]:
        output_ops = [last]
        while (name := before.get(output_ops[0])) is not None and name not in output_ops:
            output_ops.insert(0, name)
        stacks.append(output_ops)
    return stacks


def _named(names: list[str]) -> str:
    shown = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], "…", names[-1]]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _meaning(stacks: list[list[str]], *, all_linear: bool) -> str:
    names_text = "; ".join(_named(stack) for stack in stacks[:MOST_NAMED])
    if all_linear:
        return (
            f"The network is linear: there is no activation between its weight layers {names_text}, so together "
            "they are equivalent to a single linear layer."
        )
    if len(stacks) == 1:
        return f"There is no activation between {names_text}: together they are equivalent to one linear layer."
    return (
        f"{len(stacks)} groups of layers have no activation between them ({names_text}): each group is equivalent "
        "to one linear layer."
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for consecutive layers without an activation; a problem only if the whole network is linear."""
    layers = weight_layers(run)
    kinds = {layer.kind for layer in model_summary_of(run).layers}
    # In these, adjacent layers are not a chain, and activations are inside the module.
    special = kinds & RECURRENT or any("Attention" in kind or "Transformer" in kind for kind in kinds)
    if special or any(layer.norm and not is_batch_norm(layer) for layer in model_summary_of(run).layers):
        return
    stacks = _stacks(run, layers)
    if not stacks:
        return
    names = tuple(dict.fromkeys(name for stack in stacks for name in stack))
    all_linear = len(stacks) == 1 and len(names) == len(layers)
    hurt = all_linear and is_underperforming(run, below=limits["learned"])
    yield Evidence(
        layers=names,
        first_step=0,
        severity=Severity.WARNING if hurt else Severity.INFO,
        confidence=0.8,
        numbers={"layers": len(names), "of_layers": len(layers), "stacks": len(stacks)},
        message=_meaning(stacks, all_linear=all_linear),
    )


RULE = Rule(
    code="A404",
    name="linear-stack",
    severity=Severity.WARNING,
    what="Two or more weight layers without a nonlinearity between them.",
    why="A product of matrices is a matrix: the additional layers add compute but no capacity.",
    recommendation="Put an activation between the layers, or merge them into one.",
    find=find,
    needs=("model_summary",),
    limits={"learned": Limit(0.7, "70 % of the baseline loss removed: the task is nearly linear")},
    causes=("F902", "F903", "F905", "O210"),
    fixes=(
        Fix(
            action="insert_activation",
            value="relu",
            say="Put ReLU between the layers.",
            code="nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c))",
        ),
    ),
    false_positives=("Low-rank factors (adapters, bottlenecks) are intentional linear stacks: INFO.",),
    sources=("W2 (W1 x) = (W2 W1) x; CS231n lecture 6: without a nonlinearity layers collapse.",),
    fires_on=(lambda: example_run(layers=dense_layers((20, 64, 64, 10), activation=""), loss=flat(1.9)),),
    silent_on=(healthy,),
)
