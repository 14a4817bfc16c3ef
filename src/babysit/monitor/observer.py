"""Callbacks of GraphCapture."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from babysit.monitor.graph_node import Node


class Observer(Protocol):
    """Receives the events of a graph capture. Do not keep references to the tensors."""

    def on_layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """Handle an operation with weights."""

    def on_parameter(self, place: str, op: str, entering: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Handle the use of a layer's parameter in any operation, also outside the layer (a scale, a shift)."""

    def on_activation(self, place: str, op: str, result: Tensor, dim: int | None) -> None:
        """Handle an activation on the output of a layer."""

    def on_gate(self, place: str, op: str) -> None:
        """Handle an activation on the output of a layer that weights another result."""

    def on_dropout(self, place: str, lr: float) -> None:
        """Handle a dropout on the output of a layer."""

    def on_loss(self, node: Node, value: Tensor) -> None:
        """Handle a loss function."""

    def on_refused_loss(self, node: Node) -> None:
        """Handle a loss function that raised an error for its arguments."""

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """Handle a comparison of a model result with data (most likely for an accuracy)."""

    def on_taken(self, node: Node) -> None:
        """Handle a read of values out of the graph (item, numpy, data)."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Handle an error in the capture; it does not propagate."""
