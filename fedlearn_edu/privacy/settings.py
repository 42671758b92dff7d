"""Checks of privacy settings: a setting that can mean nothing is refused in one line."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Collection

from fedlearn_edu.checks import check_count, check_positive
from fedlearn_edu.errors import UsageError

# Accountants lose the tails of their distributions to rounding below this.
_SMALLEST_DELTA = 1e-12


def check_noise_multiplier(value: float) -> float:
    """Returns the noise multiplier; zero or negative noise protects nobody and raises `UsageError`.

    Example:
        >>> check_noise_multiplier(1)
        1.0
    """
    return check_positive("noise_multiplier", value, hint="try 1.0; without noise there is no guarantee")


def check_clip_norm(value: float) -> float:
    """Returns the clip norm; a client's influence is unbounded without one, so that others raise `UsageError`.

    Example:
        >>> check_clip_norm(0.5)
        0.5
    """
    return check_positive("clip_norm", value, hint="try 1.0; it bounds what one client can change")


def check_cohort(population: int, clients_per_round: int) -> tuple[int, int]:
    """Returns both if a cohort of this size can be drawn from a population of that size.

    Raises:
        UsageError: One is not a whole number in its range, or the cohort is larger than the population.
    """
    population = check_count("population", population, least=2)
    clients_per_round = check_count("clients_per_round", clients_per_round)
    if clients_per_round > population:
        raise UsageError(
            f"clients_per_round: expected at most the population ({population}), got {clients_per_round}; "
            "draw a smaller cohort"
        )
    return population, clients_per_round


def check_delta(delta: float, population: int, *, stacklevel: int = 3) -> float:
    """Returns `delta`; warns above 1 / population.

    A mechanism that publishes one random client's data in the clear satisfies delta = 1 / population, so that a larger
    delta promises nothing.

    Args:
        delta: Probability with which the guarantee may fail, from 1e-12 to below 1.
        population: Clients that could take part, at least 2.
        stacklevel: Whose line the warning names, as in `warnings.warn`.

    Raises:
        UsageError: `delta` is out of its range.
    """
    if (
        isinstance(delta, bool)
        or not isinstance(delta, numbers.Real)
        or not (_SMALLEST_DELTA <= delta < 1)  # also refuses NaN
    ):
        raise UsageError(
            f"delta: expected a number from {_SMALLEST_DELTA:g} to below 1 (try default_delta(population) = "
            f"{float(population) ** -1.1:.2g}), got {delta!r}"
        )
    if delta > 1 / population:
        warnings.warn(
            f"delta: {delta:g} is above 1 / population = {1 / population:g}; publishing one client's data in the clear "
            f"would satisfy it, so choose a smaller one (default_delta(population) = {float(population) ** -1.1:.2g})",
            stacklevel=stacklevel,
        )
    return float(delta)


def check_sampling(sampling: str, known: Collection[str]) -> str:
    """Returns `sampling` if it is one of `known`, else raises `UsageError`."""
    if sampling not in known:
        names = ", ".join(f'"{name}"' for name in known)
        raise UsageError(f"sampling: expected one of {names}, got {sampling!r}")
    return sampling
