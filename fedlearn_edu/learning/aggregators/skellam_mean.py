"""The aggregator of distributed differential privacy: clients share the noise below secure aggregation."""

from __future__ import annotations

import collections
import dataclasses
import math

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlearn_edu.learning.aggregators.arguments import check_count, check_positive, check_seed
from fedlearn_edu.learning.aggregators.client_noise import client_seed
from fedlearn_edu.learning.aggregators.seeded_queries import zero_unless_finite

# The sum wraps around if it leaves its range by chance; at this many standard deviations that is 1 coordinate in 1e12.
_RANGE_STDDEVS = 7.2
_LARGEST_L1 = 2.0**30  # TensorFlow Privacy checks the L1 norm in int32


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """How real numbers become integers, and what one client's integers may be.

    Attributes:
        scale: Integer units per 1.0.
        l2_sensitivity: Largest L2 norm of a client's integers.
        l1_sensitivity: Largest L1 norm of a client's integers.
        noise_stddev: Standard deviation of the noise on the sum of integers, all clients' shares together.
    """

    scale: float
    l2_sensitivity: float
    l1_sensitivity: float
    noise_stddev: float


def choose_fixed_point(
    *, noise_multiplier: float, clients_per_round: int, clip_norm: float, num_coordinates: int, bits: int
) -> FixedPoint:
    """Returns the finest fixed point at which the noised sum still fits into `bits` bits.

    Rounding moves a client's value by up to half a unit per coordinate, so that its norm may exceed the clip norm by
    sqrt(num_coordinates) / 2 units. The noise is calibrated to this larger norm: no privacy is lost to rounding.

    Args:
        noise_multiplier: Noise on the sum in units of a client's largest norm.
        clients_per_round: Clients that share the noise.
        clip_norm: Largest L2 norm before rounding.
        num_coordinates: Of a client's value, padded to a power of 2.
        bits: Of the ring in which secure aggregation adds.

    References:
        Kairouz et al., The distributed discrete Gaussian mechanism for federated learning with secure aggregation,
        ICML 2021, arXiv:2102.06387, section 4.4.
    """
    # After the rotation, a coordinate of the sum is about normal with this deviation.
    spread = clip_norm * math.hypot(clients_per_round / math.sqrt(num_coordinates), noise_multiplier)
    scale = (2 ** (bits - 1) - 1) / (_RANGE_STDDEVS * spread)
    scale = min(scale, _LARGEST_L1 / (2 * math.sqrt(num_coordinates) * clip_norm))
    # A hair more than in theory, since the norm is checked in float32.
    l2_sensitivity = (clip_norm * scale + math.sqrt(num_coordinates) / 2) * (1 + 1e-5)
    return FixedPoint(
        scale=scale,
        l2_sensitivity=l2_sensitivity,
        l1_sensitivity=math.ceil(l2_sensitivity * min(math.sqrt(num_coordinates), l2_sensitivity)),
        noise_stddev=noise_multiplier * l2_sensitivity,
    )


def padded_size(num_coordinates: int) -> int:
    """Returns the next power of 2, to which the rotation pads.

    Example:
        >>> padded_size(27)
        32
    """
    return 2 ** math.ceil(math.log2(max(num_coordinates, 1)))


