"""Every rule, listed by hand in the order of the codes."""

from __future__ import annotations

from typing import Final

from babysit.rules.activations import (
    constant_output,
    dead_units,
    linear_stack,
    one_sided_activations,
    saturated_units,
    sigmoid_in_hidden_layer,
)
from babysit.rules.data import (
    class_imbalance,
    constant_feature,
    constant_target,
    nonfinite_input,
    split_leak,
    split_mismatch,
    uncentered_input,
    unlearnable_labels,
    unscaled_input,
    unscaled_target,
    unshuffled_batches,
    wrong_layout,
)
from babysit.rules.fit import (
    delayed_learning,
    diverging_loss,
    oscillating_loss,
    over_regularized,
    overfitting,
    redundant_depth,
    stalled_loss,
    stopped_early,
    underconfident_predictions,
    underfitting,
)
from babysit.rules.gradients import (
    exploding_gradient,
    missing_gradient,
    noisy_gradient,
    nonfinite_gradient,
    vanishing_gradient,
)
from babysit.rules.initialization import (
    dead_at_init,
    growing_signal,
    large_bias,
    saturated_at_init,
    shrinking_signal,
    symmetric_units,
)
from babysit.rules.normalization import (
    bias_before_norm,
    dropout_misplaced,
    missing_normalization,
    norm_after_activation_order,
    stale_running_stats,
    tiny_batch_norm,
)
from babysit.rules.objective import (
    broadcast_loss,
    constant_prediction,
    double_softmax,
    flipped_objective,
    impossible_loss,
    loss_task_mismatch,
    penalty_dominates,
    rectified_output,
    single_unit_softmax,
    summed_loss,
    unexpected_initial_loss,
    units_classes_mismatch,
    unreachable_target,
)
from babysit.rules.rule import Rule
from babysit.rules.search import (
    best_at_edge,
    indistinct_winner,
    linear_scale,
    mostly_diverged,
    unimportant_range,
)
from babysit.rules.tool import (
    measurement_gap,
)
from babysit.rules.updates import (
    always_clipped,
    bad_batch_size,
    lr_too_high,
    lr_too_low,
    unchanged_weights,
    unsuitable_optimizer,
)
from babysit.rules.wiring import (
    detached_graph,
    eval_mode_training,
    ignored_input,
    missing_step,
    mixed_samples,
    recreated_optimizer,
    train_mode_evaluation,
    uncleared_gradients,
    unoptimized_parameters,
    unused_module,
)

RULES: Final[tuple[Rule, ...]] = (
    unscaled_input.RULE,  # D101
    uncentered_input.RULE,  # D102
    nonfinite_input.RULE,  # D103
    constant_feature.RULE,  # D104
    unscaled_target.RULE,  # D105
    constant_target.RULE,  # D106
    class_imbalance.RULE,  # D107
    unlearnable_labels.RULE,  # D108
    unshuffled_batches.RULE,  # D109
    split_mismatch.RULE,  # D110
    split_leak.RULE,  # D111
    wrong_layout.RULE,  # D112
    double_softmax.RULE,  # O201
    single_unit_softmax.RULE,  # O202
    unreachable_target.RULE,  # O203
    loss_task_mismatch.RULE,  # O204
    units_classes_mismatch.RULE,  # O205
    broadcast_loss.RULE,  # O206
    unexpected_initial_loss.RULE,  # O207
    impossible_loss.RULE,  # O208
    summed_loss.RULE,  # O209
    constant_prediction.RULE,  # O210
    rectified_output.RULE,  # O211
    penalty_dominates.RULE,  # O212
    flipped_objective.RULE,  # O213
    symmetric_units.RULE,  # I301
    shrinking_signal.RULE,  # I302
    growing_signal.RULE,  # I303
    saturated_at_init.RULE,  # I304
    dead_at_init.RULE,  # I305
    large_bias.RULE,  # I306
    dead_units.RULE,  # A401
    saturated_units.RULE,  # A402
    one_sided_activations.RULE,  # A403
    linear_stack.RULE,  # A404
    sigmoid_in_hidden_layer.RULE,  # A405
    constant_output.RULE,  # A406
    vanishing_gradient.RULE,  # G501
    exploding_gradient.RULE,  # G502
    nonfinite_gradient.RULE,  # G503
    missing_gradient.RULE,  # G504
    noisy_gradient.RULE,  # G505
    lr_too_high.RULE,  # U601
    lr_too_low.RULE,  # U602
    unchanged_weights.RULE,  # U603
    always_clipped.RULE,  # U604
    bad_batch_size.RULE,  # U605
    unsuitable_optimizer.RULE,  # U606
    uncleared_gradients.RULE,  # W701
    missing_step.RULE,  # W702
    unoptimized_parameters.RULE,  # W703
    recreated_optimizer.RULE,  # W704
    eval_mode_training.RULE,  # W705
    train_mode_evaluation.RULE,  # W706
    mixed_samples.RULE,  # W707
    detached_graph.RULE,  # W708
    unused_module.RULE,  # W709
    ignored_input.RULE,  # W710
    bias_before_norm.RULE,  # N801
    norm_after_activation_order.RULE,  # N802
    tiny_batch_norm.RULE,  # N803
    stale_running_stats.RULE,  # N804
    missing_normalization.RULE,  # N805
    dropout_misplaced.RULE,  # N806
    overfitting.RULE,  # F901
    underfitting.RULE,  # F902
    stopped_early.RULE,  # F903
    delayed_learning.RULE,  # F904
    stalled_loss.RULE,  # F905
    diverging_loss.RULE,  # F906
    underconfident_predictions.RULE,  # F907
    over_regularized.RULE,  # F908
    oscillating_loss.RULE,  # F909
    redundant_depth.RULE,  # F910
    best_at_edge.RULE,  # S001
    linear_scale.RULE,  # S002
    mostly_diverged.RULE,  # S003
    indistinct_winner.RULE,  # S004
    unimportant_range.RULE,  # S005
    measurement_gap.RULE,  # T001
)
