"""Krum and Multi-Krum: only clients whose values have many close neighbours."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.stacked import Rule, StackedFactory


def krum(*, clients_per_round: int, num_attackers: int) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory for the value of the one client that is closest to its neighbours.

    Each client sends its value. A client's score is the sum of squared distances to its
    `clients_per_round - num_attackers - 2` nearest others; the server takes the value of the client with the least
    score and throws all others away. (Of equal scores the first in the cohort wins.) So one honest client's data
    decide a whole round: with non-IID clients a high price, which `multi_krum` lowers.

    Values that are not finite are left out before; see `StackedFactory` for this and the measurements, of which
    `selected` says who was taken.

    Args:
        clients_per_round: Size of the cohort, at least `2 * num_attackers + 3`. A smaller cohort at run time, or one
            of which values were left out, is scored with as many neighbours as are left, at least 1; the paper's
            guarantee is then gone.
        num_attackers: Most hostile clients a cohort may have (the paper's f), at least 0.

    Raises:
        UsageError: An argument is out of its range, or the cohort is too small for so many attackers.

    Example:
        >>> fl.krum(clients_per_round=10, num_attackers=3)
        krum(clients_per_round=10, num_attackers=3)

    References:
        Blanchard et al., Machine learning with adversaries: Byzantine tolerant gradient descent, NeurIPS 2017,
        arXiv:1703.02757.
    """
    settings = _check(clients_per_round, num_attackers)
    return StackedFactory(krum_rule(num_attackers, 1), name="krum", settings=settings, selects=True)


def multi_krum(
    *, clients_per_round: int, num_attackers: int, num_selected: int | None = None
) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory for the mean over the clients that are closest to their neighbours.

    As `krum`, but the server averages the `num_selected` values with the least scores, every one alike: between Krum
    (1) and the plain mean (all).

    Args:
        clients_per_round: Size of the cohort, at least `2 * num_attackers + 3`; see `krum`.
        num_attackers: Most hostile clients a cohort may have, at least 0.
        num_selected: Clients averaged, from 1 to `clients_per_round`; default
            `clients_per_round - num_attackers`. Of a smaller cohort at most `num_attackers` fewer than it has.

    Raises:
        UsageError: An argument is out of its range, or the cohort is too small for so many attackers.

    Example:
        >>> fl.multi_krum(clients_per_round=10, num_attackers=3)
        multi_krum(clients_per_round=10, num_attackers=3, num_selected=7)

    References:
        Blanchard et al., Machine learning with adversaries: Byzantine tolerant gradient descent, NeurIPS 2017,
        arXiv:1703.02757.
    """
    settings = _check(clients_per_round, num_attackers)
    if num_selected is None:
        num_selected = clients_per_round - num_attackers
    settings["num_selected"] = check_count("num_selected", num_selected, most=clients_per_round)
    rule = krum_rule(num_attackers, settings["num_selected"])
    return StackedFactory(rule, name="multi_krum", settings=settings, selects=True)


def krum_rule(num_attackers: int, num_selected: int) -> Rule:
    """Returns the function from `[num_clients, dim]` to the mean `[dim]` of the selected rows, and which they are.

    Example:
        >>> values = tf.constant([[0.0], [1.0], [1.5], [50.0], [2.5]])
        >>> mean, selected = krum_rule(1, 2)(values, tf.ones([5]))
        >>> mean.numpy().tolist(), selected.numpy().tolist()
        ([1.25], [False, True, True, False, False])
    """

    def rule(values, weights):
        del weights
        num_clients = tf.shape(values)[0]
        best_first = tf.argsort(krum_scores(values, num_attackers), stable=True)
        # Hostile clients must stay outside of the mean also when the cohort is smaller than was planned.
        most = tf.maximum(num_clients - num_attackers, 1) if num_selected > 1 else 1
        chosen = best_first[: tf.minimum(num_selected, most)]
        selected = tf.scatter_nd(chosen[:, None], tf.ones_like(chosen), [num_clients]) > 0
        return tf.reduce_mean(tf.boolean_mask(values, selected), axis=0), selected

    return rule


def krum_scores(values: tf.Tensor, num_attackers: int) -> tf.Tensor:
    """Returns each client's sum of squared distances to its nearest others.

    Shapes:
        values `[num_clients, dim]`, scores `[num_clients]`.
    """
    num_clients = tf.shape(values)[0]
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b: one matrix product in place of num_clients^2 differences of whole models.
    products = tf.matmul(values, values, transpose_b=True)
    norms = tf.linalg.diag_part(products)
    distances = tf.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
    others_first = tf.sort(tf.linalg.set_diag(distances, tf.fill([num_clients], tf.cast(np.inf, values.dtype))), axis=1)
    num_neighbours = tf.maximum(num_clients - num_attackers - 2, tf.minimum(1, num_clients - 1))
    return tf.reduce_sum(others_first[:, :num_neighbours], axis=1)


def _check(clients_per_round, num_attackers) -> dict[str, int]:
    clients_per_round = check_count("clients_per_round", clients_per_round)
    num_attackers = check_count("num_attackers", num_attackers, least=0)
    if clients_per_round < 2 * num_attackers + 3:
        raise UsageError(
            f"clients_per_round: expected at least 2 * num_attackers + 3 = {2 * num_attackers + 3} clients, "
            f"got {clients_per_round}; "
            + (
                f"so many bear {(clients_per_round - 3) // 2} attackers"
                if clients_per_round >= 3
                else "take more clients a round"
            )
        )
    return {"clients_per_round": clients_per_round, "num_attackers": num_attackers}
