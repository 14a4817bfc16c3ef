"""Fixes that rules propose but no trial can apply, with the reason for each action."""

from __future__ import annotations

from typing import Final

_CODE: Final = "it is a change of your code"
_MODEL: Final = "it is a change of how the model is built"
_DATA: Final = "it is a change of the data or of how they are read"
_OBJECTIVE: Final = "it changes what is minimized, and a trial keeps the loss of the task"
_SEARCH: Final = "it is about the search: run `babysit search` with it"
_CHECK: Final = "it is an experiment, not a change: `babysit check` carries it out"

# Every action of records.finding.Fix that is not in apply.ACTIONS; a test compares both with those the rules propose.
BY_HAND: Final[dict[str, str]] = {
    "add_step": _CODE,
    "change_code": _CODE,
    "check_labels": _DATA,
    "clean_data": _DATA,
    "clip_gradients": "`babysit fit` does not clip gradients; a loop of your own can",
    "drop_duplicates": _DATA,
    "drop_features": _DATA,
    "fix_value": _SEARCH,
    "guard": _CODE,
    "insert_activation": _MODEL,
    "log_scale": _SEARCH,
    "lower_range": _SEARCH,
    "match_shapes": _CODE,
    "mean_reduction": _CODE,
    "more_seeds": _SEARCH,
    "move_dropout": _MODEL,
    "move_optimizer": _CODE,
    "overfit_tiny": _CHECK,
    "permute_input": _DATA,
    "lr_range": _CHECK,
    "rebuild_optimizer": _CODE,
    "remove_bias": _MODEL,
    "reorder": _MODEL,
    "replace_norm": _MODEL,
    "scale_target": _DATA,
    "scale_width": _MODEL,
    "set_batch_first": _MODEL,
    "set_loss": _OBJECTIVE,
    "set_mode": _CODE,
    "set_norm_momentum": _MODEL,
    "set_output_activation": _MODEL,
    "set_outputs": _MODEL,
    "set_sign": _OBJECTIVE,
    "set_softmax_axis": _MODEL,
    "shift_range": _SEARCH,
    "shuffle": _CODE,
    "weight_classes": _OBJECTIVE,
    "zero_gradients": _CODE,
}
