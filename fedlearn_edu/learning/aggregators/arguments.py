"""Checks of what aggregators and private processes are called with: one clear line each."""

from __future__ import annotations

import math

import numpy as np

from fedlearn_edu.checks import check_count, check_seed
from fedlearn_edu.errors import UsageError

__all__ = [
    "check_count",
    "check_fraction",
    "check_momentum",
    "check_not_negative",
    "check_positive",
    "check_seed",
]


def check_positive(name: str, value: float, *, example: str = "1.0") -> float:
    """Returns `value` as a float if it is a finite number above 0.

    Example:
        >>> check_positive("clip_norm", 2)
        2.0

    Raises:
        UsageError: It is not a number, not finite, or not above 0.
    """
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name}: expected a finite number above 0 (try {example}), got {value!r}")
    return float(value)


def check_fraction(name: str, value: float) -> float:
    """Returns `value` as a float if it lies strictly between 0 and 1.

    Example:
        >>> check_fraction("target_unclipped_quantile", 0.5)
        0.5

    Raises:
        UsageError: It is not a number, or not above 0 and below 1.
    """
    if not _is_number(value) or not 0 < value < 1:
        raise UsageError(f"{name}: expected a number above 0 and below 1, got {value!r}")
    return float(value)


def check_not_negative(name: str, value: float, *, most: float = math.inf) -> float:
    """Returns `value` as a float if it is a finite number of at least 0, and not above `most`.

    Example:
        >>> check_not_negative("proximal_strength", 0)
        0.0

    Raises:
        UsageError: It is not a number, not finite, or out of its range.
    """
    if not (_is_number(value) and math.isfinite(value) and 0 <= value <= most):
        upper = f"from 0 to {most:g}" if math.isfinite(most) else "of at least 0"
        raise UsageError(f"{name}: expected a finite number {upper}, got {value!r}")
    return float(value)


def check_momentum(name: str, value: float) -> float:
    """Returns `value` as a float if it says which part of a running average is kept: at least 0 and below 1.

    Example:
        >>> check_momentum("beta_1", 0.9)
        0.9

    Raises:
        UsageError: It is not a number, or out of its range.
    """
    if not (_is_number(value) and 0 <= value < 1):
        raise UsageError(f"{name}: expected a number of at least 0 and below 1 (try 0.9), got {value!r}")
    return float(value)


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
