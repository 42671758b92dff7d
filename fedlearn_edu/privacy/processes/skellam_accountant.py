"""Epsilon of distributed DP: Skellam noise on sums of integers, by Renyi differential privacy."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np

from fedlearn_edu.checks import check_count
from fedlearn_edu.privacy.accountants import _Accountant

# Skellam noise has bounds at whole orders only; below 2 there is none, so that epsilons above some tens are loose.
_ORDERS = [*range(2, 33), 36, 40, 44, 48, 56, 64, 80, 96, 128, 192, 256, 512]


@dataclasses.dataclass(frozen=True)
class SkellamAccountant(_Accountant):
    """Counts epsilon of distributed DP: the noise of a cohort's clients adds up below secure aggregation.

    Like Gaussian noise of the same standard deviation, plus a term for being discrete that fades as the fixed point
    gets finer. The amplification by drawing the cohort in secret is that of Wang et al. for any mechanism: an upper
    bound, and no tight one. All clients of the cohort must be honest: with a share h of them honest, the noise is
    only sqrt(h) times as large.

    Attributes:
        noise_multiplier: Standard deviation of all clients' noise together / largest norm of a client's integers.
        population: Clients that could take part, at least 2.
        clients_per_round: Size of every cohort, from 1 to `population`.
        delta: Probability with which the guarantee may fail, below 1 / population.
        sampling: `"fixed_size"`: drawn without replacement in secret; neighbours replace one client by another, which
            moves the sum by up to 2 x clip norm. `"all"`: nothing is assumed; neighbours replace one client's updates
            by zero. `"poisson"` is refused: the noise would vary with the size of the cohort.
        l1_sensitivity: Largest L1 norm of a client's integers.
        l2_sensitivity: Largest L2 norm of a client's integers.

    Example:
        >>> accountant = SkellamAccountant(1.0, 1000, 100, delta=1e-5, sampling="all")
        >>> accountant.epsilon(1) < accountant.epsilon(10)
        True

    References:
        Agarwal, Kairouz and Liu, The Skellam mechanism for differentially private federated learning, NeurIPS 2021,
        arXiv:2110.04995, corollary 3.6 and theorem 3.5. Wang et al., Subsampled Renyi differential privacy and
        analytical moments accountant, AISTATS 2019, arXiv:1808.00087, theorem 9.
    """

    sampling: str = "fixed_size"
    l1_sensitivity: float = 1e10
    l2_sensitivity: float = 1e5

    MECHANISM: ClassVar[str] = "distributed"
    SAMPLING: ClassVar[tuple[str, ...]] = ("fixed_size", "all")

    def with_fixed_point(self, *, l1_sensitivity: float, l2_sensitivity: float) -> SkellamAccountant:
        """Returns the same accountant for the integers of a certain fixed point."""
        return dataclasses.replace(self, l1_sensitivity=l1_sensitivity, l2_sensitivity=l2_sensitivity)

    def epsilon(self, num_rounds: int) -> float:
        """Returns what is spent after `num_rounds` rounds."""
        import dp_accounting

        num_rounds = check_count("num_rounds", num_rounds, least=0)
        if num_rounds == 0:
            return 0.0
        per_round = _renyi_per_round(
            self.noise_multiplier * self.l2_sensitivity,
            self.l1_sensitivity,
            self.l2_sensitivity,
            self.clients_per_round / self.population if self.sampling == "fixed_size" else None,
        )
        return float(dp_accounting.rdp.compute_epsilon(_ORDERS, num_rounds * per_round, self.delta)[0])


@functools.lru_cache(maxsize=256)
def _renyi_per_round(noise_stddev: float, l1: float, l2: float, sampling_probability: float | None) -> np.ndarray:
    """Renyi divergence of one round at each of `_ORDERS`; without sampling if the probability is None."""
    if sampling_probability is None:
        return np.array([skellam_renyi(order, noise_stddev, l1, l2) for order in _ORDERS])
    plain = {j: skellam_renyi(j, noise_stddev, 2 * l1, 2 * l2) for j in range(2, _ORDERS[-1] + 1)}
    return np.array([_amplified(order, sampling_probability, plain) for order in _ORDERS])


def skellam_renyi(order: int, noise_stddev: float, l1: float, l2: float) -> float:
    """Bound on the Renyi divergence of a sum with Skellam noise when it moves by at most `l1` and `l2`.

    Example:
        >>> round(skellam_renyi(2, noise_stddev=1e5, l1=1e5, l2=1e5), 9)  # Gaussian noise has order / 2 = 1
        1.0
    """
    variance = noise_stddev**2
    discrete = min(((2 * order - 1) * l2**2 + 6 * l1) / (4 * variance**2), 3 * l1 / (2 * variance))
    return order * l2**2 / (2 * variance) + discrete


def _amplified(order: int, probability: float, plain: dict[int, float]) -> float:
    """Wang et al.'s bound when the clients are a random subset; `plain` has the divergence at orders 2, 3, ..."""
    log_q = math.log(probability)
    logs = [0.0]
    for j in range(2, order + 1):
        log_choose = math.lgamma(order + 1) - math.lgamma(j + 1) - math.lgamma(order - j + 1)
        if j == 2:
            log_term = min(math.log(2) + plain[2], math.log(4) + _log_expm1(plain[2]))
        else:
            log_term = math.log(2) + (j - 1) * plain[j]
        logs.append(j * log_q + log_choose + log_term)
    return min(float(np.logaddexp.reduce(logs)) / (order - 1), plain[order])


def _log_expm1(x: float) -> float:
    return x + math.log(-math.expm1(-x))
