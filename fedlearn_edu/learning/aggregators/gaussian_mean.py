"""The aggregator of central differential privacy: clip every client's delta, average, add Gaussian noise."""

from __future__ import annotations

import math

import tensorflow_federated as tff

from fedlearn_edu.checks import check_count, check_fraction, check_positive, check_seed
from fedlearn_edu.learning.aggregators.seeded_queries import (
    ReportingMeanQuery,
    SeededAdaptiveClipSumQuery,
    SeededGaussianSumQuery,
)

CLIP_LEARNING_RATE = 0.2  # as Andrew et al. recommend: the clip norm changes by 22 % a round at most
_COUNT_STDDEV_PER_CLIENT = 0.05


def gaussian_mean_factory(
    *,
    noise_multiplier: float,
    clients_per_round: float,
    clip_norm: float = 1.0,
    adaptive_clipping: bool = False,
    target_unclipped_quantile: float = 0.5,
    seed: int = 0,
) -> tff.aggregators.UnweightedAggregationFactory:
    """Returns TFF's `DifferentiallyPrivateFactory` for the noised mean, with noise that repeats.

    Each client's value is scaled down to an L2 norm of at most `clip_norm` (over all its tensors together). The
    server adds noise of standard deviation `noise_multiplier * clip_norm` to every coordinate of the SUM and divides
    by `clients_per_round`, the expected size of the cohort, whatever size it had. A value that is not finite counts
    as zero. Measurements: `dp_query_metrics` with `clip_norm` and `noise_stddev` (of the mean).

    With `adaptive_clipping` the clip norm follows `target_unclipped_quantile` of the clients' norms. It learns from a
    count of unclipped clients that is itself noised, and the noise on the values grows so that both releases together
    are exactly as private as one Gaussian mechanism with `noise_multiplier`:
    `noise_multiplier**-2 = value_noise_multiplier**-2 + (2 * count_stddev)**-2`.

    Args:
        noise_multiplier: Noise on the sum in units of the clip norm, above 0.
        clients_per_round: Expected size of the cohort.
        clip_norm: Largest L2 norm of a client's value; with adaptive clipping that of the first round.
        adaptive_clipping: Let the clip norm follow the norms.
        target_unclipped_quantile: Fraction of clients that shall stay unclipped, above 0 and below 1.
        seed: Of the noise. Who knows it can subtract the noise: for simulations only.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> factory = gaussian_mean_factory(noise_multiplier=1.0, clients_per_round=4, clip_norm=0.5)
        >>> isinstance(factory, tff.aggregators.UnweightedAggregationFactory)
        True

    References:
        McMahan et al., Learning differentially private recurrent language models, ICLR 2018, arXiv:1710.06963.
        Andrew et al., Differentially private learning with adaptive clipping, NeurIPS 2021, arXiv:1905.03871.
    """
    noise_multiplier = check_positive("noise_multiplier", noise_multiplier)
    clip_norm = check_positive("clip_norm", clip_norm)
    clients_per_round = float(check_count("clients_per_round", clients_per_round))
    target = check_fraction("target_unclipped_quantile", target_unclipped_quantile)
    seed = check_seed(seed)
    if adaptive_clipping:
        value_noise_multiplier, count_stddev = split_noise(noise_multiplier, clients_per_round)
        query = SeededAdaptiveClipSumQuery(
            initial_l2_norm_clip=clip_norm,
            noise_multiplier=value_noise_multiplier,
            target_unclipped_quantile=target,
            learning_rate=CLIP_LEARNING_RATE,
            clipped_count_stddev=count_stddev,
            expected_num_records=clients_per_round,
            seed=seed,
        )
    else:
        query = SeededGaussianSumQuery(clip_norm, noise_multiplier * clip_norm, seed=seed)
    return tff.aggregators.DifferentiallyPrivateFactory(ReportingMeanQuery(query, clients_per_round))


def split_noise(noise_multiplier: float, clients_per_round: float) -> tuple[float, float]:
    """Returns how adaptive clipping splits a noise multiplier between the values and the count.

    Andrew et al. recommend a standard deviation of 5 % of the cohort for the count. In a small cohort that would cost
    more than the whole budget, so that here it is at least `noise_multiplier`: the count (sensitivity 1/2) then takes
    at most a quarter of the budget, and the noise on the values grows by at most 15.5 %.

    Returns:
        Noise multiplier of the values, and standard deviation of the noise on the count.

    Example:
        >>> value_noise_multiplier, count_stddev = split_noise(1.0, 1000)
        >>> round(value_noise_multiplier, 5), count_stddev
        (1.00005, 50.0)
    """
    count_stddev = max(_COUNT_STDDEV_PER_CLIENT * clients_per_round, noise_multiplier)
    value_noise_multiplier = 1 / math.sqrt(noise_multiplier**-2 - (2 * count_stddev) ** -2)
    return value_noise_multiplier, count_stddev
