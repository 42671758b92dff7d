"""Epsilon and delta: what a run gives away, the noise for a target, tables; the accountants' public face."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fedlearn_edu.checks import check_count
from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.accountants import (
    GaussianAccountant,
    LocalAccountant,
    TreeAccountant,
    central_epsilon,
)
from fedlearn_edu.privacy.guarantee import describe_guarantee, guarantee_label, largest_attack_accuracy
from fedlearn_edu.privacy.settings import (
    check_clip_norm,
    check_cohort,
    check_delta,
    check_noise_multiplier,
    check_sampling,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GaussianAccountant",
    "LocalAccountant",
    "TreeAccountant",
    "check_clip_norm",
    "default_delta",
    "describe_guarantee",
    "epsilon",
    "epsilon_table",
    "guarantee_label",
    "largest_attack_accuracy",
    "noise_multiplier_for",
]

_LARGEST_TARGET = 1000.0
_LEAST_LOG_NOISE = math.log(0.01)
_LOG_TOLERANCE = 5e-4


def default_delta(population: int) -> float:
    """Returns population ** -1.1, somewhat below 1 / population.

    Example:
        >>> default_delta(1000)
        0.000501187233627272

    Args:
        population: Clients that could take part, at least 2.

    Raises:
        UsageError: `population` is not a whole number of at least 2.
    """
    return float(check_count("population", population, least=2)) ** -1.1


def epsilon(
    *,
    noise_multiplier: float,
    num_rounds: int,
    population: int,
    clients_per_round: int,
    delta: float,
    sampling: str = "poisson",
) -> float:
    """Returns the epsilon of client-level central DP: clipped deltas are summed and noised in every round.

    What `sampling` assumes, whom the guarantee compares, and how it is computed (all through `dp-accounting`):

    - `"poisson"`: each client joins each round by an independent coin with probability clients_per_round / population;
      nobody else may learn who joined. Neighbours: add or remove one client, which moves the sum by up to
      1 x clip norm. Privacy loss distributions (PLD), whose error here is well below 1 %, always upwards.
    - `"fixed_size"`: exactly `clients_per_round` clients, drawn without replacement, in secret. Neighbours: replace one
      client by another, which moves the sum by up to 2 x clip norm; epsilon is therefore larger than for
      `"poisson"` at the same noise, and does not mean the same. Renyi DP (Wang et al.), an upper bound and no tight
      one: PLD accounting of this sampling over several rounds has no proof (Lebeda et al.).
    - `"all"`: no chance is assumed; the adversary may know every cohort and a client may be in all of them.
      Neighbours: one client's updates replaced by zero (1 x clip norm). Exact (Balle and Wang).

    Args:
        noise_multiplier: Standard deviation of the noise on the SUM of the clipped deltas / clip norm, above 0.
        num_rounds: Rounds, at least 0.
        population: Clients that could take part, at least 2.
        clients_per_round: Expected (Poisson) or exact size of the cohort, from 1 to `population`.
        delta: Probability with which the guarantee may fail, from 1e-12 to below 1; warns above 1 / population.
        sampling: `"poisson"`, `"fixed_size"` or `"all"`.

    Returns:
        Epsilon, at least 0. It is 0 for a delta so large that even the clear text satisfies it.

    Example:
        >>> setting = {"num_rounds": 100, "population": 1000, "clients_per_round": 100, "delta": 1e-5}
        >>> [round(epsilon(noise_multiplier=z, **setting), 2) for z in (0.5, 1.0, 2.0)]
        [31.37, 7.05, 2.34]

    Raises:
        UsageError: A setting is out of its range.

    References:
        Abadi et al., Deep learning with differential privacy, CCS 2016, arXiv:1607.00133. Koskela et al., Computing
        tight differential privacy guarantees using FFT, AISTATS 2020, arXiv:1906.03049. Wang et al., Subsampled
        Renyi differential privacy and analytical moments accountant, AISTATS 2019, arXiv:1808.00087. Balle and Wang,
        Improving the Gaussian mechanism for differential privacy, ICML 2018, arXiv:1805.06530. Lebeda et al.,
        Avoiding pitfalls for privacy accounting of subsampled mechanisms under composition, 2024, arXiv:2405.20769.
    """
    noise_multiplier = check_noise_multiplier(noise_multiplier)
    num_rounds = check_count("num_rounds", num_rounds, least=0)
    population, clients_per_round = check_cohort(population, clients_per_round)
    delta = check_delta(delta, population)
    check_sampling(sampling, GaussianAccountant.SAMPLING)
    return central_epsilon(noise_multiplier, num_rounds, population, clients_per_round, delta, sampling)


def noise_multiplier_for(
    *,
    target_epsilon: float,
    num_rounds: int,
    population: int,
    clients_per_round: int,
    delta: float,
    sampling: str = "poisson",
) -> float:
    """Returns the least noise multiplier, to 0.1 %, whose epsilon is at most `target_epsilon`; see `epsilon`.

    Args:
        target_epsilon: To be kept, above 0 and at most 1000 (above 10 it guarantees next to nothing).
        num_rounds: Rounds, at least 1.
        population: Clients that could take part, at least 2.
        clients_per_round: Size of the cohort, from 1 to `population`.
        delta: Probability with which the guarantee may fail.
        sampling: `"poisson"`, `"fixed_size"` or `"all"`.

    Example:
        >>> setting = {"num_rounds": 100, "population": 1000, "clients_per_round": 100, "delta": 1e-5}
        >>> round(noise_multiplier_for(target_epsilon=2.0, **setting), 1)
        2.2

    Raises:
        UsageError: A setting is out of its range, or the target is met without any noise (delta is too large).
    """
    if (
        isinstance(target_epsilon, bool)
        or not isinstance(target_epsilon, numbers.Real)
        or not 0 < target_epsilon <= _LARGEST_TARGET
    ):
        raise UsageError(
            f"target_epsilon: expected a number above 0 and at most {_LARGEST_TARGET:g} (try 8), got {target_epsilon!r}"
        )
    num_rounds = check_count("num_rounds", num_rounds)
    population, clients_per_round = check_cohort(population, clients_per_round)
    delta = check_delta(delta, population)
    check_sampling(sampling, GaussianAccountant.SAMPLING)
    from scipy import optimize

    def excess(log_noise):  # both in logarithms: epsilon is nearly a power of the noise
        spent = central_epsilon(math.exp(log_noise), num_rounds, population, clients_per_round, delta, sampling)
        return math.log(max(spent, 1e-12) / target_epsilon)

    low = high = 0.0
    while excess(high) > 0:
        low, high = high, high + 1
    while excess(low) <= 0:
        low, high = low - 1, low
        if low < _LEAST_LOG_NOISE:
            raise UsageError(
                f"delta: {delta:g} is so large that epsilon {target_epsilon:g} is met without any noise; "
                f"choose one below 1 / population = {1 / population:g}"
            )
    root = optimize.brentq(excess, low, high, xtol=_LOG_TOLERANCE)
    while excess(root) > 0:  # the root is near; what is returned keeps the target
        root += _LOG_TOLERANCE
    return math.exp(root)


def epsilon_table(
    *,
    noise_multipliers: Iterable[float],
    num_rounds: Iterable[int],
    population: int,
    clients_per_round: int,
    delta: float,
    sampling: str = "poisson",
) -> pd.DataFrame:
    """Returns epsilon for every noise multiplier (rows) after every number of rounds (columns); see `epsilon`.

    Example:
        >>> setting = {"population": 1000, "clients_per_round": 100, "delta": 1e-5}
        >>> table = epsilon_table(noise_multipliers=[0.5, 1.0], num_rounds=[1, 10], **setting)
        >>> table.shape, table.index.name, table.columns.name
        ((2, 2), 'noise_multiplier', 'num_rounds')
    """
    import pandas as pd

    num_rounds = list(num_rounds)
    setting = {
        "population": population,
        "clients_per_round": clients_per_round,
        "delta": delta,
        "sampling": sampling,
    }
    rows = {
        noise: [epsilon(noise_multiplier=noise, num_rounds=rounds, **setting) for rounds in num_rounds]
        for noise in noise_multipliers
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=pd.Index(num_rounds, name="num_rounds"))
    return table.rename_axis(index="noise_multiplier")
