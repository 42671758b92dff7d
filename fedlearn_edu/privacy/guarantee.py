"""A guarantee in words: whom it protects, against whom, under which assumption, and whether it is one."""

from __future__ import annotations

import math
import numbers

from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.settings import check_sampling

# The tiers of Ponomareva et al., section 5.2: up to 1 strong, up to 10 reasonable, above that weak to none.
_STRONG, _REASONABLE = 1.0, 10.0

_TRUSTED_SERVER = (
    "Against: everyone who sees the models of all rounds and knows all other clients. "
    "The server, which sees every client's update before the noise, is trusted."
)
_AGAINST = {
    "central": _TRUSTED_SERVER,
    "tree": _TRUSTED_SERVER,
    "distributed": "Against: everyone who sees the models of all rounds, and a server that sees the secure sums only. "
    "Secure aggregation must hold, and enough clients must add their share of the noise.",
    "local": "Against: everyone, the server included; each client adds its own noise before it sends.",
}
_WHOM = {
    "poisson": "whether it took part at all, with all of its examples (neighbours: add or remove one client)",
    "fixed_size": "which of two clients it was, with all of their examples (neighbours: replace one client by another)",
    "all": "what it sent, with all of its examples (neighbours: its updates replaced by zero)",
    "cyclic": "what it sent, with all of its examples (neighbours: its updates replaced by zero)",
    "local": "what it sent, with all of its examples (neighbours: its data replaced by any other)",
}
_ASSUMES = {
    "poisson": "each client joins each round by an independent, secret coin",
    "fixed_size": "each round's cohort is drawn uniformly without replacement, in secret",
    "all": "nothing about who takes part, but at most once a round",
    "cyclic": "every client takes its turns in a fixed cyclic order, at most once a round",
    "local": "the rounds in which the client takes part are counted",
}


def guarantee_label(epsilon: float) -> str:
    """Returns `"strong"` (epsilon up to 1), `"reasonable"` (up to 10) or `"no guarantee"`.

    Example:
        >>> [guarantee_label(e) for e in (0.5, 8, 50, math.inf)]
        ['strong', 'reasonable', 'no guarantee', 'no guarantee']

    Args:
        epsilon: At least 0, may be infinite.

    Raises:
        UsageError: `epsilon` is negative or no number.

    References:
        Ponomareva et al., How to DP-fy ML, JAIR 2023, arXiv:2303.00654, section 5.2 (its third tier is called "weak to
        no formal privacy guarantees").
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, numbers.Real) or not epsilon >= 0:
        raise UsageError(f"epsilon: expected a number of at least 0, got {epsilon!r}")
    if epsilon <= _STRONG:
        return "strong"
    return "reasonable" if epsilon <= _REASONABLE else "no guarantee"


def largest_attack_accuracy(epsilon: float, delta: float) -> float:
    """Returns how often, at most, anyone can guess right which of two equally likely neighbours was used (0.5 to 1).

    Example:
        >>> [round(largest_attack_accuracy(e, 0), 3) for e in (0, 1, 8)]
        [0.5, 0.731, 1.0]

    References:
        Kairouz et al., The composition theorem for differential privacy, ICML 2015, arXiv:1311.0776.
    """
    # (e^epsilon + delta) / (e^epsilon + 1), written so that a large epsilon does not overflow
    return min(1.0, (1 + delta * math.exp(-epsilon)) / (1 + math.exp(-epsilon)))


def describe_guarantee(epsilon: float, delta: float, *, sampling: str = "poisson", mechanism: str = "central") -> str:
    """Returns an (epsilon, delta) guarantee in four lines of plain words.

    Args:
        epsilon: At least 0, may be infinite.
        delta: From 0 to below 1.
        sampling: `"poisson"`, `"fixed_size"`, `"all"` or `"cyclic"`, as for the accountant.
        mechanism: `"central"`, `"tree"`, `"distributed"` or `"local"`: who adds the noise.

    Returns:
        The number and its label; whom it protects; against whom; under which assumption.

    Example:
        >>> print(describe_guarantee(2.0, 1e-5))  # doctest: +ELLIPSIS
        epsilon = 2, delta = 1e-05: reasonable. Whoever guesses on even odds is right at most 88.1 % of the time.
        Protects each client: whether it took part at all, ...
        Against: everyone who sees the models of all rounds ...
        Assumes: each client joins each round by an independent, secret coin; updates are clipped ...

    Raises:
        UsageError: An argument is out of its range.
    """
    label = guarantee_label(epsilon)
    if isinstance(delta, bool) or not isinstance(delta, numbers.Real) or not 0 <= delta < 1:
        raise UsageError(f"delta: expected a number from 0 to below 1, got {delta!r}")
    check_sampling(sampling, ("poisson", "fixed_size", "all", "cyclic"))
    if mechanism not in _AGAINST:
        names = ", ".join(f'"{name}"' for name in _AGAINST)
        raise UsageError(f"mechanism: expected one of {names}, got {mechanism!r}")
    kind = "local" if mechanism == "local" else sampling
    percent = 100 * largest_attack_accuracy(epsilon, delta)
    shown = f"{percent:.1f}" if percent < 99.95 else "99.9+" if percent < 100 else "100"
    odds = f"Whoever guesses on even odds is right at most {shown} % of the time."
    if label == "no guarantee":
        odds = f"It does not rule out that whoever guesses on even odds is right {shown} % of the time."
    return "\n".join(
        [
            f"epsilon = {epsilon:.4g}, delta = {delta:.2g}: {label}. {odds}",
            f"{'Would protect' if label == 'no guarantee' else 'Protects'} each client: {_WHOM[kind]}.",
            _AGAINST[mechanism],
            f"Assumes: {_ASSUMES[kind]}; updates are clipped one client at a time; the noise is secret (a simulation "
            "with a known seed protects nobody).",
        ]
    )
