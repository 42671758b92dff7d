"""The ring of a secure sum: how fine its integers may be, so that the sum and its noise stay inside of it."""

from __future__ import annotations

import dataclasses
import math

import scipy.optimize

from fedlearn_edu.errors import UsageError

MOST_BITS = 22  # TFF's float32 holds integers up to 2**24
_WRAP_PROBABILITY = 1e-9
_TRUNCATION_PROBABILITY = 1e-12
_DEVIATIONS = math.sqrt(-2 * math.log(_TRUNCATION_PROBABILITY))
_MOST_EXCESS = 2.0
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

    A client's value is rounded up or down at random, so that its norm may exceed the clip norm. With a the clip norm in
    integer units and d = `num_coordinates`, the integers' L2 norm is at most the root of
    `a**2 + d/4 + 7.4 * (a + sqrt(d)/2)`, by force: the one value in 1e12 that would come out longer is truncated. The
    noise is calibrated to this larger norm, so that no privacy is lost to rounding, and that is the noise for which the
    ring has room: the probability that ANY coordinate of a round's sum leaves it is at most 1e-9. This holds for values
    of any direction that was chosen without knowing the rotation, and for the discrete noise itself (Chernoff's bound).

    Args:
        noise_multiplier: Noise on the sum in units of a client's largest norm.
        clients_per_round: Clients that share the noise.
        clip_norm: Largest L2 norm before rounding.
        num_coordinates: Of a client's value, padded to a power of 2.
        bits: Of the ring in which secure aggregation adds.

    Raises:
        UsageError: `bits` are so few that noise and sum do not fit, or only with more than twice the noise of exact
            numbers.

    References:
        Kairouz et al., The distributed discrete Gaussian mechanism for federated learning with secure aggregation,
        ICML 2021, arXiv:2102.06387, proposition 22 (norm after rounding) and section 4.4.
    """
    setting = (noise_multiplier, clients_per_round, num_coordinates)
    units = _clip_norm_in_units(bits, *setting)
    if units is None:
        enough = [b for b in range(bits + 1, MOST_BITS + 1) if _clip_norm_in_units(b, *setting)]
        wanted = f"at least {enough[0]}" if enough else f"more than the {MOST_BITS} there may be"
        raise UsageError(
            f"bits: expected {wanted} for {num_coordinates:,} coordinates, {clients_per_round} clients a round and a "
            f"noise multiplier of {noise_multiplier:g} (with fewer, rounding more than doubles the noise), got {bits}"
            + ("" if enough else "; take less noise, fewer clients a round or a smaller model")
        )
    l2_sensitivity = _norm_after_rounding(units, num_coordinates)
    return FixedPoint(
        scale=units / clip_norm,
        l2_sensitivity=l2_sensitivity,
        l1_sensitivity=math.ceil(l2_sensitivity * min(math.sqrt(num_coordinates), l2_sensitivity)),
        noise_stddev=noise_multiplier * l2_sensitivity,
    )


def _clip_norm_in_units(bits, noise_multiplier, clients_per_round, num_coordinates) -> float | None:
    """Returns the most integer units to which the clip norm may be stretched; None if `bits` are too few."""

    def excess(log_units):
        """Above 0: the logarithm of the bound on a wrap is too large."""
        units = math.exp(log_units)
        # A rotation at random makes a coordinate of the sum a sum of numbers with random signs, whose squares add up to
        # at most (clients * units)**2 / d; a rounding error is spread over one unit. Both have the tails of normal
        # numbers with these variances (Hoeffding).
        normal = (clients_per_round * units) ** 2 / num_coordinates + clients_per_round / 4
        noise = (noise_multiplier * _norm_after_rounding(units, num_coordinates)) ** 2
        return math.log(2 * num_coordinates / _WRAP_PROBABILITY) + _log_tail(2 ** (bits - 1) - 1, normal, noise)

    finest = math.log(_LARGEST_L1 / (2 * math.sqrt(num_coordinates)))
    # At fewer units the norm after rounding is more than `_MOST_EXCESS` times the one before (a quadratic equation).
    square, constant = _MOST_EXCESS**2 - 1, _norm_after_rounding(0.0, num_coordinates) ** 2
    coarsest = math.log((_DEVIATIONS + math.sqrt(_DEVIATIONS**2 + 4 * square * constant)) / (2 * square))
    if coarsest > finest or excess(coarsest) > 0:
        return None
    return math.exp(finest if excess(finest) <= 0 else scipy.optimize.brentq(excess, coarsest, finest))


def _norm_after_rounding(units: float, num_coordinates: int) -> float:
    """Returns what a vector's L2 norm exceeds after rounding with `_TRUNCATION_PROBABILITY` at most."""
    root = math.sqrt(num_coordinates)
    return math.sqrt(units**2 + num_coordinates / 4 + _DEVIATIONS * (units + root / 2))


def _log_tail(limit: float, normal_variance: float, skellam_variance: float) -> float:
    """Returns Chernoff's bound on log P(X > limit), X = normal + Skellam number, both with mean 0."""

    def slope(u):
        return normal_variance * u + skellam_variance * math.sinh(u) - limit

    # The bound holds for every u above 0 and is best where its slope is 0; beyond 700 the sinh is no float64.
    most = min(limit / normal_variance, 700.0)
    u = scipy.optimize.brentq(slope, 0, most) if slope(most) > 0 else most
    return normal_variance * u**2 / 2 + 2 * skellam_variance * math.sinh(u / 2) ** 2 - u * limit


def padded_size(num_coordinates: int) -> int:
    """Returns the next power of 2, to which the rotation pads.

    Example:
        >>> padded_size(27)
        32
    """
    return 2 ** math.ceil(math.log2(max(num_coordinates, 1)))
