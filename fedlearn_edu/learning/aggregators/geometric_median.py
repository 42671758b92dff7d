"""The geometric median of the clients' values, by the smoothed Weiszfeld algorithm (RFA)."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.learning.aggregators.arguments import check_count, check_positive
from fedlearn_edu.learning.aggregators.coordinate_median import median_of
from fedlearn_edu.learning.aggregators.stacked import Rule, StackedFactory, WeightedStackedFactory, mean_of


def geometric_median(
    *, clients_per_round: int, num_iterations: int = 32, smoothing: float = 1e-6, weighted: bool = False
) -> tff.aggregators.UnweightedAggregationFactory | tff.aggregators.WeightedAggregationFactory:
    """Returns a factory for the point whose distances to all clients' values have the least sum (RFA).

    Each client sends its value. The mean minimises the sum of squared distances, so that one far value pulls it as far
    as it likes; the geometric median minimises the sum of distances, and each client pulls with the same force from
    wherever it stands. It withstands hostile clients as long as they have less than half of the weight. Weiszfeld's
    iteration averages all values with weights `client_weight / max(smoothing, distance to the last average)`.

    It starts near the coordinate-wise median, not from the mean as in the paper: the mean may lie as far away as an
    attacker likes, and a fixed number of iterations does not come back from there.

    Values that are not finite are left out; see `StackedFactory` for this and the measurements.

    Args:
        clients_per_round: Size of the cohort, at least 3; a smaller one at run time gets its median all the same.
        num_iterations: Of Weiszfeld's algorithm, at least 1. In the paper each one is another secure average over
            the clients, so that 3 have to do; here the server has all values and can afford more.
        smoothing: Distances below it count as it, above 0, in units of the values.
        weighted: Count a client by its number of examples and return a factory for `build_weighted_fed_avg`, as in the
            paper. Whoever lies about the number then has more weight. Default: every client counts alike.

    Raises:
        UsageError: An argument is out of its range.

    References:
        Pillutla et al., Robust aggregation for federated learning, IEEE Transactions on Signal Processing 2022,
        arXiv:1912.13445.
    """
    settings = {
        "clients_per_round": check_count("clients_per_round", clients_per_round, least=3),
        "num_iterations": check_count("num_iterations", num_iterations),
        "smoothing": check_positive("smoothing", smoothing, example="1e-6"),
        "weighted": bool(weighted),
    }
    rule = weiszfeld_rule(settings["num_iterations"], settings["smoothing"])
    factory = WeightedStackedFactory if weighted else StackedFactory
    return factory(rule, name="geometric_median", settings=settings)


def weiszfeld_rule(num_iterations: int, smoothing: float) -> Rule:
    """Returns the function from `[num_clients, dim]` and weights `[num_clients]` to the geometric median `[dim]`.

    Example:
        >>> values = tf.constant([[0.0], [1.0], [1000.0]], tf.float64)
        >>> median, _ = weiszfeld_rule(50, 1e-6)(values, tf.ones([3], tf.float64))
        >>> round(float(median[0]), 3)
        1.0
    """

    def rule(values, weights):
        def average(point, floor):
            distances = tf.norm(values - point, axis=1)
            return mean_of(values, weights / tf.maximum(distances, floor))[0]

        floor = tf.cast(smoothing, values.dtype)
        # Weiszfeld's iteration hardly leaves a point that is one of the values, which a coordinate-wise median may be:
        # the first step counts all values up to the median distance alike.
        center, _ = median_of(values, weights)
        median_distance, _ = median_of(tf.norm(values - center, axis=1, keepdims=True), weights)
        start = average(center, tf.maximum(floor, median_distance))
        (point,) = tf.while_loop(
            lambda point: True,
            lambda point: (average(point, floor),),
            (start,),
            maximum_iterations=num_iterations,
            parallel_iterations=1,
        )
        return point, None

    return rule
