"""Epsilon as numbers: the calls to dp-accounting, fine enough to be right and coarse enough for a slider.

Nothing here checks its arguments; `accounting.py` and `accountants.py` do, and say what the numbers mean.
"""

from __future__ import annotations

import functools
import math

import numpy as np

# A privacy loss distribution is cut into steps of this width at first ...
_FIRST_STEP = 0.03
# ... or wider, so that one round's losses fit into this many steps (little noise means losses in the thousands) ...
_MOST_STEPS = 1000
# ... which is given up where noise is so little that epsilon is in the ten thousands, with or without amplification.
_LEAST_NOISE = 0.01
# ... then three times finer until epsilon changes by less than this share. The error falls with the square of the
# width, so that about an eighth of the last change remains. All are upper bounds, coarse or fine.
_TOLERANCE = 0.005
_SMALLEST_EPSILON = 0.02  # below this, it is this that the share is taken of
_FINEST_STEP = 1e-4
# Orders of Renyi divergence. dp-accounting's own 160 take 0.7 s a setting where these take 0.1 s; any order is a valid
# bound, and neighbours within 15 % of each other cost well below 1 % of epsilon (the tests compare).
_ORDERS = [
    *[1 + i / 10 for i in range(1, 10)],
    *[2 + i / 2 for i in range(18)],
    *[11, 12, 13, 14, 16, 18, 20, 23, 26, 30, 34, 38, 43, 48, 55, 63, 72, 84, 100, 128, 512, 1024],
]


@functools.lru_cache(maxsize=4096)
def gaussian_epsilon(noise_multiplier: float, delta: float) -> float:
    """Epsilon of one Gaussian mechanism, exactly (Balle and Wang): noise deviation / sensitivity = `noise_multiplier`.

    T rounds in which the same client may take part are one mechanism with the noise multiplier divided by sqrt(T).
    """
    from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss
    from scipy import optimize

    def excess(epsilon):
        return loss.get_delta_for_epsilon(epsilon) - delta

    loss = GaussianPrivacyLoss(noise_multiplier)
    if excess(0.0) <= 0:
        return 0.0
    # The loss is normal with this mean and standard deviation 1 / noise_multiplier: above it lies less than delta.
    highest = 1 / (2 * noise_multiplier**2) + math.sqrt(2 * math.log(1 / delta)) / noise_multiplier
    return float(optimize.brentq(excess, 0.0, highest, xtol=1e-12, rtol=1e-12))


@functools.lru_cache(maxsize=4096)
def poisson_epsilon(sampling_probability: float, noise_multiplier: float, num_rounds: int, delta: float) -> float:
    """Epsilon of Poisson-sampled Gaussian mechanisms, one per round, for add-or-remove-one neighbours."""
    if sampling_probability == 1 or noise_multiplier < _LEAST_NOISE:
        return gaussian_epsilon(noise_multiplier / math.sqrt(num_rounds), delta)

    def at_step(step):
        one_round = _poisson_round(sampling_probability, noise_multiplier, step)
        return one_round.self_compose(num_rounds).get_epsilon_for_delta(delta)

    return _refine(at_step, noise_multiplier)


@functools.lru_cache(maxsize=4096)
def without_replacement_epsilon(
    sampling_probability: float, noise_multiplier: float, num_rounds: int, delta: float
) -> float:
    """Epsilon of Gaussian mechanisms on cohorts of fixed size, for replace-one neighbours.

    Args:
        sampling_probability: Cohort size / population.
        noise_multiplier: Noise standard deviation / sensitivity *under replace-one*, i.e. / (2 x clip norm).
        num_rounds: Rounds released.
        delta: Probability with which the guarantee may fail.
    """
    import dp_accounting

    orders, rdp = _without_replacement_round(sampling_probability, noise_multiplier)
    sampled, _ = dp_accounting.rdp.compute_epsilon(orders, num_rounds * rdp, delta)
    # Whoever takes part in every round is protected this much; sampling can only help. RDP's bound is above it
    # where the cohort is a large part of the population.
    return min(float(sampled), gaussian_epsilon(noise_multiplier / math.sqrt(num_rounds), delta))


@functools.lru_cache(maxsize=4096)
def tree_sensitivity(num_rounds: int, population: int, clients_per_round: int, restart_every: int | None) -> float:
    """L2 sensitivity, in clip norms, of all released nodes of the binary trees to one client's presence.

    A client's clipped delta of norm at most 1 enters every complete node above the rounds it takes part in; in the
    worst case its deltas all point the same way, so that a node that covers c of them changes by c. The client
    whose turns in the cyclic order fall worst decides.
    """
    length = restart_every or num_rounds
    group = math.gcd(population, clients_per_round)  # clients of a group always train together
    turns = -(-num_rounds * clients_per_round // population)
    if population // group * turns > 500_000:
        return _tree_sensitivity_bound(num_rounds, population, clients_per_round, length)
    positions = np.arange(0, population, group)
    rounds = (positions[:, None] + population * np.arange(turns)) // clients_per_round  # [pattern, turn], from 0
    who = np.broadcast_to(np.arange(len(positions))[:, None], rounds.shape)
    tree, leaf = rounds // length, rounds % length
    leaves_of_tree = np.minimum(length, num_rounds - tree * length)
    total = np.zeros(len(positions))
    width = 1
    while width <= length:
        node = leaf // width
        complete = (rounds < num_rounds) & ((node + 1) * width <= leaves_of_tree)
        nodes_per_pattern = num_rounds + 1
        ids = who * nodes_per_pattern + tree * -(-length // width) + node
        counts = np.unique(ids[complete], return_counts=True)
        np.add.at(total, counts[0] // nodes_per_pattern, counts[1].astype(float) ** 2)
        width *= 2
    return float(np.sqrt(total.max()))


def _tree_sensitivity_bound(num_rounds, population, clients_per_round, length):
    """The same from above, from the shortest time between two turns alone; for populations too large to go through."""
    apart = population // clients_per_round
    turns = -(-num_rounds * clients_per_round // population)
    widths = [2**level for level in range(length.bit_length()) if 2**level <= num_rounds]
    return math.sqrt(sum(turns * min(turns, -(-width // apart)) for width in widths))


@functools.lru_cache(maxsize=64)
def _poisson_round(sampling_probability, noise_multiplier, step):
    from dp_accounting import pld

    return pld.privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier, value_discretization_interval=step, sampling_prob=sampling_probability
    )


@functools.lru_cache(maxsize=1024)
def _without_replacement_round(sampling_probability, noise_multiplier):
    import dp_accounting

    # The event takes sizes, the accountant uses their ratio alone.
    event = dp_accounting.SampledWithoutReplacementDpEvent(
        source_dataset_size=1,
        sample_size=sampling_probability,
        event=dp_accounting.GaussianDpEvent(noise_multiplier),
    )
    accountant = dp_accounting.rdp.RdpAccountant(
        orders=_ORDERS, neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_ONE
    ).compose(event)
    return accountant.orders, accountant.rdp


def _refine(at_step, noise_multiplier):
    losses = 1 / (2 * noise_multiplier**2) + 10 / noise_multiplier  # about the range of one round's losses
    thirds = max(0, math.ceil(math.log(losses / (_FIRST_STEP * _MOST_STEPS), 3)))
    step = _FIRST_STEP * 3**thirds
    epsilon = at_step(step)
    while step > _FINEST_STEP:
        step /= 3
        coarse, epsilon = epsilon, at_step(step)
        if coarse - epsilon <= _TOLERANCE * max(epsilon, _SMALLEST_EPSILON):
            break
    return float(epsilon)
