"""Activation functions: their curves, their derivatives, what they cost, and how fast networks with them learn."""

from __future__ import annotations

import math
from time import perf_counter

import altair as alt
import numpy as np
import torch
from lecture import Shown, chart, colour, diagnosis, run_alone, verdict
from loops import Plan, binned, train
from pictures import Pictures

import babysit
from babysit.nn.activations import make_activation, width_factor
from babysit.nn.maxout import Maxout
from babysit.records.run import Run

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "maxout")
RACED = ("relu", "tanh", "sigmoid")
RATES = {"relu": (0.003, 0.01, 0.03), "tanh": (0.003, 0.01, 0.03), "sigmoid": (0.03, 0.1, 0.3)}
WINDOW = 25  # steps over which the loss is averaged when looking for the step that reaches a level


def experiment(data: Pictures, *, quick: bool) -> Shown:
    """The six functions, and the same network raced with three of them."""
    cost = {name: nanoseconds(name, values=10_000 if quick else 1_000_000) for name in NAMES}
    runs = race(data.flat(), steps=40 if quick else 1000, rates=1 if quick else 3)
    level = 1.02 * max(float(averaged(runs[name][1]).min()) for name in ("relu", "tanh"))
    arrived = {name: steps_to(runs[name][1], level) for name in RACED}
    rows = [
        {
            "activation": name,
            "ns per value, forward": cost[name][0],
            "ns, forward and backward": cost[name][1],
            "best rate": runs[name][0] if name in runs else "",
            f"steps to a loss of {level:.2f}": arrived.get(name, "") if name in runs else "",
            "babysit": diagnosis(runs[name][1]) if name in runs else "",
        }
        for name in NAMES
    ]
    return Shown(
        title="Activation functions",
        lecture="sigmoid saturates, is not zero-centred and costs an exponential: never in hidden layers. tanh is "
        "centred and saturates still. ReLU does not saturate above zero, is cheap, and converges about six times "
        "faster. Leaky ReLU, ELU and Maxout do not die.",
        done=f"Curves and derivatives, their cost on one core, and the same network (two hidden layers of 100 units) "
        f"on {data.source}, SGD with momentum 0.9, each at the best of three rates. {in_words(arrived, level)}",
        figure=draw(runs),
        table=rows,
        says={"the network of sigmoids": verdict(runs["sigmoid"][1])},
    )


def in_words(arrived: dict[str, float | str], level: float) -> str:
    """Who came first, and by how much."""
    relu, tanh = arrived["relu"], arrived["tanh"]
    if isinstance(relu, str) or isinstance(tanh, str):
        return f"Not every network came to a loss of {level:.2f}."
    return (
        f"ReLU is at a loss of {level:.2f} {tanh / relu:.1f} times sooner than tanh here (six times in the "
        f"lecture's example, a convolutional network); sigmoid: {arrived['sigmoid']} steps."
    )


def value(name: str, z: torch.Tensor) -> torch.Tensor:
    """One unit's answer to z; Maxout takes the larger of the lines -0.3 z - 0.5 and z."""
    if name == "maxout":
        return Maxout()(torch.stack([-0.3 * z - 0.5, z], dim=1))[:, 0]
    return make_activation(name)(z)


def nanoseconds(name: str, *, values: int) -> tuple[float, float]:
    """Time of forward, and of forward and backward, for each value that comes out."""
    module = make_activation(name)
    z = torch.randn(1000, values // 1000 * width_factor(name))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(7):
        start = perf_counter()
        with torch.no_grad():
            module(z)
        times[0].append(perf_counter() - start)
        leaf = z.clone().requires_grad_()
        start = perf_counter()
        answer = module(leaf)
        answer.backward(torch.ones_like(answer))
        times[1].append(perf_counter() - start)
    return min(times[0]) / values * 1e9, min(times[1]) / values * 1e9


def race(data: Pictures, *, steps: int, rates: int) -> dict[str, tuple[float, Run]]:
    """For each activation the rate with the lowest loss in the end, and its run."""
    best: dict[str, tuple[float, Run]] = {}
    for name in RACED:
        for rate in RATES[name][-rates:]:
            torch.manual_seed(0)
            model = babysit.mlp(data.x.shape[1], data.classes, hidden=(100, 100), activation=name)
            run = train(model, data, Plan(rate=rate, steps=steps, momentum=0.9), name=name)
            if name not in best or float(averaged(run).min()) < float(averaged(best[name][1]).min()):
                best[name] = (rate, run)
    return best


def averaged(run: Run) -> np.ndarray:
    """The training loss, averaged over the last 25 steps; infinite where it was not finite."""
    losses = np.nan_to_num(np.asarray(run.curves.get("loss/train").values, dtype=float), nan=math.inf)
    return np.convolve(losses, np.ones(WINDOW) / WINDOW, mode="valid")


def steps_to(run: Run, level: float) -> float | str:
    """The first step at which the averaged loss is below the level."""
    below = np.flatnonzero(averaged(run) <= level)
    return float(below[0] + WINDOW) if len(below) else f"not within {len(run.curves.get('loss/train'))}"


def draw(runs: dict[str, tuple[float, Run]]) -> alt.HConcatChart:
    """Curves, derivatives, and the race."""
    z = torch.linspace(-5, 5, 101)
    curves, slopes = [], []
    for name in NAMES:
        leaf = z.clone().requires_grad_()
        answer = value(name, leaf)
        answer.sum().backward()
        assert leaf.grad is not None
        curves += [{"z": a, "value": b, "case": name} for a, b in zip(z.tolist(), answer.tolist(), strict=True)]
        slopes += [{"z": a, "slope": b, "case": name} for a, b in zip(z.tolist(), leaf.grad.tolist(), strict=True)]
    shade, dash = colour(NAMES), alt.StrokeDash("case:N", legend=None)
    y = alt.Y("value:Q", scale=alt.Scale(domain=[-2, 4], clamp=True), title=None)
    size = {"width": 235, "height": 220}
    left = chart(curves).mark_line(clip=True).encode(x="z:Q", y=y, color=shade, strokeDash=dash)
    right = (
        chart(slopes).mark_line(clip=True).encode(x="z:Q", y=alt.Y("slope:Q", title=None), color=shade, strokeDash=dash)
    )
    raced = [
        {"step": a, "loss": b, "case": name} for name, (_, run) in runs.items() for a, b in binned(run, "loss/train")
    ]
    race_chart = (
        chart(raced)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="optimizer step"),
            y=alt.Y("loss:Q", title=None, scale=alt.Scale(zero=False)),
            color=shade,
        )
    )
    return alt.hconcat(
        left.properties(title="activation", **size),
        right.properties(title="derivative", **size),
        race_chart.properties(title="training loss, each at its best rate", **size),
    )


if __name__ == "__main__":
    run_alone(experiment, "activations")
