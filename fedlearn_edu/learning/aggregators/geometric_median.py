"""The geometric median of the clients' values, by Weiszfeld's and Newton's steps (RFA)."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count
from fedlearn_edu.learning.aggregators.coordinate_median import median_of
from fedlearn_edu.learning.aggregators.stacked import StackedFactory, WeightedStackedFactory

_TOLERANCE = 1e-12
_MOST_ITERATIONS = 500


def geometric_median(
    *, clients_per_round: int, weighted: bool = False
) -> tff.aggregators.UnweightedAggregationFactory | tff.aggregators.WeightedAggregationFactory:
    """Returns a factory for the point whose distances to all clients' values have the least sum (RFA).

    Each client sends its value. The mean minimises the sum of squared distances, so that one far value pulls it as far
    as it likes; the geometric median minimises the sum of distances, and each client pulls with the same force from
    wherever it stands. It withstands hostile clients as long as they have less than half of the weight.

    The server has all values, so that it need not stop early and smooth distances, as the paper does, where each of
    Weiszfeld's steps is another secure average over the clients: see `geometric_median_of`. Where many points are
    equally good (an even number of clients on one line), it takes one at which a client stands.

    Values that are not finite are left out; see `StackedFactory` for this and the measurements.

    Args:
        clients_per_round: Size of the cohort, at least 3; a smaller one at run time gets its median all the same.
        weighted: Count a client by its number of examples and return a factory for `build_weighted_fed_avg`, as in the
            paper. Whoever lies about the number then has more weight. Default: every client counts alike.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> median = fl.geometric_median(clients_per_round=4, weighted=True)
        >>> process = fl.build_weighted_fed_avg(fl.linear_head(features), model_aggregator=median)
        >>> process.hyperparameters["model_aggregator"]["weighted"]
        True

    References:
        Pillutla et al., Robust aggregation for federated learning, IEEE Transactions on Signal Processing 2022,
        arXiv:1912.13445.
    """
    settings = {
        "clients_per_round": check_count("clients_per_round", clients_per_round, least=3),
        "weighted": bool(weighted),
    }
    factory = WeightedStackedFactory if weighted else StackedFactory
    return factory(geometric_median_of, name="geometric_median", settings=settings)


def geometric_median_of(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, None]:
    """The rule of the geometric median.

    A client is where the sum is least among all clients' places. If the others pull at it with no more force than its
    own weight (Vardi and Zhang), this is the geometric median. If not, that force says where to go from there, and the
    sum has one minimum, with a gradient: from then on it is Newton's step if it at least halves the force that is left,
    else Weiszfeld's, the mean of all values by weight / distance, after which the sum is always smaller.

    It ends when less than 1e-12 of all clients' weight pulls at the point, whose sum of distances is then at most 2e-12
    of itself above the least one; or after 500 steps, with the better of the point reached and the client's place.

    Args:
        values: float64 `[num_clients, dim]`.
        weights: float64 `[num_clients]`, above 0.

    Returns:
        The median `[dim]`, and None: no client is selected.

    Example:
        >>> values = tf.constant([[0.0], [1.0], [1000.0]], tf.float64)
        >>> geometric_median_of(values, tf.ones([3], tf.float64))[0].numpy().tolist()
        [1.0]

    References:
        Vardi and Zhang, The multivariate L1-median and associated data depth, PNAS 2000, 97(4).
    """
    # The median is a mean of the values, so that coordinates in the space that these span are enough, of which there
    # are no more than clients. Around a center that no far value moves, near ones keep their digits.
    center, _ = median_of(values, weights)
    basis, points = tf.linalg.qr(tf.transpose(values - center))
    points = tf.transpose(points)
    identity = tf.eye(tf.shape(points)[1], dtype=points.dtype)

    def total(point):
        return tf.reduce_sum(weights * tf.norm(points - point, axis=1))

    def look_from(point, weights=weights):
        """Returns unit vectors to the clients, weight / distance (0 where there is none), and the force of all."""
        offsets = points - point
        distances = tf.norm(offsets, axis=1)
        inverse = tf.math.divide_no_nan(weights, distances)
        units = tf.math.divide_no_nan(offsets, distances[:, None])
        return units, inverse, tf.linalg.matvec(units, weights, transpose_a=True)

    def step(point, least):
        units, inverse, force = look_from(point)
        stiffness = tf.reduce_sum(inverse)
        hessian = stiffness * identity - tf.matmul(units * inverse[:, None], units, transpose_a=True)
        # Singular only if all clients stand in one line with the point; the last term keeps rounding from making it so.
        newton = point + tf.linalg.solve(hessian + 1e-14 * stiffness * identity, force[:, None])[:, 0]
        nearer = tf.where(tf.norm(look_from(newton)[2]) <= least / 2, newton, point + force / stiffness)
        return nearer, tf.minimum(least, tf.norm(look_from(nearer)[2]))

    totals = tf.map_fn(total, points)
    best = tf.argmin(totals)
    # Exactly alike as they were sent: in the new coordinates rounding may part them.
    alike = tf.reduce_all(tf.equal(values, values[best]), axis=1)
    own_weight = tf.reduce_sum(tf.where(alike, weights, 0))
    _, inverse, force = look_from(points[best], tf.where(alike, tf.zeros_like(weights), weights))
    strength = tf.norm(force)

    def leave():
        start = points[best] + (1 - own_weight / strength) * force / tf.reduce_sum(inverse)
        found, _ = tf.while_loop(
            lambda point, least: least > _TOLERANCE * tf.reduce_sum(weights),
            step,
            (start, tf.norm(look_from(start)[2])),
            maximum_iterations=_MOST_ITERATIONS,
            parallel_iterations=1,
        )
        return tf.where(total(found) < totals[best], center + tf.linalg.matvec(basis, found), values[best])

    return tf.cond(strength <= own_weight * (1 + _TOLERANCE), lambda: values[best], leave), None
