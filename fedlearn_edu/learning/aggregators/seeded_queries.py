"""TensorFlow Privacy's clip-and-noise queries with noise that repeats: drawn from a seed and the round number."""

from __future__ import annotations

import collections

import dp_accounting
import tensorflow as tf
import tensorflow_privacy as tfp

# Which noise a number is drawn for: values and counts of one round must never share their noise.
_VALUES, _COUNT = 0, 1


def seeded_normal_like(record, *, stddev, seed: int, stream: int, round_num):
    """Returns a structure like `record` of normal noise that depends on the four arguments only.

    Args:
        record: Structure of float tensors; their shapes and dtypes are taken.
        stddev: Standard deviation of every coordinate.
        seed: Of the run.
        stream: Tells apart what draws in the same round.
        round_num: int32 tensor.
    """
    round_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, stream], tf.int32), round_num)
    tensors = tf.nest.flatten(record)
    noise = []
    for i, tensor in enumerate(tensors):
        seed_pair = tf.random.experimental.stateless_fold_in(round_seed, i)
        # The algorithm is named because the automatic choice depends on the device.
        normal = tf.random.stateless_normal(tf.shape(tensor), seed_pair, dtype=tensor.dtype, alg="philox")
        noise.append(normal * tf.cast(stddev, tensor.dtype))
    return tf.nest.pack_sequence_as(record, noise)


def zero_unless_finite(record):
    """Returns `record`, or zeros in its place if it holds NaN or infinity or its L2 norm overflows."""
    finite = tf.math.is_finite(tf.linalg.global_norm(tf.nest.flatten(record)))
    return tf.nest.map_structure(lambda v: tf.where(finite, v, tf.zeros_like(v)), record)


class SeededGaussianSumQuery(tfp.GaussianSumQuery):
    """`tfp.GaussianSumQuery` whose noise is drawn from a seed and the number of calls before this one.

    Clipping is the parent's. One thing is added to it: a record that is not finite (or whose norm overflows) counts
    as zero. Clipping would turn it into NaN, and the sum and the model with it; and since the zero record is one
    that every client may send, the sensitivity stays `l2_norm_clip`.

    Args:
        l2_norm_clip: Largest L2 norm of a record over all its tensors.
        stddev: Of the noise on every coordinate of the sum.
        seed: Of the noise.
        stream: Tells two queries of one seed apart.
    """

    _GlobalState = collections.namedtuple("_GlobalState", ["l2_norm_clip", "stddev", "round_num"])

    def __init__(self, l2_norm_clip: float, stddev: float, *, seed: int, stream: int = _VALUES):
        super().__init__(l2_norm_clip, stddev)
        self._seed = seed
        self._stream = stream

    def make_global_state(self, l2_norm_clip, stddev, round_num=0):
        """Returns the state for a clip norm and a noise (TensorFlow Privacy calls this)."""
        return self._GlobalState(
            tf.cast(l2_norm_clip, tf.float32), tf.cast(stddev, tf.float32), tf.cast(round_num, tf.int32)
        )

    def preprocess_record_impl(self, params, record):
        """Returns the clipped record and its norm before clipping; zeros for one that is not finite."""
        return super().preprocess_record_impl(params, zero_unless_finite(record))

    def get_noised_result(self, sample_state, global_state):
        """Returns sum plus noise, the next state, and the privacy event."""
        # In place of the parent's method, which draws unseeded noise.
        noise = seeded_normal_like(
            sample_state,
            stddev=global_state.stddev,
            seed=self._seed,
            stream=self._stream,
            round_num=global_state.round_num,
        )
        noised = tf.nest.map_structure(tf.add, sample_state, noise)
        event = dp_accounting.GaussianDpEvent(global_state.stddev / global_state.l2_norm_clip)
        return noised, global_state._replace(round_num=global_state.round_num + 1), event


