"""The coordinate-wise median of the clients' values."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count
from fedlearn_edu.learning.aggregators.stacked import StackedFactory


def coordinate_median(*, clients_per_round: int) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory for the median of every coordinate on its own; every client counts alike.

    Each client sends its value; the server takes, coordinate by coordinate, the middle of the clients' numbers, and
    the mean of the two in the middle if their number is even. As long as more than half of the cohort is honest,
    every coordinate lies between two honest clients' numbers. With non-IID clients the median is not the mean even
    if everybody is honest: a coordinate that only few clients move stays where it is.

    Values that are not finite are left out; see `StackedFactory` for this and the measurements.

    Args:
        clients_per_round: Size of the cohort, at least 3: of two clients nobody can tell which one is hostile. A
            smaller cohort at run time gets its median all the same.

    Raises:
        UsageError: `clients_per_round` is below 3.

    Example:
        >>> median = fl.coordinate_median(clients_per_round=4)
        >>> process = fl.build_unweighted_fed_avg(fl.linear_head(features), model_aggregator=median)
        >>> process.requirements[0].clients_per_round
        4

    References:
        Yin et al., Byzantine-robust distributed learning: towards optimal statistical rates, ICML 2018,
        arXiv:1803.01498.
    """
    clients_per_round = check_count("clients_per_round", clients_per_round, least=3)
    return StackedFactory(median_of, name="coordinate_median", settings={"clients_per_round": clients_per_round})


def median_of(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, None]:
    """Returns the median over the rows of `[num_clients, dim]`: `[dim]`; weights are not looked at.

    Example:
        >>> values = tf.constant([[1.0, 5.0], [2.0, 5.0], [9.0, -5.0], [4.0, 5.0]])
        >>> median_of(values, tf.ones([4]))[0].numpy().tolist()
        [3.0, 5.0]
    """
    del weights
    ordered = tf.sort(values, axis=0)
    num_clients = tf.shape(values)[0]
    return (ordered[(num_clients - 1) // 2] + ordered[num_clients // 2]) / 2, None
