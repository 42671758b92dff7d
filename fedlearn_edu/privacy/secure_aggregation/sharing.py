"""Secrets in pieces: additive shares (all are needed) and Shamir's shares (any `threshold` of them are enough)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.secure_aggregation.primitives import RandomSource

# The smallest prime above 2**256: every 32-byte key is a number below it.
PRIME = 2**256 + 297
SHARE_BYTES = 33


def additive_shares(values: np.ndarray, *, num_shares: int, seed: int | None = None) -> np.ndarray:
    """Splits ring elements into shares that add up to them; any `num_shares - 1` of these say nothing at all.

    All shares but the last are uniform; the last is what is missing. If every client shares its vector with all
    others and each sums what it got, the sums of sums are the total, and nobody saw anyone's vector.

    Args:
        values: Unsigned integers of any shape, e.g. from `FixedPoint.encode`.
        num_shares: At least 2.
        seed: None for real randomness; a whole number makes a repeatable simulation that hides nothing.

    Returns:
        Array of the values' dtype; `ring_sum` of it gives the values back.

    Shapes:
        `[num_shares, *values.shape]`

    Raises:
        UsageError: The values are no unsigned integers, or `num_shares` is below 2.

    Example:
        >>> shares = additive_shares(np.array([7], np.uint16), num_shares=3)
        >>> int(shares.sum(axis=0, dtype=np.uint16)[0])
        7
    """
    values = np.asarray(values)
    if values.dtype.kind != "u":
        raise UsageError(f"values: expected unsigned integers, as FixedPoint.encode returns, got {values.dtype}")
    if not isinstance(num_shares, int | np.integer) or num_shares < 2:
        raise UsageError(f"num_shares: expected at least 2 (one share would be the secret itself), got {num_shares!r}")
    random = RandomSource(seed, "additive shares").ring((num_shares - 1, *values.shape), values.dtype)
    last = values - random.sum(axis=0, dtype=values.dtype)
    return np.concatenate([random, last[None]])


def shamir_shares(
    secret: int, *, threshold: int, num_shares: int, seed: int | RandomSource | None = None, prime: int = PRIME
) -> dict[int, int]:
    """Splits a number into shares, any `threshold` of which give it back while fewer say nothing at all.

    The shares are points of a random polynomial of degree `threshold - 1` over the whole numbers modulo a prime; the
    secret is its value at 0.

    Args:
        secret: From 0 to prime - 1.
        threshold: From 1 to `num_shares`.
        num_shares: Below `prime`.
        seed: None for real randomness; a whole number makes a repeatable simulation that hides nothing.
        prime: The field; the default holds every 32-byte key. Not checked to be prime.

    Returns:
        point (1 to num_shares) -> value at this point.

    Raises:
        UsageError: An argument is out of range.

    Example:
        >>> shares = shamir_shares(42, threshold=3, num_shares=5)
        >>> shamir_secret({point: shares[point] for point in (1, 3, 5)})
        42

    References:
        A. Shamir, How to share a secret, Communications of the ACM 22(11), 1979.
    """
    if not 0 <= secret < prime:
        raise UsageError(f"secret: expected a whole number from 0 to prime - 1 = {prime - 1}, got {secret}")
    if not 1 <= threshold <= num_shares:
        raise UsageError(f"threshold: expected from 1 to num_shares = {num_shares}, got {threshold}")
    if num_shares >= prime:
        raise UsageError(f"num_shares: expected below prime = {prime} (point 0 is the secret), got {num_shares}")
    random = seed if isinstance(seed, RandomSource) else RandomSource(seed, "Shamir shares")
    coefficients = [int(secret)] + [random.below(prime) for _ in range(threshold - 1)]
    shares = {}
    for point in range(1, num_shares + 1):
        value = 0
        for coefficient in reversed(coefficients):  # Horner's rule
            value = (value * point + coefficient) % prime
        shares[point] = value
    return shares


def shamir_secret(shares: Mapping[int, int], *, prime: int = PRIME) -> int:
    """Returns the value at 0 of the polynomial through the given shares.

    With fewer shares than the threshold the result is some other number, and nothing shows that it is wrong: who
    reconstructs must know the threshold.

    Args:
        shares: point -> value, at least one.
        prime: The field in which they were made.

    Raises:
        UsageError: There is no share, or a point is 0 modulo the prime or doubled.

    Example:
        >>> shamir_secret({1: 3, 2: 1}, prime=5)  # the line 5 - 2x, and 5 is 0 modulo 5
        0
    """
    weights = lagrange_at_zero(shares, prime=prime)
    return sum(weights[point] * value for point, value in shares.items()) % prime


def lagrange_at_zero(points: Iterable[int], *, prime: int = PRIME) -> dict[int, int]:
    """Returns the weight of each point: the value at 0 is the sum of weight x value, whatever the values are.

    Raises:
        UsageError: There is no point, or one is 0 modulo the prime or doubled.

    Example:
        >>> lagrange_at_zero([1, 2], prime=97)  # 2 and -1: a line goes on as it came
        {1: 2, 2: 96}
    """
    points = list(points)
    if not points or 0 in (residues := {point % prime for point in points}) or len(residues) < len(points):
        raise UsageError(f"points: expected different numbers that are not 0 modulo the prime, got {points}")
    weights = {}
    for point in points:
        numerator = denominator = 1
        for other in points:
            if other != point:
                numerator = numerator * other % prime
                denominator = denominator * (other - point) % prime
        weights[point] = numerator * pow(denominator, -1, prime) % prime
    return weights
