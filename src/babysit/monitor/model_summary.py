"""Puts the ModelSummary together from what the first steps showed."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import Any, Final, final

import msgspec
import torch
from torch import Tensor

from babysit.monitor.graph_capture import GraphCapture
from babysit.monitor.graph_node import Node
from babysit.monitor.loss_scale import is_composite, mean_of, only_loss, reduction_of
from babysit.monitor.loss_terms import loss_terms, updated
from babysit.monitor.objective import class_counts, counted_targets, describe, head_of, loss_nodes, output_layer
from babysit.monitor.op_details import source_of
from babysit.monitor.operations import ELEMENTWISE, NORMS
from babysit.monitor.optimizers import Optimizers, group_of
from babysit.monitor.parameter_registry import LayerParameters, ParameterRegistry
from babysit.monitor.running_moments import RunningMoments
from babysit.records.model_summary import Layer, ModelSummary, Objective, OptimizerInfo, Term

# The first steps are captured in full: two optimizers or two losses may take turns. Labels are counted meanwhile.
CAPTURED_STEPS: Final = 20
FEWEST_CALLS: Final = 5


@final
class _Seen:
    """One layer as it ran."""

    __slots__ = (
        "activation", "batch_axis", "dropout", "input_shape", "leads_on", "op", "order", "output_shape", "softmax_size",
        "source",
    )  # fmt: skip

    def __init__(self, op: str, order: int) -> None:
        self.op = op
        self.order = order
        self.input_shape: tuple[int, ...] = ()
        self.output_shape: tuple[int, ...] = ()
        self.activation = ""
        self.source = ""
        self.softmax_size = 0
        self.leads_on: set[bool] = set()  # to other layers: with an activation between (True), without
        self.dropout = 0.0
        self.batch_axis = 0


@final
class ModelSummaryBuilder:
    """Collects layers, objectives and optimizers while steps are captured."""

    def __init__(self, book: ParameterRegistry) -> None:
        self._book = book
        self._layers: dict[str, _Seen] = {}
        self._touched: dict[str, _Seen] = {}  # places whose parameters entered other operations: a scale, a shift
        self._outputs: set[str] = set()
        self._objectives: dict[tuple[Any, ...], Objective] = {}
        self._majorities: dict[tuple[Any, ...], list[float]] = {}
        self._optimizers: dict[int, OptimizerInfo] = {}
        self._reached: set[str] = set()
        self._seen_stepping: set[int] = set()  # optimizers whose gradients were looked at
        self._computed: set[str] = set()
        self._used: set[str] = set()  # places that a loss, or values that were read, come from
        self._followed = True  # whether nothing lay between them that was not seen
        self._inputs: dict[str, list[bool]] = {}
        self._terms: tuple[Term, ...] = ()
        self.scales: dict[tuple[str, str], float] = {}  # curve by mean of the loss, by loss and output layer
        self.compiled = False
        self.loss_inside = False  # the model itself computes a loss, in its forward
        self._own_values: dict[tuple[Any, ...], list[float]] = {}  # the losses' own means, where they were read
        self._further_scalars = False  # backward was called on a scalar without a loss that is known
        self.targets = RunningMoments()  # of the first objective

    def layer(self, trace: GraphCapture, place: str, op: str, tensors: tuple[Tensor | None, Tensor]) -> None:
        """A layer ran: its place in the order, its shapes, and which layer feeds it."""
        if place in self._layers:
            return
        entering, result = tensors
        seen = self._layers[place] = _Seen(op, self._turn())
        seen.output_shape = tuple(result.shape)
        if entering is not None:
            seen.input_shape = tuple(entering.shape)
            seen.source, through = source_of(trace.node(entering))
            if seen.source in self._layers:
                self._layers[seen.source].leads_on.add(through)
        if op == "multi_head_attention_forward":
            seen.batch_axis = 1  # time first here; batch_first modules transpose before the call
        elif trace.current is not None:
            seen.batch_axis = trace.current.extra.get("batch_axis", 0)
        if op == "prelu":
            seen.activation = "prelu"

    def parameter(self, place: str, op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        """A parameter entered an operation that need not be a layer's own: its place ran."""
        if place not in self._touched and place not in self._layers:
            seen = self._touched[place] = _Seen(op, self._turn())
            seen.input_shape, seen.output_shape = shapes

    def _turn(self) -> int:
        return len(self._layers) + len(self._touched)

    def activation(self, place: str, op: str, size: int | None) -> None:
        """An activation after a layer: the first is the layer's own; a softmax ran over so many values."""
        seen = self._layers.get(place)
        if seen is not None:
            seen.activation = seen.activation or op
            seen.softmax_size = max(seen.softmax_size, size or 0)

    def gate(self, place: str, op: str) -> None:
        """What seemed to be the layer's activation weighs another result."""
        seen = self._layers.get(place)
        if seen is not None and seen.activation == op:
            seen.activation = "gate"

    def dropout(self, place: str, lr: float) -> None:
        """A dropout after a layer."""
        seen = self._layers.get(place)
        if seen is not None:
            seen.dropout = max(seen.dropout, lr)

    def computed(self, loss: Node) -> None:
        """A loss function ran on this layer's output, whatever becomes of it."""
        self._computed.add(output_layer(loss))

    def uses(self, reached: list[Node], *, whole: bool) -> None:
        """What a loss, or values that were read, come from; whole when nothing on the way was unseen."""
        self._used.update(node.place for node in reached if node.place)
        self._followed &= whole

    def given(self, name: str, *, used: bool) -> None:
        """A model was given a tensor, and a loss depends on it or not."""
        self._inputs.setdefault(name, []).append(used)

    def terms(self, loss: Node) -> None:
        """What the scalar that backward was called on adds up."""
        self._terms = updated(self._terms, loss_terms(loss))

    def loss(self, loss: Node) -> None:
        """The scalar that backward was called on."""
        nodes = loss_nodes(loss)
        self._further_scalars |= not nodes
        for node, sign in nodes:
            key = _key(node)
            self._outputs.add(key[1])
            composite = is_composite(loss, node)
            if key not in self._objectives:
                self._objectives[key] = msgspec.structs.replace(describe(loss, node, sign), composite=composite)
                if len(self._objectives) == 1 and node.meeting is not None and not node.meeting[1].is_cpu:
                    self.targets.add(counted_targets(node))  # later ones are not waited for
            elif node.meeting is not None:
                known = self._objectives[key]
                self._objectives[key] = msgspec.structs.replace(
                    known,
                    class_counts=_added(known.class_counts, class_counts(node.meeting[1], known.target_kind)),
                    composite=known.composite or composite,
                )
            if node.meeting is not None:
                counts = class_counts(node.meeting[1], self._objectives[key].target_kind)
                if sum(counts) > 0:
                    self._majorities.setdefault(key, []).append(max(counts) / sum(counts))

    def values(self, loss: Node) -> None:
        """The losses' own values and targets of a step on the host; elsewhere reading them would wait for the device.

        A distance written by hand is known as such only where it is all that the scalar holds.
        """
        only_loss(loss)
        for node, _ in loss_nodes(loss):
            key = _key(node)
            if key not in self._objectives or node.meeting is None:
                continue
            if key == next(iter(self._objectives)):
                self.targets.add(counted_targets(node))
            mean = mean_of(node)
            if mean is not None and math.isfinite(mean):
                self._own_values.setdefault(key, []).append(mean)

    def comparable(self, node: Node) -> float | None:
        """An evaluation's loss in units of the training loss; None when it is another loss.

        A training loss of several parts has no counterpart in one of them; a sum grows with the batch, so means are
        compared.
        """
        if len(self._objectives) != 1:
            return None
        (key, objective), reduction = next(iter(self._objectives.items())), node.extra.get("reduction", "mean")
        alike = reduction == objective.reduction or not objective.class_weights
        mean, scale = mean_of(node), self.scales.get(key[:2])
        if node.op != objective.loss or not alike or mean is None or scale is None:
            return None
        return mean * scale

    def optimizer(self, optimizer: torch.optim.Optimizer, number: int, *, stepping: bool = True) -> None:
        """An optimizer: its groups and, when it is about to step, which parameters have a gradient."""
        if stepping:
            self._seen_stepping.add(number)
        for group in optimizer.param_groups if stepping else ():
            for tensor in group["params"]:
                name = self._book.name(tensor)
                if name is not None and tensor.grad is not None:
                    self._reached.add(name)
        if stepping:  # what no optimizer holds may have a gradient too
            self._reached.update(one.name for one in self._book.known() if _has_gradient(one.tensor))
        if number in self._optimizers:
            return
        tensors = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        names = [self._book.name(tensor) for tensor in tensors]
        self._optimizers[number] = OptimizerInfo(
            kind=type(optimizer).__name__,
            groups=tuple(group_of(group) for group in optimizer.param_groups),
            parameter_names=tuple(name for name in names if name is not None),
            maximize=any(group.get("maximize", False) is True for group in optimizer.param_groups),
            # What has a gradient takes part in something, if only in a network that was not looked at; and an optimizer
            # that does not step yet may wait for its turn.
            stale=sum(
                name is None and tensor.grad is None for name, tensor in zip(names, tensors, strict=True) if stepping
            ),
        )

    def all_optimizers(self, optimizers: Optimizers) -> None:
        """Every optimizer while it exists, those that have not stepped too."""
        for number, optimizer in optimizers.alive():
            self.optimizer(optimizer, number, stepping=False)

    def model_summary(self, batch_size: int, optimizers: Optimizers) -> ModelSummary:
        """What has been seen so far."""
        known = self._book.known()
        trainable = [held for held in known if held.trainable]
        held = {name for facts in self._optimizers.values() for name in facts.parameter_names}
        seen = [facts for key, facts in self._optimizers.items() if key in self._seen_stepping]
        stepped = {name for facts in seen for name in facts.parameter_names}
        ordered = sorted(self._book.places.values(), key=lambda place: self._order(place.name))
        objectives = [
            msgspec.structs.replace(
                objective,
                batch_majority=_mean(self._majorities.get(key, [])),
                reduction=reduction_of(objective.reduction, self.scales.get(key[:2])),
                scale=self.scales.get(key[:2], objective.scale),
                composite=objective.composite or self._further_scalars,
                **_own(self._own_values.get(key, [])),
            )
            for key, objective in self._objectives.items()
        ]
        return ModelSummary(
            model=", ".join(self._book.model_names),
            layers=tuple(self._layer(place, index) for index, place in enumerate(ordered)),
            objectives=tuple(objectives),
            optimizers=tuple(
                msgspec.structs.replace(facts, steps=optimizers.steps[key], cleared=optimizers.cleared(key))
                for key, facts in self._optimizers.items()
            ),
            parameters=sum(held.count for held in known),
            trainable_parameters=sum(held.count for held in trainable),
            batch_size=batch_size,
            unoptimized=tuple(one.name for one in trainable if one.name not in held) if held else (),
            forgotten=tuple(
                one.name for one in trainable if held and one.name not in held and one.name in self._reached
            ),
            unreached=tuple(one.name for one in trainable if one.name in stepped and one.name not in self._reached),
            unused_outputs=self._unused() if self._objectives and self._followed else (),
            frozen=tuple(one.name for one in known if not one.trainable),
            idle_losses=tuple(sorted(self._computed - self._outputs - {""})),
            terms=self._terms,
            unused_inputs=tuple(
                name for name, used in self._inputs.items() if len(used) >= FEWEST_CALLS and not any(used)
            ),
            mode_dependent=dict(self._book.mode_dependent),
            compiled=self.compiled,
        )

    def _unused(self) -> tuple[str, ...]:
        return tuple(name for name in self._layers | self._touched if name not in self._used)

    def order(self) -> list[str]:
        """Names of the layers in the order they ran, then those that never ran."""
        return sorted(self._book.places, key=self._order)

    def _order(self, place: str) -> int:
        seen = self._layers.get(place) or self._touched.get(place)
        return seen.order if seen is not None else self._turn()

    def _layer(self, place: LayerParameters, index: int) -> Layer:
        seen = self._layers.get(place.name) or self._touched.get(place.name)
        scales = place.name not in self._layers and seen is not None and seen.op in ELEMENTWISE
        return Layer(
            name=place.name,
            kind=place.kind,
            order=index,
            parameter_names=tuple(place.parameters),
            parameters=sum(held.count for held in place.parameters.values()),
            weight_shape=place.weight_shape,
            input_shape=seen.input_shape if seen else (),
            output_shape=seen.output_shape if seen else (),
            fan_in=0 if scales or "Embedding" in place.kind or "Norm" in place.kind else place.fan_in,
            has_bias=place.has_bias,
            trainable=any(held.trainable for held in place.parameters.values()),
            # One whose result goes nowhere (a relu called and not used) is none.
            activation=seen.activation if seen and seen.leads_on != {False} else "",
            norm="Norm" in place.kind or (seen is not None and seen.op in NORMS),
            is_output=place.name in self._outputs,
            source=seen.source if seen else "",
            dropout=seen.dropout if seen else 0.0,
            momentum=place.momentum,
            softmax_size=seen.softmax_size if seen else 0,
            batch_axis=seen.batch_axis if seen else 0,
        )


def _key(node: Node) -> tuple[Any, ...]:
    return (*head_of(node), tuple(node.meeting[0].shape[1:]) if node.meeting else ())


def _own(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    last = values[-max(5, len(values) // 10) :]
    return {"first_value": values[0], "last_value": _mean(last), "lowest_value": min(values)}


def _has_gradient(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.grad is not None


def _added(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip_longest(left, right, fillvalue=0))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
