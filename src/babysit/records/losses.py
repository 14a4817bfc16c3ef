"""Expected inputs of the losses in torch.nn.functional, shared by monitor and rules."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Wants(StrEnum):
    """Kind of values that a loss expects as its input."""

    SCORES = "scores"  # any real number; a softmax or sigmoid is applied inside
    LOGARITHMS = "log-probabilities"  # never above 0
    PROBABILITIES = "probabilities"  # from 0 to 1
    LOG_RATES = "log-rates"  # any real number; exp is applied inside
    RATES = "rates"  # never below 0
    REAL = "real numbers"  # any real number, compared directly


class LossInput(NamedTuple):
    """Expected input of one loss."""

    wants: Wants
    inside: str = ""  # the function that the loss applies to its input: softmax, sigmoid, exp
    never_negative: bool = True  # whether it is at least 0 for a valid input


LOSS_INPUTS: Final[dict[str, LossInput]] = {
    "cross_entropy": LossInput(Wants.SCORES, "softmax"),
    "linear_cross_entropy": LossInput(Wants.REAL),  # the last layer's input: the loss contains the layer
    "binary_cross_entropy_with_logits": LossInput(Wants.SCORES, "sigmoid"),
    "multilabel_soft_margin_loss": LossInput(Wants.SCORES, "sigmoid"),
    "soft_margin_loss": LossInput(Wants.SCORES, "sigmoid"),
    "nll_loss": LossInput(Wants.LOGARITHMS),
    "ctc_loss": LossInput(Wants.LOGARITHMS),
    "kl_div": LossInput(Wants.LOGARITHMS),
    "binary_cross_entropy": LossInput(Wants.PROBABILITIES),
    "poisson_nll_loss": LossInput(Wants.LOG_RATES, "exp", never_negative=False),
    "gaussian_nll_loss": LossInput(Wants.REAL, never_negative=False),
    "mse_loss": LossInput(Wants.REAL),
    "l1_loss": LossInput(Wants.REAL),
    "smooth_l1_loss": LossInput(Wants.REAL),
    "huber_loss": LossInput(Wants.REAL),
    "hinge_embedding_loss": LossInput(Wants.REAL, never_negative=False),  # a negative distance is not clamped
    "multi_margin_loss": LossInput(Wants.REAL),
    "multilabel_margin_loss": LossInput(Wants.REAL),
    "cosine_embedding_loss": LossInput(Wants.REAL),
    "margin_ranking_loss": LossInput(Wants.REAL),
    "triplet_margin_loss": LossInput(Wants.REAL),
    "triplet_margin_with_distance_loss": LossInput(Wants.REAL),
}


def loss_input(name: str, *, log_input: bool | None = None) -> LossInput | None:
    """Return the expected input of a loss; None for a custom one.

    Args:
        name: name of the function.
        log_input: the argument of a Poisson likelihood.
    """
    known = LOSS_INPUTS.get(name)
    if known is not None and known.wants is Wants.LOG_RATES and log_input is False:
        return known._replace(wants=Wants.RATES, inside="")
    return known
