"""Accountants: what a private process claims, in a form that a run can check and count."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fedlearn_edu.checks import check_count
from fedlearn_edu.learning.requirements import Requirements
from fedlearn_edu.privacy import dp_events
from fedlearn_edu.privacy.settings import check_cohort, check_delta, check_noise_multiplier, check_sampling

NEIGHBOURS = {
    "poisson": "add or remove one client",
    "fixed_size": "replace one client by another",
    "all": "one client's updates replaced by zero",
    "cyclic": "one client's updates replaced by zero",
}


def central_epsilon(
    noise_multiplier: float, num_rounds: int, population: int, clients_per_round: int, delta: float, sampling: str
) -> float:
    """Epsilon of `num_rounds` clipped, noised sums under a trusted server; the arguments are already checked."""
    if num_rounds == 0:
        return 0.0
    probability = clients_per_round / population
    if sampling == "poisson":
        return dp_events.poisson_epsilon(probability, noise_multiplier, num_rounds, delta)
    if sampling == "fixed_size":
        # Replacing a client moves the sum by up to 2 x clip norm: per sensitivity there is half the noise.
        return dp_events.without_replacement_epsilon(probability, noise_multiplier / 2, num_rounds, delta)
    return dp_events.gaussian_epsilon(noise_multiplier / math.sqrt(num_rounds), delta)


@dataclasses.dataclass(frozen=True)
class _Accountant:
    """What all accountants share; satisfies `fedlearn_edu.learning.process.PrivacyAccountant` with `epsilon`.

    Raises:
        UsageError: A setting means nothing (no noise, no delta, a cohort above the population, ...).
    """

    noise_multiplier: float
    population: int
    clients_per_round: int
    delta: float
    sampling: str = "poisson"

    MECHANISM: ClassVar[str]
    SAMPLING: ClassVar[tuple[str, ...]]

    def __post_init__(self):
        population, clients_per_round = check_cohort(self.population, self.clients_per_round)
        checked = {
            "noise_multiplier": check_noise_multiplier(self.noise_multiplier),
            "population": population,
            "clients_per_round": clients_per_round,
            "delta": check_delta(self.delta, population, stacklevel=4),
            "sampling": check_sampling(self.sampling, self.SAMPLING),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._check_rest()

    def _check_rest(self) -> None:
        """Checks what a subclass adds."""

    @property
    def requirements(self) -> Requirements:
        """The run for which noise and epsilon are computed."""
        return Requirements(
            f"the accountant of epsilon ({type(self).__name__})",
            num_clients=self.population,
            clients_per_round=self.clients_per_round,
            sampling=self.sampling,
        )

    def describe(self) -> dict[str, Any]:
        """Returns the setting, its neighbours and its mechanism, fit for JSON."""
        return {"mechanism": self.MECHANISM, "neighbours": self._neighbours(), **dataclasses.asdict(self)}

    def _neighbours(self) -> str:
        return NEIGHBOURS[self.sampling]


@dataclasses.dataclass(frozen=True)
class GaussianAccountant(_Accountant):
    """Counts epsilon of central DP: a trusted server adds fresh Gaussian noise to each round's sum of clipped deltas.

    Attributes:
        noise_multiplier: Standard deviation of the noise on the SUM / clip norm, above 0.
        population: Clients that could take part, at least 2.
        clients_per_round: Expected size of the cohort, from 1 to `population`.
        delta: Probability with which the guarantee may fail, below 1 / population.
        sampling: `"poisson"`, `"fixed_size"` or `"all"`; what each means is said at `epsilon`.

    Example:
        >>> accountant = GaussianAccountant(1.0, 1000, 100, delta=1e-5)
        >>> [round(accountant.epsilon(num_rounds), 1) for num_rounds in (0, 1, 100)]
        [0.0, 1.7, 7.0]
    """

    MECHANISM: ClassVar[str] = "central"
    SAMPLING: ClassVar[tuple[str, ...]] = ("poisson", "fixed_size", "all")

    def epsilon(self, num_rounds: int) -> float:
        """Returns what is spent after `num_rounds` rounds."""
        num_rounds = check_count("num_rounds", num_rounds, least=0)
        return central_epsilon(
            self.noise_multiplier, num_rounds, self.population, self.clients_per_round, self.delta, self.sampling
        )


@dataclasses.dataclass(frozen=True)
class TreeAccountant(_Accountant):
    """Counts epsilon of DP-FTRL: noise on the nodes of a binary tree over the rounds; no chance is assumed.

    Round t's clipped sum is a leaf; each node is the sum below it plus noise of its own, and the server publishes
    only what follows from complete nodes. A client's turn touches one node a level, log2(rounds) + 1 in all,
    instead of being hidden by sampling. Clients take their turns in one fixed cyclic order, so that how often and when
    a client takes part is known; a node that covers c of its turns changes by up to c x clip norm. The worst client's
    total is the sensitivity of one Gaussian mechanism (adaptivity: Denisov et al.), accounted for exactly.

    Attributes:
        noise_multiplier: Standard deviation of the noise on each NODE / clip norm, above 0.
        population: Clients in the cyclic order, at least 2.
        clients_per_round: Size of each cohort, from 1 to `population`.
        delta: Probability with which the guarantee may fail, below 1 / population.
        sampling: `"cyclic"`, nothing else.
        restart_every: Rounds after which a new tree begins, at least 1; None: one tree for the whole run.

    Example:
        >>> accountant = TreeAccountant(4.0, 1000, 100, delta=1e-5)
        >>> [round(accountant.epsilon(num_rounds), 2) for num_rounds in (0, 1, 8, 16)]
        [0.0, 0.93, 1.99, 3.71]

    References:
        Kairouz et al., Practical and private (deep) learning without sampling or shuffling, ICML 2021,
        arXiv:2103.00039. Denisov et al., Improved differential privacy for SGD via optimal private linear operators
        on adaptive streams, NeurIPS 2022, arXiv:2202.08312. Several turns: Choquette-Choo et al., Multi-epoch matrix
        factorization mechanisms for private machine learning, ICML 2023, arXiv:2211.06530.
    """

    sampling: str = "cyclic"
    restart_every: int | None = None

    MECHANISM: ClassVar[str] = "tree"
    SAMPLING: ClassVar[tuple[str, ...]] = ("cyclic",)

    def _check_rest(self) -> None:
        if self.restart_every is not None:
            object.__setattr__(self, "restart_every", check_count("restart_every", self.restart_every))

    def epsilon(self, num_rounds: int) -> float:
        """Returns what is spent after `num_rounds` rounds."""
        num_rounds = check_count("num_rounds", num_rounds, least=0)
        if num_rounds == 0:
            return 0.0
        sensitivity = dp_events.tree_sensitivity(
            num_rounds, self.population, self.clients_per_round, self.restart_every
        )
        return dp_events.gaussian_epsilon(self.noise_multiplier / sensitivity, self.delta)


@dataclasses.dataclass(frozen=True)
class LocalAccountant(_Accountant):
    """Counts epsilon of local DP: every client adds noise to its own clipped delta; the server is not trusted.

    The server sees who sent what, so that sampling hides nobody, and a client's delta must look like any other
    client's: replacing it moves it by up to 2 x clip norm. What is counted is the client that took part most often:
    every round unless the order is `"cyclic"`, ceil(rounds x clients_per_round / population) times then.

    Attributes:
        noise_multiplier: Standard deviation of the noise on EACH CLIENT's delta / clip norm, above 0.
        population: Clients that could take part, at least 2.
        clients_per_round: Size of the cohort, from 1 to `population`.
        delta: Probability with which the guarantee may fail, below 1 / population.
        sampling: How cohorts are drawn: `"all"` (of fixed size, nothing is claimed about it), `"fixed_size"`,
            `"poisson"` or `"cyclic"`.

    Example:
        >>> accountant = LocalAccountant(4.0, 1000, 100, delta=1e-5)
        >>> [round(accountant.epsilon(num_rounds), 1) for num_rounds in (0, 1, 10)]
        [0.0, 2.0, 7.5]

    References:
        Kasiviswanathan et al., What can we learn privately?, SIAM Journal on Computing 2011, arXiv:0803.0924.
    """

    sampling: str = "all"

    MECHANISM: ClassVar[str] = "local"
    SAMPLING: ClassVar[tuple[str, ...]] = ("all", "fixed_size", "poisson", "cyclic")

    def epsilon(self, num_rounds: int) -> float:
        """Returns what the client that took part most often has spent after `num_rounds` rounds."""
        num_rounds = check_count("num_rounds", num_rounds, least=0)
        if num_rounds == 0:
            return 0.0
        turns = num_rounds
        if self.sampling == "cyclic":
            turns = -(-num_rounds * self.clients_per_round // self.population)
        return dp_events.gaussian_epsilon(self.noise_multiplier / 2 / math.sqrt(turns), self.delta)

    def _neighbours(self) -> str:
        return "one client's data replaced by any other"