def skellam_mean_factory(
    *, noise_multiplier: float, clients_per_round: int, clip_norm: float = 1.0, bits: int = 20, seed: int = 0
) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns a factory for the mean under the distributed Skellam mechanism, made of TFF's and TF Privacy's parts.

    On a client: all tensors become one vector, which is rotated at random (Hadamard), clipped, scaled and rounded to
    integers; then its share of Skellam noise is added. The integers are summed modulo 2**bits - 1 by TFF's
    `SecureModularSumFactory`, which the local runtime simulates. The server only sees the noised sum; it undoes
    scale and rotation and divides by `clients_per_round`. A value that is not finite counts as zero. Measurements,
    nested: `clip_norm` and `noise_stddev` (of the mean).

    It differs from `tff.learning.ddp_secure_aggregator` in that runs repeat (that one seeds by the clock), the clip
    norm is fixed, and the noise is calibrated to the norm after rounding.

    Args:
        noise_multiplier: Noise of all clients together on the sum, in units of a client's largest norm.
        clients_per_round: Clients that share the noise: with fewer there is less of it.
        clip_norm: Largest L2 norm of a client's value.
        bits: Of the ring, from 8 to 22. (TFF's float32 holds integers up to 2**24.)
        seed: Of rotation and noise; see `client_seed`.

    Raises:
        UsageError: An argument is out of its range.

    References:
        Agarwal, Kairouz and Liu, The Skellam mechanism for differentially private federated learning, NeurIPS 2021,
        arXiv:2110.04995.
    """
    return _SkellamMeanFactory(
        noise_multiplier=check_positive("noise_multiplier", noise_multiplier),
        clients_per_round=check_count("clients_per_round", clients_per_round),
        clip_norm=check_positive("clip_norm", clip_norm),
        bits=check_count("bits", bits, least=8, most=22),
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
        query = _SkellamMeanQuery(
            fixed_point, clients=settings["clients_per_round"], clip_norm=settings["clip_norm"], seed=seed
        )
        # Symmetric: sums from -(modulus - 1) to modulus - 1, in a ring of 2 * modulus - 1 < 2**bits numbers.
        secure_sum = tff.aggregators.SecureModularSumFactory(2 ** (settings["bits"] - 1), symmetric_range=True)
        noised = tff.aggregators.DifferentiallyPrivateFactory(query, secure_sum)
        return tff.aggregators.concat_factory(_SeededRotationFactory(noised, seed)).create(value_type)


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


class _SkellamMeanQuery(tfp.DistributedSkellamSumQuery):
    """TensorFlow Privacy's Skellam noise on the clients, with the clip, the fixed point and the mean around it."""

    _GlobalState = collections.namedtuple("_GlobalState", ["round_num"])

    def __init__(self, fixed_point: FixedPoint, *, clients: int, clip_norm: float, seed: int):
        local_stddev = fixed_point.noise_stddev / math.sqrt(clients)
        super().__init__(fixed_point.l1_sensitivity, fixed_point.l2_sensitivity, local_stddev)
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
        clipped, _ = tf.clip_by_global_norm(tf.nest.flatten(zero_unless_finite(record)), self._clip_norm)
        integers = [tf.cast(tf.round(v * self._fixed_point.scale), tf.int32) for v in clipped]
        self._client_seed = client_seed(record, seed=self._seed, round_num=params.round_num)
        bounds = self._SampleParams(
            tf.constant(int(self._l1_norm_bound), tf.int32),
            tf.constant(self._l2_norm_bound, tf.float32),
            tf.constant(self._local_stddev, tf.float32),
        )
        # The parent checks both norms and calls `add_noise_to_sample`.
        return tf.nest.pack_sequence_as(record, super().preprocess_record(bounds, integers))

    def add_noise_to_sample(self, local_stddev, record):
        # As the parent does it (a Skellam number is the difference of two Poisson numbers), but not from the clock.
        rate = tf.square(tf.cast(local_stddev, tf.float64)) / 2
        noised = []
        for i, v in enumerate(record):
            seed_pair = tf.random.experimental.stateless_fold_in(self._client_seed, i)
            poisson = tf.random.stateless_poisson([2, *v.shape], seed_pair, lam=rate, dtype=tf.int64)
            noised.append(v + tf.cast(poisson[0] - poisson[1], v.dtype))
        return noised

    def get_noised_result(self, sample_state, global_state):
        total, _, event = super().get_noised_result(sample_state, global_state)
        unit = 1 / (self._fixed_point.scale * self._clients)
        mean = tf.nest.map_structure(lambda v: tf.cast(v, tf.float32) * np.float32(unit), total)
        return mean, self._GlobalState(global_state.round_num + 1), event

    def derive_metrics(self, global_state):
        del global_state
        stddev = self._fixed_point.noise_stddev / (self._fixed_point.scale * self._clients)
        return collections.OrderedDict(clip_norm=tf.constant(self._clip_norm), noise_stddev=tf.constant(stddev))
