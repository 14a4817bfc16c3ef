"""What each loss of torch.nn.functional asks of its input: the one table that watching and judging read."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Wants(StrEnum):
    """What the values that a loss is given must be."""

    SCORES = "scores"  # any real number; a softmax or sigmoid is applied inside
    LOGARITHMS = "log-probabilities"  # never above 0
    PROBABILITIES = "probabilities"  # from 0 to 1
    LOGARITHM_OF_LR = "the logarithm of a learning rate"  # any real number; exp is applied inside
    LEARNING_RATE = "lrs"  # never below 0
    REAL = "real numbers"  # any real number, compared as it is


class LossInput(NamedTuple):
    """One loss: its input, what it applies to it, and whether it has a floor at 0 when it is given what it wants."""

    wants: Wants
    inside: str = ""  # softmax, sigmoid, exp
    never_negative: bool = True


LOSS_INPUTS: Final[dict[str, LossInput]] = {
    "cross_entropy": LossInput(Wants.SCORES, "softmax"),
    "linear_cross_entropy": LossInput(Wants.REAL),  # the last layer's own input: the layer is inside
    "binary_cross_entropy_with_logits": LossInput(Wants.SCORES, "sigmoid"),
    "multilabel_soft_margin_loss": LossInput(Wants.SCORES, "sigmoid"),
    "soft_margin_loss": LossInput(Wants.SCORES, "sigmoid"),
    "nll_loss": LossInput(Wants.LOGARITHMS),
    "ctc_loss": LossInput(Wants.LOGARITHMS),
    "kl_div": LossInput(Wants.LOGARITHMS),
    "binary_cross_entropy": LossInput(Wants.PROBABILITIES),
    "poisson_nll_loss": LossInput(Wants.LOGARITHM_OF_LR, "exp", never_negative=False),
    "gaussian_nll_loss": LossInput(Wants.REAL, never_negative=False),
    "mse_loss": LossInput(Wants.REAL),
    "l1_loss": LossInput(Wants.REAL),
    "smooth_l1_loss": LossInput(Wants.REAL),
    "huber_loss": LossInput(Wants.REAL),
    "hinge_embedding_loss": LossInput(Wants.REAL, never_negative=False),  # a distance below 0 counts as it is
    "multi_margin_loss": LossInput(Wants.REAL),
    "multilabel_margin_loss": LossInput(Wants.REAL),
    "cosine_embedding_loss": LossInput(Wants.REAL),
    "margin_ranking_loss": LossInput(Wants.REAL),
    "triplet_margin_loss": LossInput(Wants.REAL),
    "triplet_margin_with_distance_loss": LossInput(Wants.REAL),
}


def loss_input(name: str, *, log_input: bool | None = None) -> LossInput | None:
    """What that loss wants; None for one of the user's own.

    Args:
        name: of the function.
        log_input: what a Poisson likelihood was called with.
    """
    known = LOSS_INPUTS.get(name)
    if known is not None and known.wants is Wants.LOGARITHM_OF_LR and log_input is False:
        return known._replace(wants=Wants.LEARNING_RATE, inside="")
    return known
