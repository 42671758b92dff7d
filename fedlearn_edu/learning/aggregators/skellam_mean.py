"""The aggregator of distributed differential privacy: clients share the noise below secure aggregation."""

from __future__ import annotations

import collections
import math

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlearn_edu.checks import check_count, check_positive, check_seed
from fedlearn_edu.learning.aggregators.client_noise import client_seed
from fedlearn_edu.learning.aggregators.integer_ring import MOST_BITS, FixedPoint, choose_fixed_point, padded_size
from fedlearn_edu.learning.aggregators.seeded_queries import zero_unless_finite


def skellam_mean_factory(
    *, noise_multiplier: float, clients_per_round: int, clip_norm: float = 1.0, bits: int = 20, seed: int = 0
) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory for the mean under the distributed Skellam mechanism, made of TFF's and TF Privacy's parts.

    On a client: all tensors become one vector, which is rotated at random (Hadamard), clipped, scaled and rounded to
    integers, up or down at random; then its share of Skellam noise is added. The integers are summed modulo
    2**bits - 1 by TFF's `SecureModularSumFactory`, which the local runtime simulates. The server only sees the noised
    sum; it undoes scale and rotation and divides by `clients_per_round`. A value that is not finite counts as zero.
    Measurements, nested: `clip_norm` and `noise_stddev` (of the mean; rounding adds at most `sqrt(clients)/2` of the
    sum's units to it, which is nothing beside the noise unless clients are many and bits few).

    It differs from `tff.learning.ddp_secure_aggregator` in that runs repeat (that one seeds by the clock), the clip
    norm is fixed, and the noise is calibrated to the norm after rounding.

    Args:
        noise_multiplier: Noise of all clients together on the sum, in units of a client's largest norm.
        clients_per_round: Clients that share the noise: with fewer there is less of it.
        clip_norm: Largest L2 norm of a client's value.
        bits: Of the ring, from 8 to 22; `choose_fixed_point` says what they cost, and refuses too few once the size of
            a value is known.
        seed: Of rotation and noise; see `client_seed`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> factory = skellam_mean_factory(noise_multiplier=1.0, clients_per_round=4, clip_norm=0.5, bits=20)
        >>> isinstance(factory, tff.aggregators.UnweightedAggregationFactory)
        True

    References:
        Agarwal, Kairouz and Liu, The Skellam mechanism for differentially private federated learning, NeurIPS 2021,
        arXiv:2110.04995.
    """
    return _SkellamMeanFactory(
        noise_multiplier=check_positive("noise_multiplier", noise_multiplier),
        clients_per_round=check_count("clients_per_round", clients_per_round),
        clip_norm=check_positive("clip_norm", clip_norm),
        bits=check_count("bits", bits, least=8, most=MOST_BITS),
        seed=check_seed(seed),
    )


class _SkellamMeanFactory(tff.aggregators.UnweightedAggregationFactory):
    """Makes the fixed point once the size of the values is known."""

    def __init__(self, **settings):
        self._settings = settings

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        settings = dict(self._settings)
        seed = settings.pop("seed")
        size = padded_size(sum(math.prod(tensor.shape) for tensor in tff.structure.flatten(value_type)))
        fixed_point = choose_fixed_point(num_coordinates=size, **settings)
        query = SkellamMeanQuery(
            fixed_point, clients=settings["clients_per_round"], clip_norm=settings["clip_norm"], seed=seed
        )
        # Symmetric: sums from -(modulus - 1) to modulus - 1, in a ring of 2 * modulus - 1 < 2**bits numbers.
        secure_sum = tff.aggregators.SecureModularSumFactory(2 ** (settings["bits"] - 1), symmetric_range=True)
        noised = tff.aggregators.DifferentiallyPrivateFactory(query, secure_sum)
        return tff.aggregators.concat_factory(_SeededRotationFactory(noised, seed)).create(value_type)


def round_at_random(vector: tf.Tensor, *, seed, l2_bound: float) -> tf.Tensor:
    """Returns a neighbouring vector of integers whose mean over all seeds is `vector` and whose L2 norm is bounded.

    Each coordinate is rounded up with the probability that equals its fraction. Where the norm of the result is above
    `l2_bound`, all coordinates are rounded towards zero instead, which makes no vector longer.

    Args:
        vector: float32 `[dim]`.
        seed: int32 `[2]`.
        l2_bound: At least the norm of `vector`.

    Returns:
        int32 `[dim]`.

    Example:
        >>> round_at_random(tf.constant([2.0, -1.0, 0.5]), seed=[0, 1], l2_bound=2.3).numpy().tolist()
        [2, -1, 0]
    """
    exact = tf.cast(vector, tf.float64)
    rounded = tf.floor(exact + tf.random.stateless_uniform(tf.shape(exact), seed, dtype=tf.float64, alg="philox"))
    towards_zero = tf.sign(exact) * tf.floor(tf.abs(exact))
    return tf.cast(tf.where(tf.norm(rounded) <= l2_bound, rounded, towards_zero), tf.int32)


class _SeededRotationFactory(tff.aggregators.UnweightedAggregationFactory):
    """TFF's random rotation, which counts rounds in its state, from our seed instead of from the time of day."""

    def __init__(self, inner: tff.aggregators.UnweightedAggregationFactory, seed: int):
        self._rotation = tff.aggregators.HadamardTransformFactory(inner)
        self._seed = seed

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        process = self._rotation.create(value_type)

        @tff.tensorflow.computation(process.initialize.type_signature.result.member)
        def reseed(state):
            inner, _ = state
            return inner, tf.constant([self._seed, 0], tf.int64)

        @tff.federated_computation
        def initialize():
            return tff.federated_map(reseed, process.initialize())

        return tff.templates.AggregationProcess(initialize, process.next)


class SkellamMeanQuery(tfp.DistributedSkellamSumQuery):
    """TensorFlow Privacy's Skellam noise on the clients, with the clip, the fixed point and the mean around it."""

    _GlobalState = collections.namedtuple("_GlobalState", ["round_num"])

    def __init__(self, fixed_point: FixedPoint, *, clients: int, clip_norm: float, seed: int):
        local_stddev = fixed_point.noise_stddev / math.sqrt(clients)
        # A hair above the norm that `round_at_random` keeps to, since the parent checks in float32.
        super().__init__(fixed_point.l1_sensitivity, fixed_point.l2_sensitivity * (1 + 1e-5), local_stddev)
        self._fixed_point = fixed_point
        self._clients = clients
        self._clip_norm = clip_norm
        self._seed = seed

    def initial_global_state(self):
        return self._GlobalState(tf.constant(0, tf.int32))

    def derive_sample_params(self, global_state):
        return global_state

    def initial_sample_state(self, template):
        return tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, tf.int32), template)

    def preprocess_record(self, params, record):
        (clipped,), _ = tf.clip_by_global_norm(tf.nest.flatten(zero_unless_finite(record)), self._clip_norm)
        seed = client_seed(record, seed=self._seed, round_num=params.round_num)
        self._noise_seed, rounding_seed = (tf.random.experimental.stateless_fold_in(seed, i) for i in range(2))
        integers = round_at_random(
            clipped * self._fixed_point.scale, seed=rounding_seed, l2_bound=self._fixed_point.l2_sensitivity
        )
        bounds = self._SampleParams(
            tf.constant(int(self._l1_norm_bound), tf.int32),
            tf.constant(self._l2_norm_bound, tf.float32),
            tf.constant(self._local_stddev, tf.float32),
        )
        # The parent checks both norms and calls `add_noise_to_sample`.
        (noised,) = tf.nest.flatten(super().preprocess_record(bounds, integers))
        return tf.nest.pack_sequence_as(record, [noised])

    def add_noise_to_sample(self, local_stddev, record):
        # As the parent does it (a Skellam number is the difference of two Poisson numbers), but not from the clock.
        rate = tf.square(tf.cast(local_stddev, tf.float64)) / 2
        poisson = tf.random.stateless_poisson([2, *record.shape], self._noise_seed, lam=rate, dtype=tf.int64)
        return record + tf.cast(poisson[0] - poisson[1], record.dtype)

    def get_noised_result(self, sample_state, global_state):
        total, _, event = super().get_noised_result(sample_state, global_state)
        unit = 1 / (self._fixed_point.scale * self._clients)
        mean = tf.nest.map_structure(lambda v: tf.cast(v, tf.float32) * np.float32(unit), total)
        return mean, self._GlobalState(global_state.round_num + 1), event

    def derive_metrics(self, global_state):
        del global_state
        stddev = self._fixed_point.noise_stddev / (self._fixed_point.scale * self._clients)
        return collections.OrderedDict(clip_norm=tf.constant(self._clip_norm), noise_stddev=tf.constant(stddev))
