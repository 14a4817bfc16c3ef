"""Builds the ModelSummary from the first traced steps."""

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

# More than one step is captured in full, because optimizers or losses may alternate; labels are counted meanwhile.
CAPTURED_STEPS: Final = 20
FEWEST_CALLS: Final = 5


@final
class _Seen:
    """Observed properties of one layer."""

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
        self.leads_on: set[bool] = set()  # connections to other layers: through an activation (True) or not
        self.dropout = 0.0
        self.batch_axis = 0


@final
class ModelSummaryBuilder:
    """Collects layers, objectives and optimizers while steps are captured."""

    def __init__(self, registry: ParameterRegistry) -> None:
        self._registry = registry
        self._layers: dict[str, _Seen] = {}
        self._touched: dict[str, _Seen] = {}  # layers whose parameters entered other operations: a scale, a shift
        self._outputs: set[str] = set()
        self._objectives: dict[tuple[Any, ...], Objective] = {}
        self._majorities: dict[tuple[Any, ...], list[float]] = {}
        self._optimizers: dict[int, OptimizerInfo] = {}
        self._reached: set[str] = set()
        self._seen_stepping: set[int] = set()  # optimizers whose gradients were inspected
        self._computed: set[str] = set()
        self._used: set[str] = set()  # layers that a loss, or values that were read, depend on
        self._followed = True  # whether all operations in between were traced
        self._inputs: dict[str, list[bool]] = {}
        self._terms: tuple[Term, ...] = ()
        self.scales: dict[tuple[str, str], float] = {}  # ratio of curve to loss mean, by loss and output layer
        self.compiled = False
        self.loss_inside = False  # the model computes a loss in its forward
        self._own_values: dict[tuple[Any, ...], list[float]] = {}  # means of the losses, where they were read
        self._further_scalars = False  # backward was called on a scalar without a known loss
        self.targets = RunningMoments()  # of the first objective

    def layer(self, trace: GraphCapture, place: str, op: str, tensors: tuple[Tensor | None, Tensor]) -> None:
        """Record a layer: its position in the order, its shapes, and the layer before it."""
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
            seen.batch_axis = 1  # time first; batch_first modules transpose before the call
        elif trace.current is not None:
            seen.batch_axis = trace.current.extra.get("batch_axis", 0)
        if op == "prelu":
            seen.activation = "prelu"

    def parameter(self, place: str, op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        """Record a parameter that entered any operation, of a layer or not."""
        if place not in self._touched and place not in self._layers:
            seen = self._touched[place] = _Seen(op, self._turn())
            seen.input_shape, seen.output_shape = shapes

    def _turn(self) -> int:
        return len(self._layers) + len(self._touched)

    def activation(self, place: str, op: str, size: int | None) -> None:
        """Record an activation after a layer; the first one counts. `size` is the length of a softmax axis."""
        seen = self._layers.get(place)
        if seen is not None:
            seen.activation = seen.activation or op
            seen.softmax_size = max(seen.softmax_size, size or 0)

    def gate(self, place: str, op: str) -> None:
        """Reclassify the activation of a layer as a gate."""
        seen = self._layers.get(place)
        if seen is not None and seen.activation == op:
            seen.activation = "gate"

    def dropout(self, place: str, lr: float) -> None:
        """Record a dropout after a layer."""
        seen = self._layers.get(place)
        if seen is not None:
            seen.dropout = max(seen.dropout, lr)

    def computed(self, loss: Node) -> None:
        """Record a loss function on a layer's output, used for training or not."""
        self._computed.add(output_layer(loss))

    def uses(self, reached: list[Node], *, complete: bool) -> None:
        """Record the nodes that a loss, or values that were read, depend on; `complete` if all of them were traced."""
        self._used.update(node.place for node in reached if node.place)
        self._followed &= complete

    def given(self, name: str, *, used: bool) -> None:
        """Record whether a loss depends on an input of the model."""
        self._inputs.setdefault(name, []).append(used)

    def terms(self, loss: Node) -> None:
        """Record the summands of the scalar that backward was called on."""
        self._terms = updated(self._terms, loss_terms(loss))

    def loss(self, loss: Node) -> None:
        """Record the objectives in the scalar that backward was called on."""
        nodes = loss_nodes(loss)
        self._further_scalars |= not nodes
        for node, sign in nodes:
            key = _key(node)
            self._outputs.add(key[1])
            composite = is_composite(loss, node)
            if key not in self._objectives:
                self._objectives[key] = msgspec.structs.replace(describe(loss, node, sign), composite=composite)
                if len(self._objectives) == 1 and node.meeting is not None and not node.meeting[1].is_cpu:
                    self.targets.add(counted_targets(node))  # later ones would synchronize the device
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
        """Record loss values and targets of a step; CPU only, because reading them would synchronize a device.

        A hand-written distance is recognized only if the scalar contains nothing else.
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
        """Convert an evaluation loss to the scale of the training loss; None if it is a different loss.

        A training loss with several parts has no counterpart in one of them. Means are compared, since a sum grows with
        the batch.
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
        """Record the groups of an optimizer and, if it is about to step, the parameters with a gradient."""
        if stepping:
            self._seen_stepping.add(number)
        for group in optimizer.param_groups if stepping else ():
            for tensor in group["params"]:
                name = self._registry.name(tensor)
                if name is not None and tensor.grad is not None:
                    self._reached.add(name)
        if stepping:  # parameters outside all optimizers may have a gradient too
            self._reached.update(one.name for one in self._registry.known() if _has_gradient(one.tensor))
        if number in self._optimizers:
            return
        tensors = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        names = [self._registry.name(tensor) for tensor in tensors]
        self._optimizers[number] = OptimizerInfo(
            kind=type(optimizer).__name__,
            groups=tuple(group_of(group) for group in optimizer.param_groups),
            parameter_names=tuple(name for name in names if name is not None),
            maximize=any(group.get("maximize", False) is True for group in optimizer.param_groups),
            # A parameter with a gradient is used, even if by a network that was not observed. An optimizer that has not
            # stepped may do so later.
            stale=sum(
                name is None and tensor.grad is None for name, tensor in zip(names, tensors, strict=True) if stepping
            ),
        )

    def all_optimizers(self, optimizers: Optimizers) -> None:
        """Record every living optimizer, including those that have not stepped."""
        for number, optimizer in optimizers.alive():
            self.optimizer(optimizer, number, stepping=False)

    def model_summary(self, batch_size: int, optimizers: Optimizers) -> ModelSummary:
        """Return the summary of all observations so far."""
        known = self._registry.known()
        trainable = [held for held in known if held.trainable]
        held = {name for facts in self._optimizers.values() for name in facts.parameter_names}
        seen = [facts for key, facts in self._optimizers.items() if key in self._seen_stepping]
        stepped = {name for facts in seen for name in facts.parameter_names}
        ordered = sorted(self._registry.places.values(), key=lambda place: self._order(place.name))
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
            model=", ".join(self._registry.model_names),
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
            mode_dependent=dict(self._registry.mode_dependent),
            compiled=self.compiled,
        )

    def _unused(self) -> tuple[str, ...]:
        return tuple(name for name in self._layers | self._touched if name not in self._used)

    def order(self) -> list[str]:
        """Return the layer names in execution order, followed by layers that never ran."""
        return sorted(self._registry.places, key=self._order)

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
            # An activation whose result is not used does not count.
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
