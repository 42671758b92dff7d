"""Checks of arguments that every room takes: one clear line each."""

from __future__ import annotations

import numbers

from fedlearn_edu.errors import UsageError

_LARGEST_SEED = 2**31 - 1  # TensorFlow's stateless random numbers take no more


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


def _shown(value: object) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a number of thousands of digits, or whatever an object makes of it
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def check_seed(value: int, name: str = "seed") -> int:
    """Returns `value` as an int if everything that is random here can be seeded with it: 0 to 2**31 - 1.

    Example:
        >>> check_seed(7)
        7

    Raises:
        UsageError: It is not a whole number, or out of this range.
    """
    return check_count(name, value, least=0, most=_LARGEST_SEED)
