"""Babysitting a two-layer network as the lecture does: first loss, twenty samples, and learning rates."""

from __future__ import annotations

import math
from dataclasses import replace

import altair as alt
import torch
import torch.nn.functional as F
from lecture import Shown, chart, colour, diagnosis, run_alone, verdict
from loops import LEARNED, Plan, binned, last, penalty, train
from pictures import Pictures
from torch import nn

import babysit
from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.records.anatomy import Task
from babysit.records.run import Run
from babysit.records.trial import StageRange
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Scale

HIDDEN = 50
FIRST_WEIGHTS = 1e-4  # the lecture's scale: its pixels keep their 0 to 255, only the mean picture is subtracted
STRENGTH = 1e3
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e6)
LABELS = {1e-6: "1e-6", 1e-5: "1e-5", 1e-4: "1e-4", 1e-3: "1e-3", 3e-3: "3e-3", 1e6: "1e6"}


def experiment(data: Pictures, *, quick: bool) -> Shown:
    """The slides' sequence, with the slides' data scale and first weights."""
    raw = data.flat(scale=1.0)
    plain, regularized, expected = first_losses(raw)
    tiny = train(network(raw), twenty(raw), Plan(rate=1e-3, steps=40 if quick else 400, batch=20, looks=20))
    steps = 60 if quick else 2500
    runs = {rate: train(network(raw), raw, Plan(rate=rate, steps=steps, batch=100, penalty=1e-6)) for rate in RATES}
    narrowed = search(raw, quick=quick)
    rows = [
        row("first loss", f"{plain:.4f}", f"ln {raw.classes} = {math.log(raw.classes):.4f}"),
        row("first loss with regularization 1e3", f"{regularized:.4f}", f"{expected:.4f} (the slide: 3.07)"),
        row("20 samples, no regularization", told(tiny), "loss near 0, accuracy 100 %", diagnosis(tiny)),
    ]
    expectations = {1e-6: "loss hardly moves, accuracy rises to 20 %", 3e-3: "inf: still too high", 1e6: "NaN"}
    for rate, run in runs.items():
        rows.append(row(f"rate {LABELS[rate]}", told(run), expectations.get(rate, ""), diagnosis(run)))
    found = narrowed[-1]
    rows.append(row("range of rates, by `babysit.search`", f"{found.low:.1e} to {found.high:.1e}", "1e-5 to 1e-3"))
    return Shown(
        title="Babysitting the learning process",
        lecture="look at the first loss (2.30; about 3.07 with regularization 1e3), overfit 20 samples, then find a "
        "rate: at 1e-6 the loss hardly moves though accuracy rises, at 1e6 it is NaN, at 3e-3 it still explodes, so "
        "the range to search is roughly 1e-3 to 1e-5.",
        done=f"A network of 50 hidden ReLU units on {data.source}, mean picture subtracted, nothing divided, first "
        f"weights of 1e-4 N(0, 1), SGD with batches of 100, {steps} steps. At 1e6 the first step leaves huge weights, "
        "and the loss is no longer a number.",
        figure=draw(tiny, {LABELS[rate]: run for rate, run in runs.items()}),
        table=rows,
        says={f"rate {LABELS[rate]}": verdict(runs[rate]) for rate in (1e-6, 3e-3, 1e6)}
        | {"the range to search": "\n".join(f"{r.stage}: {r.low:.1e} to {r.high:.1e}, {r.why}" for r in narrowed)},
    )


def row(step: str, measured: str, lecture: str, says: str = "") -> dict[str, object]:
    return {"step": step, "measured": measured, "the lecture": lecture, "babysit": says}


def told(run: Run) -> str:
    """First and last loss, and the accuracy on training samples."""
    losses = run.curves.get("loss/train").values
    accuracy = last(run, LEARNED)
    shown = f", accuracy {accuracy:.0%}" if math.isfinite(accuracy) else ""
    return f"loss {losses[0]:.4f} to {losses[-1]:.4f}{shown}"