class _SeededQuantileEstimatorQuery(tfp.QuantileEstimatorQuery):
    """TensorFlow Privacy's noisy quantile, with seeded noise on the count of records below the estimate."""

    def __init__(self, *args, seed: int, **kwargs):
        self._seed = seed
        super().__init__(*args, **kwargs)

    def _construct_below_estimate_query(self, below_estimate_stddev, expected_num_records):
        # As the parent does it: +-0.5 per record, so the sensitivity of the count is 0.5.
        count = SeededGaussianSumQuery(0.5, below_estimate_stddev, seed=self._seed, stream=_COUNT)
        return tfp.NormalizedQuery(count, denominator=expected_num_records)


class SeededAdaptiveClipSumQuery(tfp.QuantileAdaptiveClipSumQuery):
    """`tfp.QuantileAdaptiveClipSumQuery` with seeded noise on the values and on the count of unclipped records.

    Args:
        initial_l2_norm_clip: Clip norm of the first round.
        noise_multiplier: Of the values alone.
        target_unclipped_quantile: Fraction of records that shall stay unclipped.
        learning_rate: How fast the clip norm follows; it changes by a factor of exp(+-rate) a round at most.
        clipped_count_stddev: Of the noise on the count.
        expected_num_records: Of a round.
        seed: Of both noises.
    """

    def __init__(
        self,
        *,
        initial_l2_norm_clip: float,
        noise_multiplier: float,
        target_unclipped_quantile: float,
        learning_rate: float,
        clipped_count_stddev: float,
        expected_num_records: float,
        seed: int,
    ):
        super().__init__(
            initial_l2_norm_clip,
            noise_multiplier,
            target_unclipped_quantile,
            learning_rate,
            clipped_count_stddev,
            expected_num_records,
        )
        self._sum_query = SeededGaussianSumQuery(
            initial_l2_norm_clip, noise_multiplier * initial_l2_norm_clip, seed=seed
        )
        self._quantile_estimator_query = _SeededQuantileEstimatorQuery(
            initial_l2_norm_clip,
            target_unclipped_quantile,
            learning_rate,
            clipped_count_stddev,
            expected_num_records,
            geometric_update=True,
            seed=seed,
        )

    def get_noised_result(self, sample_state, global_state):
        """Returns sum plus noise, the next state with the new clip norm, and the privacy event."""
        noised, new_state, event = super().get_noised_result(sample_state, global_state)
        # The parent makes a fresh state for the new clip norm, which forgets how many rounds there were.
        round_num = global_state.sum_state.round_num + 1
        return noised, new_state._replace(sum_state=new_state.sum_state._replace(round_num=round_num)), event


class ReportingMeanQuery(tfp.NormalizedQuery):
    """`tfp.NormalizedQuery` that reports the clip norm and the noise of the round that has just ended.

    Its metrics are `clip_norm` (of a client's model delta) and `noise_stddev` (of every coordinate of the *mean*,
    which is what reaches the model). The parent would report the clip norm of the next round.

    Args:
        numerator_query: One of the seeded queries of this module.
        denominator: The EXPECTED number of records: the true one is private under Poisson sampling.
    """

    _GlobalState = collections.namedtuple("_GlobalState", ["numerator_state", "denominator", "used"], defaults=[()])

    def initial_global_state(self):
        """Returns the state before the first round."""
        state = super().initial_global_state()
        return state._replace(used=self._in_use(state))

    def get_noised_result(self, sample_state, global_state):
        """Returns the noised mean, the next state, and the privacy event."""
        mean, new_state, event = super().get_noised_result(sample_state, global_state)
        return mean, new_state._replace(used=self._in_use(global_state)), event

    def derive_metrics(self, global_state):
        """Returns `clip_norm` and `noise_stddev` of the last round."""
        return global_state.used

    def _in_use(self, state):
        # The adaptive query keeps the state of its sum beside that of its quantile.
        sum_state = getattr(state.numerator_state, "sum_state", state.numerator_state)
        return collections.OrderedDict(
            clip_norm=sum_state.l2_norm_clip, noise_stddev=sum_state.stddev / state.denominator
        )
