"""The aggregator of local differential privacy: every client clips and noises its own value, then a mean."""

from __future__ import annotations

import collections
import math

import dp_accounting
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlearn_edu.checks import check_count, check_positive, check_seed
from fedlearn_edu.learning.aggregators.client_noise import client_seed
from fedlearn_edu.learning.aggregators.seeded_queries import zero_unless_finite


def local_noise_mean_factory(
    *,
    noise_multiplier: float,
    clients_per_round: int,
    clip_norm: float = 1.0,
    seed: int = 0,
) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory under which nothing leaves a client that is not clipped and noised.

    Each client scales its value down to an L2 norm of at most `clip_norm` and adds noise of standard deviation
    `noise_multiplier * clip_norm` to every coordinate; a value that is not finite counts as zero. The server divides
    the sum by `clients_per_round`. The noise of the mean over k clients has standard deviation
    `noise_multiplier * clip_norm / sqrt(k)`: sqrt(k) times that of central noise with the same multiplier.
    Measurements: `dp_query_metrics` with `clip_norm` and `noise_stddev` (of the mean over `clients_per_round`).

    Args:
        noise_multiplier: Noise of each client in units of the clip norm, above 0.
        clients_per_round: Size, or expected size, of the cohort.
        clip_norm: Largest L2 norm of a client's value before noise.
        seed: Of the noise; see `client_seed` for how clients draw different noise.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> factory = local_noise_mean_factory(noise_multiplier=1.0, clients_per_round=4, clip_norm=0.5)
        >>> isinstance(factory, tff.aggregators.UnweightedAggregationFactory)
        True

    References:
        Kasiviswanathan et al., What can we learn privately?, SIAM Journal on Computing 2011, arXiv:0803.0924.
    """
    query = _LocalGaussianQuery(
        clip_norm=check_positive("clip_norm", clip_norm),
        noise_multiplier=check_positive("noise_multiplier", noise_multiplier),
        clients_per_round=check_count("clients_per_round", clients_per_round),
        seed=check_seed(seed),
    )
    return tff.aggregators.DifferentiallyPrivateFactory(tfp.NormalizedQuery(query, float(clients_per_round)))


class _LocalGaussianQuery(tfp.SumAggregationDPQuery):
    """Clips and noises records where they are; adds nothing to their aggregate."""

    def __init__(self, *, clip_norm: float, noise_multiplier: float, clients_per_round: int, seed: int):
        self._clip_norm = clip_norm
        self._stddev = noise_multiplier * clip_norm
        self._clients_per_round = clients_per_round
        self._seed = seed

    def initial_global_state(self):
        return tf.constant(0, tf.int32)  # rounds so far

    def derive_sample_params(self, global_state):
        return global_state

    def preprocess_record(self, params, record):
        tensors = tf.nest.flatten(zero_unless_finite(record))
        clipped, _ = tf.clip_by_global_norm(tensors, self._clip_norm)
        seed_pair = client_seed(record, seed=self._seed, round_num=params)
        noised = [
            tensor
            + self._stddev
            * tf.random.stateless_normal(
                tf.shape(tensor), tf.random.experimental.stateless_fold_in(seed_pair, i), alg="philox"
            )
            for i, tensor in enumerate(clipped)
        ]
        return tf.nest.pack_sequence_as(record, noised)

    def get_noised_result(self, sample_state, global_state):
        return sample_state, global_state + 1, dp_accounting.UnsupportedDpEvent()

    def derive_metrics(self, global_state):
        del global_state
        stddev = self._stddev / math.sqrt(self._clients_per_round)
        return collections.OrderedDict(clip_norm=tf.constant(self._clip_norm), noise_stddev=tf.constant(stddev))
