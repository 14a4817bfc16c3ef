"""Collects the scalars of a sampled step on the device and converts them to layer metrics afterwards."""

from __future__ import annotations

import math
from typing import Any, Final, final

import torch
from torch import Tensor

from babysit.metrics import activations, parameters
from babysit.metrics.units import SilentUnits
from babysit.monitor.operations import CONVOLUTIONAL
from babysit.monitor.parameter_registry import LayerParameters, ParameterRegistry
from babysit.records.layer_metrics import BINS, NONFINITE_STAGES

RARELY: Final = 8  # reductions along an axis of full weight matrices run only in every eighth sampled step

Raw = dict[tuple[str, str], Tensor]


@final
class MetricCollector:
    """Measures layers during a traced forward pass and parameters around the optimizer step."""

    def __init__(self, registry: ParameterRegistry) -> None:
        self._registry = registry
        self._silent: dict[str, SilentUnits] = {}
        self._raw: Raw = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._convolutional: dict[str, bool] = {}
        self._before: list[tuple[list[LayerParameters], list[Tensor], list[Tensor]]] = []
        self._samples = 0
        self._waiting: torch.optim.Optimizer | None = None
        self.closely = True

    def begin(self) -> None:
        """Start a sampled step."""
        self._raw, self._counts, self._before = {}, {}, []
        self.closely = self._samples < 3 or self._samples % RARELY == 0
        self._samples += 1

    # -- during the forward pass

    def layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """Measure the output of a layer, once per step."""
        if (place, "output") in self._counts or not torch.is_grad_enabled() or not result.is_floating_point():
            return
        self._convolutional[place] = op in CONVOLUTIONAL
        values = activations.sample(result)
        self._moments(place, "output", values)
        if self.closely and entering is not None and entering.is_floating_point() and entering.dim() > 1:
            seen = activations.sample(entering)
            axis = activations.unit_axis(seen, convolutional=op in CONVOLUTIONAL)
            self._one_sided(place, "input_one_sided", seen, axis)
            if activations.several_samples(seen):
                self._raw[place, "input_variation"] = activations.variation(seen)
        if self.closely:
            alone = entering is not None and entering.dim() < 2
            if activations.several_samples(values) and not alone:
                self._raw[place, "sample_std"] = activations.sample_std(values)
            axis = activations.unit_axis(values, convolutional=self._convolutional[place])
            self._one_sided(place, "one_sided", values, axis)

    def activation(self, place: str, op: str, result: Tensor, _dim: int | None) -> None:
        """Measure the output of the activation after a layer, once per step."""
        if (place, "activation") in self._counts or (place, "output") not in self._counts:
            return
        if not torch.is_grad_enabled() or not result.is_floating_point():
            return
        values = activations.sample(result)
        self._moments(place, "activation", values)
        axis = activations.unit_axis(values, convolutional=self._convolutional.get(place, False))
        if op in activations.RECTIFIERS:
            silent = self._silent.setdefault(place, SilentUnits()).update(result, axis)
            if silent is not None:
                self._raw[place, "dead"] = silent
        if self.closely:
            self._one_sided(place, "one_sided", values, axis)
        if op in activations.SATURATING:
            self._raw[place, "saturated"] = activations.saturated(values, op)

    def _one_sided(self, place: str, name: str, values: Tensor, axis: int) -> None:
        if values.numel() > values.shape[axis]:  # a single value per unit always has one sign
            self._raw[place, name] = activations.one_sided(*activations.extremes(values, axis))

    def _moments(self, place: str, what: str, values: Tensor) -> None:
        self._counts[place, what] = values.numel()
        for key, scalar in activations.moments(values).items():
            self._raw[place, f"{what}.{key}"] = scalar
        # The value after the activation replaces that of the layer, as for all activation statistics.
        for name, share in zip(BINS, activations.histogram(values).unbind(), strict=True):
            self._raw[place, name] = share

    # -- around the optimizer step

    def before_step(self, optimizer: torch.optim.Optimizer, *, with_gradients: bool) -> None:
        """Copy the weights of this optimizer, and measure their gradients unless a closure computes them."""
        if not self._registry.places and not with_gradients:
            self._waiting = optimizer  # the model is registered inside the closure, before any weight changes
            return
        own = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
        pairs = [(place, place.trained) for place in self._registry.places.values()]
        held = [(place, one) for place, one in pairs if one is not None and _usable(one) and id(one) in own]
        places, weights = [place for place, _ in held], [one for _, one in held]
        self._before.append((places, weights, parameters.copies(weights)))
        if with_gradients:
            self._gradients(places)
        for (place, one), norm in zip(held, parameters.norms(weights), strict=True):
            if one is place.weight:  # updates are not measured relative to a bias, which may start at zero
                self._raw[place.name, "weight_norm"] = norm
        self._counts.update({(place.name, "weight"): one.numel() for place, one in held})
        if self.closely:
            for place, weight in held:
                if weight is place.weight and weight.dim() > 1:
                    similarity = parameters.unit_similarity(weight, place.bias, place.unit_axis)
                    self._raw[place.name, "unit_similarity"] = similarity
                if place.bias is not None:
                    self._raw[place.name, "bias_rms"] = place.bias.detach().float().square().mean().sqrt()

    def closure_called(self) -> None:
        """Copy the weights in the first call of a closure, before any of them changes."""
        if self._waiting is not None:
            optimizer, self._waiting = self._waiting, None
            self.before_step(optimizer, with_gradients=False)

    def after_step(self, *, with_gradients: bool) -> None:
        """Measure the weight updates; exact for any optimizer."""
        self._waiting = None
        if not self._before:
            return
        places, weights, before = self._before.pop()
        if with_gradients:
            self._gradients(places)
        for place, norm in zip(places, parameters.update_norms(before, weights), strict=True):
            self._raw[place.name, "update_norm"] = norm
        for place in places:
            self._own_parameters(place)

    def _gradients(self, places: list[LayerParameters]) -> None:
        trained = [(place, place.trained) for place in places]
        pairs = [(place, one.grad) for place, one in trained if one is not None and _has_gradient(one)]
        having = [place for place, grad in pairs if grad is not None]
        gradients = [grad for _, grad in pairs if grad is not None]
        for place, norm in zip(having, parameters.norms(gradients), strict=True):
            self._raw[place.name, "gradient_norm"] = norm
        if self.closely:
            for place, gradient, count in zip(having, gradients, parameters.norms(gradients, 0), strict=True):
                self._raw[place.name, "gradient_nonzero"] = count
                if gradient.dim() > 1:
                    self._raw[place.name, "one_signed"] = parameters.one_signed(
                        gradient, place.unit_axis % gradient.dim()
                    )

    def _own_parameters(self, place: LayerParameters) -> None:
        if "Norm" in place.kind:
            for name, tensor in place.tensors():
                key = "gamma_mean" if name.endswith("weight") else "beta_mean"
                self._raw[place.name, key] = tensor.detach().float().mean()
        elif place.kind == "PReLU" and place.weight is not None:
            self._raw[place.name, "slope"] = place.weight.detach().float().mean()

    # -- after the step

    def finish(self) -> tuple[list[tuple[str, str]], dict[tuple[str, str], int], Tensor | None]:
        """Return the keys, the counts, and one tensor with all scalars, still on the device."""
        keys = list(self._raw)
        if not keys:
            return [], {}, None
        devices = {scalar.device for scalar in self._raw.values()}
        home = next(iter(devices)) if len(devices) == 1 else torch.device("cpu")
        row = torch.stack([self._raw[key].detach().to(home, torch.float32) for key in keys])
        self._raw = {}
        return keys, self._counts, row


