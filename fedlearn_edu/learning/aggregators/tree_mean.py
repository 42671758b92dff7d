"""The aggregator of DP-FTRL: clipped means with noise from the nodes of a binary tree over the rounds."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlearn_edu.checks import check_count, check_positive, check_seed
from fedlearn_edu.learning.aggregators.seeded_queries import zero_unless_finite


def tree_mean_factory(
    *,
    noise_multiplier: float,
    clients_per_round: int,
    clip_norm: float = 1.0,
    restart_every: int | None = None,
    seed: int = 0,
) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns TFF's `DifferentiallyPrivateFactory` with TensorFlow Privacy's tree aggregation.

    The rounds are the leaves of a binary tree; every node gets noise of standard deviation
    `noise_multiplier * clip_norm` once. The noise on the SUM OF ALL ROUNDS so far is made of at most log2(rounds) + 1
    nodes. (The efficient version of Honaker, which also uses the nodes below and so needs less noise for the same
    guarantee.) A round's result is the difference of two such sums, so that its own noise is larger than the noise
    it adds for good. Measurements: `dp_query_metrics` with `clip_norm` and `noise_stddev` (of one node, divided by
    `clients_per_round`).

    Args:
        noise_multiplier: Noise on a node in units of the clip norm, above 0.
        clients_per_round: Size of the cohort; the sum is divided by it.
        clip_norm: Largest L2 norm of a client's value.
        restart_every: Rounds after which a new tree begins; None: one tree.
        seed: Of the noise.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> factory = tree_mean_factory(noise_multiplier=1.0, clients_per_round=4, clip_norm=0.5)
        >>> isinstance(factory, tff.aggregators.UnweightedAggregationFactory)
        True

    References:
        Kairouz et al., Practical and private (deep) learning without sampling or shuffling, ICML 2021,
        arXiv:2103.00039. Honaker, Efficient use of differentially private binary trees, TPDP 2015.
    """
    return _TreeMeanFactory(
        noise_multiplier=check_positive("noise_multiplier", noise_multiplier),
        clients_per_round=check_count("clients_per_round", clients_per_round),
        clip_norm=check_positive("clip_norm", clip_norm),
        restart_every=None if restart_every is None else check_count("restart_every", restart_every),
        # TensorFlow Privacy counts its seed up by one a node: neighbouring seeds would share their noise.
        noise_seed=int(np.random.default_rng(check_seed(seed)).integers(2**62)),
    )


class _TreeMeanFactory(tff.aggregators.UnweightedAggregationFactory):
    """Makes the query once the type of the values is known: it keeps noise of their shapes in its state."""

    def __init__(self, *, noise_multiplier, clients_per_round, clip_norm, restart_every, noise_seed):
        self._noise_multiplier = noise_multiplier
        self._clients_per_round = clients_per_round
        self._clip_norm = clip_norm
        self._restart_every = restart_every
        self._noise_seed = noise_seed

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        query = _TreeSumQuery.build_l2_gaussian_query(
            self._clip_norm,
            self._noise_multiplier,
            tff.types.type_to_tf_tensor_specs(value_type),
            noise_seed=self._noise_seed,
        )
        if self._restart_every is not None:
            query = tfp.RestartQuery(query, tfp.restart_query.PeriodicRoundRestartIndicator(self._restart_every))
        query = _ReportingTreeMeanQuery(query, float(self._clients_per_round))
        return tff.aggregators.DifferentiallyPrivateFactory(query).create(value_type)


class _TreeSumQuery(tfp.TreeResidualSumQuery):
    def preprocess_record(self, params, record):
        return super().preprocess_record(params, zero_unless_finite(record))


class _ReportingTreeMeanQuery(tfp.NormalizedQuery):
    def derive_metrics(self, global_state):
        state = global_state.numerator_state
        state = getattr(state, "inner_query_state", state)  # of a tree that restarts
        node_stddev = state.tree_state.value_generator_state.stddev
        return collections.OrderedDict(
            clip_norm=state.clip_value, noise_stddev=node_stddev / tf.cast(global_state.denominator, tf.float32)
        )
