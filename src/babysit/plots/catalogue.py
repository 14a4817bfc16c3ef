"""All figures in the order of the report: those of one run, then those comparing several."""

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
    """One figure: functions for its numbers, drawing and description, and what a run needs for it."""

    name: str
    title: str
    numbers: Callable[[Any], Any]  # from a run (or runs); None: nothing to show
    draw: Callable[[Any], Figure]
    describe: Callable[[Any], str]
    needs: str  # why it is missing and what to do, when `numbers` returns None
    wide: bool = False


def _plot(module: ModuleType, title: str, needs: str, *, wide: bool = False) -> Plot:
    name = module.__name__.rpartition(".")[2]
    parts = {"numbers": module.numbers, "draw": module.draw, "describe": module.describe}
    return Plot(name=name, title=title, needs=needs, wide=wide, **parts)


PLOTS: Final = (
    _plot(losses, "Loss", "no loss was recorded: backward() was not called while the run was watched", wide=True),
    _plot(
        accuracy, "Accuracy and generalization gap", 'no accuracy was recorded: log it with log("val/accuracy", value)'
    ),
    _plot(curve_shape, "Distance from typical loss curves", "fewer than 30 steps, or a loss that can be negative"),
    _plot(update_ratio, "Update-to-weight ratio", "no optimizer step was sampled"),
    _plot(activations, "Activations over time", "no activations were measured: no optimizer step was sampled"),
    _plot(heatmap, "Layer statistics", "no layer was measured: no optimizer step was sampled", wide=True),
    _plot(
        initial_signal,
        "Activation/gradient scale at initialization",
        "fewer than two layers were measured at the first step",
    ),
    _plot(lr_range, "LR range test", "the LR range test was not run: run `babysit check`"),
    _plot(overfit_tiny, "Overfit a small batch", "the experiment was not run: run `babysit check`"),
    _plot(search_scatter, "Search", "no search was run: run `babysit search`"),
    _plot(search_edges, "Best values within the search range", "no search over ranges was run: run `babysit search`"),
    _plot(search_rungs, "Successive-halving promotions", "no search stage used successive halving"),
    _plot(search_parallel, "Parallel coordinates", "fewer than two trials of a search were finished", wide=True),
    _plot(search_importance, "Hyperparameter importance", "fewer than eight trials of a search were finished"),
    _plot(overhead, "Monitoring overhead", "fewer than two steps were sampled"),
)

# Figures comparing several runs: their functions take a sequence of runs.
COMPARED: Final = (
    _plot(compared_losses, "Losses", "fewer than two of the runs recorded a loss", wide=True),
    _plot(compared_metrics, "Accuracies", "fewer than two of the runs recorded an accuracy", wide=True),
    _plot(difference, "Layer by layer: B against A", "requires two runs that measured the same layers", wide=True),
)