def _usable(weight: Tensor | None) -> bool:
    return weight is not None and weight.is_floating_point() and weight.layout == torch.strided


def _has_gradient(weight: Tensor | None) -> bool:
    return weight is not None and weight.grad is not None and weight.grad.layout == torch.strided


def to_metrics(
    values: dict[tuple[str, str], float], counts: dict[tuple[str, str], int]
) -> dict[tuple[str, str], float]:
    """Convert one row of raw scalars on the host to the metrics of records/layer_metrics.py, by (layer, name)."""
    table: dict[tuple[str, str], float] = {}
    for place in dict.fromkeys(place for place, _ in values):
        raw = {key: value for (owner, key), value in values.items() if owner == place}
        table.update({(place, name): value for name, value in _one_place(place, raw, counts).items()})
    return table


def _one_place(place: str, raw: dict[str, float], counts: dict[tuple[str, str], int]) -> dict[str, float]:
    out: dict[str, float] = {}
    finished: dict[str, dict[str, float]] = {}
    for what in ("output", "activation"):
        if (place, what) in counts and f"{what}.sum" in raw:
            part = {key: raw[f"{what}.{key}"] for key in ("sum", "norm", "nonzero")}
            finished[what] = activations.finish(part, max(1, counts[place, what]))
    if "output" in finished:
        out["output_std"] = finished["output"]["std"]
        passed = finished.get("activation", finished["output"])
        out.update(activation_mean=passed["mean"], activation_std=passed["std"], zeros=passed["zeros"])
    for name in ("dead", "saturated", "one_sided", "input_one_sided", "input_variation", "one_signed",
                 "unit_similarity", "sample_std", "bias_rms", "gamma_mean", "beta_mean", "slope", *BINS):  # fmt: skip
        if name in raw:
            out[name] = raw[name]
    out.update(_of_parameters(raw, max(1, counts.get((place, "weight"), 1))))
    # The norm of an output may overflow although its values are finite; the sum is non-finite if any value is.
    watched = [(key, value) for key, value in raw.items() if key.endswith(("_norm", ".sum"))]
    broken = [_stage(key) for key, value in watched if not math.isfinite(value)]
    out["nonfinite"] = float(len(broken))
    out["nonfinite_stage"] = float(min(broken, default=0))
    return out


def _stage(key: str) -> int:
    """Return the position of a raw scalar in the order of a step, from 1."""
    kind = {"weight_norm": "weights", "gradient_norm": "gradient", "update_norm": "update"}.get(key, "outputs")
    return NONFINITE_STAGES.index(kind) + 1


def _of_parameters(raw: dict[str, float], count: int) -> dict[str, float]:
    out: dict[str, float] = {}
    if "gradient_norm" in raw:
        out["gradient_rms"] = raw["gradient_norm"] / math.sqrt(count)
    if "gradient_nonzero" in raw:
        out["gradient_zeros"] = 1.0 - raw["gradient_nonzero"] / count
    if "weight_norm" in raw:
        out["weight_rms"] = raw["weight_norm"] / math.sqrt(count)
    if "update_norm" in raw:
        out["update_rms"] = raw["update_norm"] / math.sqrt(count)
        # Weights that start at zero have no ratio yet: leave it out, since infinity would look like divergence.
        out["update_ratio"] = raw["update_norm"] / raw["weight_norm"] if raw.get("weight_norm") else math.nan
    return out


def values_of(keys: list[tuple[str, str]], row: Any) -> dict[tuple[str, str], float]:
    """Copy one row to the host; synchronizes the device if needed."""
    return dict(zip(keys, row.tolist(), strict=True))
