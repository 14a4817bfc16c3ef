"""Who is told of what a trace sees; tensors are lent, not given."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from babysit.monitor.graph_node import Node


class Observer(Protocol):
    """Who is told of what a trace sees; tensors are lent, not given."""

    def on_layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """A weighted operation ran."""

    def on_parameter(self, place: str, op: str, entering: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """A parameter of this place entered an operation, a layer's own or any other (a scale, a shift)."""

    def on_activation(self, place: str, op: str, result: Tensor, dim: int | None) -> None:
        """An activation ran on what a layer gave."""

    def on_gate(self, place: str, op: str) -> None:
        """An activation that ran on what a layer gave weighs another result."""

    def on_dropout(self, place: str, lr: float) -> None:
        """A dropout ran on what a layer gave."""

    def on_loss(self, node: Node, value: Tensor) -> None:
        """A loss function ran."""

    def on_refused_loss(self, node: Node) -> None:
        """A loss function raised an error because of what it was given."""

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """Something from the model was compared with data (an accuracy, most likely)."""

    def on_taken(self, node: Node) -> None:
        """Values were read out of the graph (item, numpy, data)."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Something could not be followed; the training goes on."""
