"""All statistics, with the function that measures each and its frequency.

`always`: on every sampled step. `rarely`: on the first few sampled steps and every eighth after, since it reads whole
weight matrices along an axis.
"""

from __future__ import annotations

from typing import Final

from babysit.records.layer_metrics import BINS

MEASURED_BY: Final[dict[str, tuple[str, str]]] = {
    "activation_mean": ("activations.moments", "always"),
    "activation_std": ("activations.moments", "always"),
    "output_std": ("activations.moments", "always"),
    "sample_std": ("activations.sample_std", "rarely"),
    "zeros": ("activations.moments", "always"),
    "dead": ("units.SilentUnits", "always"),
    "saturated": ("activations.saturated", "always"),
    "one_sided": ("activations.one_sided", "rarely"),
    "input_one_sided": ("activations.one_sided", "rarely"),
    "input_variation": ("activations.variation", "rarely"),
    "gradient_rms": ("parameters.norms", "always"),
    "gradient_zeros": ("parameters.norms", "rarely"),
    "one_signed": ("parameters.one_signed", "rarely"),
    "weight_rms": ("parameters.norms", "always"),
    "bias_rms": ("the bias", "rarely"),
    "update_rms": ("parameters.update_norms", "always"),
    "update_ratio": ("parameters.update_norms", "always"),
    "nonfinite": ("activations.moments", "always"),
    "nonfinite_stage": ("activations.moments", "always"),
    "unit_similarity": ("parameters.unit_similarity", "rarely"),
    "gamma_mean": ("parameters of a normalization layer", "always"),
    "beta_mean": ("parameters of a normalization layer", "always"),
    "slope": ("parameter of a PReLU", "always"),
    **dict.fromkeys(BINS, ("activations.histogram", "always")),
}
