"""A405: sigmoid or softmax as a hidden activation."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import explained_loss_share, is_underperforming
from babysit.analysis.model_structure import RECURRENT, hidden_layers, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """List hidden layers followed by sigmoid or softmax; a problem if several and the training learns poorly."""
    kinds = {layer.kind for layer in model_summary_of(run).layers}
    gated = kinds & RECURRENT or any("Attention" in kind or "Transformer" in kind for kind in kinds)
    layers = [layer for layer in hidden_layers(run) if layer.activation in {"sigmoid", "softmax"}]
    if not layers or gated:
        return
    softmax = any(layer.activation == "softmax" for layer in layers)
    known = explained_loss_share(run)
    # Accuracy may be fair while the predicted probabilities are still nearly uniform.
    diffuse = softmax and known is not None and known < limits["learned"]
    hurt = diffuse or (is_underperforming(run) and (softmax or len(layers) >= limits["layers"]))
    yield Evidence(
        layers=tuple(layer.name for layer in layers),
        first_step=0,
        severity=Severity.WARNING if hurt else Severity.INFO,
        confidence=0.8 if len(layers) >= limits["deep"] or softmax else 0.6,
        numbers={"layers": len(layers)},
        message=f"{len(layers)} hidden layer(s) use {layers[0].activation}: each passes back at most 1/4 of the "
        f"gradient, so at most {0.25 ** len(layers):.1e} of it reaches the first layer through them.",
    )


RULE = Rule(
    code="A405",
    name="sigmoid-in-hidden-layer",
    severity=Severity.WARNING,
    what="Sigmoid or softmax is used as a hidden activation.",
    why="A sigmoid saturates, is not zero-centered, and passes at most 1/4 of the gradient, so gradients vanish "
    "with depth.",
    recommendation="Use ReLU (then leaky ReLU, then tanh) in hidden layers; keep sigmoid for binary outputs and gates.",
    find=find,
    needs=("model_summary",),
    limits={
        "layers": Limit(2, "one sigmoid layer passes 1/4 of the gradient and is rarely the cause; two pass 1/16"),
        "learned": Limit(0.25, "a quarter of the baseline loss; healthy short runs remove far more"),
        "deep": Limit(3, "three layers pass less than 2 % of the gradient"),
    },
    causes=(*NOT_LEARNING, "A402", "A403", "G501", "I302", "N805", "U602"),
    fixes=(Fix(action="replace_activation", value="relu", say="Use ReLU in hidden layers.", code="nn.ReLU()"),),
    false_positives=(
        "Shallow networks learn with sigmoid units, slowly: INFO if the training learns.",
        "Gates of gated layers.",
    ),
    sources=(
        "CS231n lecture 6: 'don't use sigmoid'.",
        "Glorot & Bengio 2010: the slope of the sigmoid is at most 1/4.",
    ),
    fires_on=(lambda: example_run(layers=dense_layers((20, 64, 64, 10), activation="sigmoid"), loss=flat(2.3)),),
    silent_on=(healthy,),
)
