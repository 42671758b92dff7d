"""The coordinate-wise trimmed mean of the clients' values."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.stacked import Rule, StackedFactory


def trimmed_mean(*, clients_per_round: int, num_trimmed: int) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory for the mean of every coordinate without its largest and smallest numbers.

    Each client sends its value. In every coordinate on its own the server drops the `num_trimmed` largest and the
    `num_trimmed` smallest numbers and averages the rest; every client counts alike. With at most `num_trimmed`
    hostile clients, what is left lies between honest numbers. `num_trimmed=0` is the plain mean (of finite values),
    the largest possible one is the median.

    Values that are not finite are left out before; see `StackedFactory` for this and the measurements.

    Args:
        clients_per_round: Size of the cohort, more than twice `num_trimmed`. A cohort that is smaller at run time, or
            of which values were left out, is trimmed by less if it must be, so that one or two numbers are left.
        num_trimmed: Numbers dropped at either end, at least 0: as many as there may be hostile clients in a cohort.

    Raises:
        UsageError: An argument is out of its range, or nothing would be left.

    Example:
        >>> fl.trimmed_mean(clients_per_round=10, num_trimmed=2)
        trimmed_mean(clients_per_round=10, num_trimmed=2)

    References:
        Yin et al., Byzantine-robust distributed learning: towards optimal statistical rates, ICML 2018,
        arXiv:1803.01498 (there the fraction beta = num_trimmed / clients_per_round).
    """
    clients_per_round = check_count("clients_per_round", clients_per_round)
    num_trimmed = check_count("num_trimmed", num_trimmed, least=0)
    if clients_per_round <= 2 * num_trimmed:
        raise UsageError(
            f"clients_per_round: expected more than 2 * num_trimmed = {2 * num_trimmed} clients, so that some are left "
            f"to average, got {clients_per_round}; trim {(clients_per_round - 1) // 2} at most"
        )
    settings = {"clients_per_round": clients_per_round, "num_trimmed": num_trimmed}
    return StackedFactory(trimmed_mean_rule(num_trimmed), name="trimmed_mean", settings=settings)


def trimmed_mean_rule(num_trimmed: int) -> Rule:
    """Returns the function from `[num_clients, dim]` to the trimmed mean `[dim]`.

    Example:
        >>> values = tf.constant([[1.0], [2.0], [3.0], [1000.0]])
        >>> trimmed_mean_rule(1)(values, tf.ones([4]))[0].numpy().tolist()
        [2.5]
    """

    def rule(values, weights):
        del weights
        ordered = tf.sort(values, axis=0)
        num_clients = tf.shape(values)[0]
        dropped = tf.minimum(num_trimmed, (num_clients - 1) // 2)
        return tf.reduce_mean(ordered[dropped : num_clients - dropped], axis=0), None

    return rule
