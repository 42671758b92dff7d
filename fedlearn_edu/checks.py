"""Checks of arguments that every room takes: one clear line each."""

from __future__ import annotations

import math
import numbers

from fedlearn_edu.errors import UsageError

_LARGEST_SEED = 2**31 - 1  # TensorFlow's stateless random numbers take no more
_LARGEST_LEARNING_RATE = 100.0


def check_count(name: str, value: int, *, least: int = 1, most: int | None = None) -> int:
    """Returns `value` as an int if it is a whole number in its range.

    Example:
        >>> check_count("population", 100)
        100

    Raises:
        UsageError: It is not a whole number, below `least` or above `most`.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"{name}: expected a whole number {wanted}, got {_shown(value)}")
    return int(value)


def check_seed(value: int, name: str = "seed") -> int:
    """Returns `value` as an int if everything that is random here can be seeded with it: 0 to 2**31 - 1.

    Example:
        >>> check_seed(7)
        7

    Raises:
        UsageError: It is not a whole number, or out of this range.
    """
    return check_count(name, value, least=0, most=_LARGEST_SEED)


def check_number(name: str, value: float, *, low: float, high: float) -> float:
    """Returns `value` as a float if it is a number from `low` to `high`.

    Example:
        >>> check_number("test_fraction", 0.2, low=0.01, high=0.99)
        0.2

    Raises:
        UsageError: It is not a number, or out of its range.
    """
    if not _is_number(value) or not low <= value <= high:
        raise UsageError(f"{name}: expected a number from {low:g} to {high:g}, got {_shown(value)}")
    return float(value)


def check_positive(name: str, value: float, *, hint: str = "try 1.0") -> float:
    """Returns `value` as a float if it is a finite number above 0.

    Args:
        name: Of the argument, for the message.
        value: To be checked.
        hint: What to do, for the message.

    Example:
        >>> check_positive("clip_norm", 2)
        2.0

    Raises:
        UsageError: It is not a number, not finite, or not above 0.
    """
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name}: expected a finite number above 0 ({hint}), got {_shown(value)}")
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
        raise UsageError(f"{name}: expected a finite number {upper}, got {_shown(value)}")
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
        raise UsageError(f"{name}: expected a number above 0 and below 1, got {_shown(value)}")
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
        raise UsageError(f"{name}: expected a number of at least 0 and below 1 (try 0.9), got {_shown(value)}")
    return float(value)


def check_learning_rate(name: str, value: float) -> float:
    """Returns `value` as a float if it is a learning rate that can be meant.

    Example:
        >>> check_learning_rate("client_lr", 0.05)
        0.05

    Raises:
        UsageError: It is not a finite number above 0 and at most 100.
    """
    if not (_is_number(value) and 0 < value <= _LARGEST_LEARNING_RATE):
        raise UsageError(
            f"{name}: expected a number above 0 and at most {_LARGEST_LEARNING_RATE:g} (try 0.1), got {_shown(value)}"
        )
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _shown(value: object) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a number of thousands of digits, or whatever an object makes of it
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."