def network(data: Pictures) -> nn.Module:
    """Two layers, first weights as on the slide."""
    torch.manual_seed(0)
    model = babysit.mlp(data.x.shape[1], data.classes, hidden=(HIDDEN,))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=FIRST_WEIGHTS)
    return model


def first_losses(data: Pictures) -> tuple[float, float, float]:
    """The loss before training without and with regularization 1e3, and what the latter should be."""
    model = network(data)
    with torch.no_grad():
        plain = F.cross_entropy(model(data.x), data.y).item()
        weights = sum(weight.numel() for weight in model.parameters() if weight.dim() > 1)
        expected = math.log(data.classes) + 0.5 * STRENGTH * weights * FIRST_WEIGHTS**2
        return plain, plain + penalty(model, STRENGTH).item(), expected


def twenty(data: Pictures) -> Pictures:
    """Twenty samples to learn by heart; they are their own validation set, so no gap is measured."""
    return replace(data.first(20), x_validation=data.x[:20], y_validation=data.y[:20])


def search(data: Pictures, *, quick: bool) -> tuple[StageRange, ...]:
    """The rates that babysit searches, stage by stage, from a wide range and without a word of advice."""
    names = tuple(str(label) for label in range(data.classes))
    train_samples, validation = (
        Samples(x=x, y=y, task=Task.CLASSES, kind="table", class_names=names)
        for x, y in ((data.x, data.y), (data.x_validation, data.y_validation))
    )
    found = babysit.search(
        lambda parameters: network(data),
        Splits(train=train_samples, validation=validation, test=validation.take([])),
        space=babysit.Space({"rate": Scale(1e-6, 1.0)}),
        settings=SearchSettings(
            stages=(Stage("coarse", 4, 1), Stage("fine", 2, 1))
            if quick
            else (Stage("coarse", 16, 8), Stage("fine", 6, 8)),
            optimizer="sgd",
            batch_size=100,
            finalists=1,
            finalist_seeds=1,
            device="cpu",
        ),
    )
    return found.ranges


def draw(tiny: Run, runs: dict[str, Run]) -> alt.HConcatChart:
    """Twenty samples by heart; the loss, and the accuracy, at every rate."""
    rows = [
        {"step": step, "value": value, "case": words}
        for curve, words in (("loss/train", "loss"), (LEARNED, "accuracy"))
        for step, value in binned(tiny, curve)
    ]
    left = (
        chart(rows)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="optimizer step"),
            y=alt.Y("value:Q", title=None),
            color=colour(["loss", "accuracy"]),
        )
    )
    names = list(runs)
    losses = [
        {"step": a, "loss": min(b, 3.0), "case": n} for n, run in runs.items() for a, b in binned(run, "loss/train")
    ]
    right = [{"step": a, "accuracy": b, "case": n} for n, run in runs.items() for a, b in binned(run, LEARNED)]
    y = alt.Y("loss:Q", title=None, scale=alt.Scale(zero=False, domainMax=3.0, clamp=True))
    middle = (
        chart(losses)
        .mark_line(point={"size": 12})
        .encode(x=alt.X("step:Q", title="optimizer step"), y=y, color=colour(names))
    )
    last_panel = (
        chart(right)
        .mark_line(point={"size": 16})
        .encode(x=alt.X("step:Q", title="optimizer step"), y=alt.Y("accuracy:Q", title=None), color=colour(names))
    )
    size = {"width": 245, "height": 220}
    panels = (
        left.properties(title="twenty samples by heart, rate 1e-3", **size),
        middle.properties(title="training loss by rate (cut at 3)", **size),
        last_panel.properties(title="training accuracy by rate", **size),
    )
    return alt.hconcat(*panels).resolve_scale(color="independent")


if __name__ == "__main__":
    run_alone(experiment, "babysitting")
