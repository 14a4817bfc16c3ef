"""Every figure, in the order of the report: those of one run, and those of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, final

from babysit.plots import (
    accuracy,
    activations,
    compared_losses,
    compared_metrics,
    curve_shape,
    difference,
    heatmap,
    initial_signal,
    losses,
    lr_range,
    overfit_tiny,
    overhead,
    search_edges,
    search_importance,
    search_parallel,
    search_rungs,
    search_scatter,
    update_ratio,
)
from babysit.plots.theme import Figure


@final
@dataclass(frozen=True, kw_only=True)
class Plot:
    """One figure: how to get its numbers, draw them and say them, and what a run needs to have for it."""

    name: str
    title: str
    numbers: Callable[[Any], Any]  # of a run (or runs); None: it has nothing to show
    draw: Callable[[Any], Figure]
    describe: Callable[[Any], str]
    needs: str  # why it is missing and what to do, when `numbers` is None
    wide: bool = False


def _plot(module: ModuleType, title: str, needs: str, *, wide: bool = False) -> Plot:
    name = module.__name__.rpartition(".")[2]
    parts = {"numbers": module.numbers, "draw": module.draw, "describe": module.describe}
    return Plot(name=name, title=title, needs=needs, wide=wide, **parts)


PLOTS: Final = (
    _plot(losses, "Loss", "no loss was recorded: nothing called backward() while the run was watched", wide=True),
    _plot(accuracy, "Accuracy and its gap", 'no accuracy was recorded: log it with log("val/accuracy", value)'),
    _plot(curve_shape, "Shape of the loss curve", "fewer than 30 steps, or a loss that can be negative"),
    _plot(update_ratio, "Size of the updates", "no optimizer step was sampled"),
    _plot(activations, "Activations over time", "no activations were measured: no optimizer step was sampled"),
    _plot(heatmap, "Layers over time", "no layer was measured: no optimizer step was sampled", wide=True),
    _plot(initial_signal, "Signal by depth at the start", "fewer than two layers were measured at the first step"),
    _plot(lr_range, "Learning-rate range test", "the range test was not made: `babysit check` makes it"),
    _plot(overfit_tiny, "Twenty samples by heart", "the experiment was not made: `babysit check` makes it"),
    _plot(search_scatter, "Search", "no search was made: `babysit search` makes one"),
    _plot(search_edges, "Where in its range it was best", "no search over ranges was made: `babysit search` makes one"),
    _plot(search_rungs, "Who went on to the next rung", "no stage of a search was halved"),
    _plot(search_parallel, "Trials side by side", "fewer than two trials of a search were finished", wide=True),
    _plot(search_importance, "What mattered in the search", "fewer than eight trials of a search were finished"),
    _plot(overhead, "What watching cost", "fewer than two steps were sampled"),
)

# Figures of several runs: what they are given is a sequence of runs.
COMPARED: Final = (
    _plot(compared_losses, "Losses", "fewer than two of the runs recorded a loss", wide=True),
    _plot(compared_metrics, "Accuracies", "fewer than two of the runs recorded an accuracy", wide=True),
    _plot(difference, "Layer by layer: B against A", "two runs that measured the same layers are needed", wide=True),
)
