"""The mean under secure aggregation: fixed-point values, and a refusal where they do not fit."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_positive
from fedlearn_edu.engine.runtime import REFUSED


def secure_mean_factory(*, value_bound: float | None = None) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns TFF's `secure_aggregator` for the unweighted mean, which refuses what it would silently change.

    Each client turns every coordinate into an integer of 32 bits (a fixed-point number between -bound and bound, so
    that the step is `2 * bound / (2**32 - 1)`); only the sum of these integers over all clients is meant to be
    seen. TFF clips coordinates beyond the bound, and NaN becomes an arbitrary number without even being counted.
    Here both raise a `RunError`. Measurements: TFF's, with the bound as `secure_upper_threshold`.

    Args:
        value_bound: Largest magnitude of a coordinate, above 0. None: TFF's own, which starts at 100 and follows twice
            the 95 % quantile of the clients' largest coordinates.

    Raises:
        UsageError: `value_bound` is not a finite number above 0.

    Example:
        >>> isinstance(secure_mean_factory(value_bound=64.0), tff.aggregators.UnweightedAggregationFactory)
        True

    References:
        Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017.
    """
    logging.getLogger("tensorflow").addFilter(_is_news)
    if value_bound is None:
        return _RefusingFactory(tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False))
    bound = check_positive("value_bound", value_bound, hint="try 64.0")
    return _RefusingFactory(
        tff.aggregators.UnweightedMeanFactory(
            tff.aggregators.SecureSumFactory(bound), tff.aggregators.SecureSumFactory(1, 0)
        )
    )


class _RefusingFactory(tff.aggregators.UnweightedAggregationFactory):
    """Wraps a secure mean; a round in which a client's value is not finite or was clipped raises."""

    def __init__(self, inner: tff.aggregators.UnweightedAggregationFactory):
        self._inner = inner

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        inner = self._inner.create(value_type)

        @tff.tensorflow.computation(value_type)
        def zero_unless_finite(value):
            finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in tf.nest.flatten(value)])
            zeroed = tf.nest.map_structure(lambda v: tf.where(finite, v, tf.zeros_like(v)), value)
            return zeroed, tf.cast(tf.logical_not(finite), tf.int32)

        result_type = inner.next.type_signature.result.result.member

        bounds_type = inner.next.type_signature.result.measurements.member["mean_value"]

        @tff.tensorflow.computation(result_type, np.int32, bounds_type)
        def refuse(result, num_not_finite, bounds):
            bound = bounds["secure_upper_threshold"]
            # A client may be in both counts: the larger one is the least number of clients that it can be.
            num_clipped = tf.maximum(bounds["secure_upper_clipped_count"], bounds["secure_lower_clipped_count"])
            not_finite = [REFUSED, num_not_finite, "client(s) sent a value that is not finite"]
            clipped = [
                REFUSED,
                num_clipped,
                "client(s) or more sent a value beyond the bound of",
                bound,
                "(choose a larger value_bound)",
            ]
            checks = [
                tf.debugging.Assert(tf.equal(num_not_finite, 0), not_finite),
                tf.debugging.Assert(tf.equal(num_clipped, 0), clipped),
            ]
            with tf.control_dependencies(checks):
                return tf.nest.map_structure(tf.identity, result)

        @tff.federated_computation(inner.initialize.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS))
        def next_fn(state, value):
            value, not_finite = tff.federated_map(zero_unless_finite, value)
            num_not_finite = tff.federated_secure_sum_bitwidth(not_finite, bitwidth=1)
            output = inner.next(state, value)
            bounds = output.measurements["mean_value"]
            result = tff.federated_map(refuse, (output.result, num_not_finite, bounds))
            return tff.templates.MeasuredProcessOutput(output.state, result, output.measurements)

        return tff.templates.AggregationProcess(inner.initialize, next_fn)


def _is_news(record: logging.LogRecord) -> bool:
    """Drops what TensorFlow logs about TFF's own assertions each time that a secure sum is built."""
    return "Object was never used" not in record.getMessage()
