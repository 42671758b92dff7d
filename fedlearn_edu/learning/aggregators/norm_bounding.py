"""Norm bounding and zeroing: TFF's own factories against values that are too large, made safe against NaN."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_positive
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory, guard, inner_or_mean
from fedlearn_edu.learning.aggregators.stacked import Rule, mean_of


def norm_bounding(
    max_norm: float, inner: AggregationFactory | None = None, *, weighted: bool = False
) -> AggregationFactory:
    """Returns a factory that scales every value down to an L2 norm of at most `max_norm`, then takes the mean.

    A hostile client may send any direction, but no further than an honest one: of k clients it moves the mean by
    `max_norm / k` at most. It is `tff.aggregators.clipping_factory` inside of `finite_only`: TFF's factory alone lets
    NaN pass, since no comparison with NaN is true. Also a good first layer around any other aggregator.

    Measurements: `num_excluded`, `excluded` (see `finite_only`), and under `inner` TFF's `clipped_count` and
    `clipping_norm`.

    Args:
        max_norm: Largest L2 norm over all tensors of a value together, above 0, in units of the values. A bound a
            little above the median of honest norms costs little accuracy.
        inner: What aggregates the bounded values; default the mean.
        weighted: Return a factory for `build_weighted_fed_avg`; then `inner` must take weights.

    Raises:
        UsageError: `max_norm` is not a finite number above 0, or `weighted` and an `inner` that takes no weights.

    Example:
        >>> fl.norm_bounding(0.5)
        norm_bounding(max_norm=0.5)

    References:
        Sun et al., Can you really backdoor federated learning?, 2019, arXiv:1911.07963.
    """
    max_norm = check_positive("max_norm", max_norm)
    clipped = tff.aggregators.clipping_factory(max_norm, inner_or_mean(inner, weighted))
    rule = bounded_mean_rule(max_norm) if inner is None else None
    return guard(clipped, weighted=weighted, name="norm_bounding", settings=_settings(max_norm, inner), rule=rule)


def zeroing(max_norm: float, inner: AggregationFactory | None = None, *, weighted: bool = False) -> AggregationFactory:
    """Returns a factory that replaces a value with a number beyond `max_norm` by zeros, then takes the mean.

    What is far too large is a fault or an attack, and nothing of it is used. The client still counts: the mean over k
    clients of which one is zeroed is that over the others, times (k - 1) / k. It is `tff.aggregators.zeroing_factory`,
    which looks at the largest absolute number, inside of `finite_only`.

    Measurements: `num_excluded`, `excluded` (see `finite_only`), and under `inner` TFF's `zeroed_count` and
    `zeroing_norm`.

    Args:
        max_norm: Largest absolute number (the infinity norm) of a value that is used, above 0. Several times that of
            honest clients.
        inner: What aggregates the rest; default the mean.
        weighted: Return a factory for `build_weighted_fed_avg`; then `inner` must take weights.

    Raises:
        UsageError: `max_norm` is not a finite number above 0, or `weighted` and an `inner` that takes no weights.

    Example:
        >>> fl.zeroing(10.0)
        zeroing(max_norm=10.0)

    References:
        `tff.aggregators.zeroing_factory`, part of TFF's `tff.learning.robust_aggregator`.
    """
    max_norm = check_positive("max_norm", max_norm)
    zeroed = tff.aggregators.zeroing_factory(max_norm, inner_or_mean(inner, weighted))
    rule = zeroed_mean_rule(max_norm) if inner is None else None
    return guard(zeroed, weighted=weighted, name="zeroing", settings=_settings(max_norm, inner), rule=rule)


def bounded_mean_rule(max_norm: float) -> Rule:
    """Returns what `norm_bounding` computes, as a function of the stack of all values.

    Example:
        >>> bounded_mean_rule(1.0)(tf.constant([[0.5, 0.0], [0.0, 9.0]]), tf.ones([2]))[0].numpy().tolist()
        [0.25, 0.5]
    """
    return lambda values, weights: mean_of(tf.clip_by_norm(values, max_norm, axes=[1]), weights)


def zeroed_mean_rule(max_norm: float) -> Rule:
    """Returns what `zeroing` computes, as a function of the stack of all values.

    Example:
        >>> zeroed_mean_rule(1.0)(tf.constant([[0.5, 0.0], [0.0, 9.0]]), tf.ones([2]))[0].numpy().tolist()
        [0.25, 0.0]
    """

    def rule(values, weights):
        too_large = tf.reduce_max(tf.abs(values), axis=1, keepdims=True) > max_norm
        return mean_of(tf.where(too_large, tf.zeros_like(values), values), weights)

    return rule


def _settings(max_norm, inner):
    return {"max_norm": max_norm} | ({} if inner is None else {"inner": inner})
