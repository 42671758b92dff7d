"""What is wrong with what a learner drew at random: cohorts that depend on each other, a deal in order, a leak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlearn_edu.course.checks.data import as_array
from fedlearn_edu.course.checks.exercise import Problem

GROUPS = "draw among the groups, not among the images"
# Standard deviations of what chance does. For 12 to 20 clients, cohorts of 3 to 5 and 200 rounds, the exact chance that
# cohorts drawn anew leave these limits anywhere is 6e-12.
_LIMIT = 8


def problem_of_rounds(cohorts: Sequence[Sequence[str]], client_ids: Sequence[str]) -> str | None:
    """Tells whether what one round draws shows in another: each pair of them, one round apart, two, ... half of all.

    Rounds drawn anew share as many clients as chance lets them, however far apart they are. One shuffle dealt out
    shares none with the next round, and all of them as soon as the dealing begins again.

    Args:
      cohorts: For each round client ids, all different; all rounds of one size.
      client_ids: All that may be drawn.

    Returns:
      None, or what is wrong.
    """
    held = np.array([[client_id in cohort for client_id in client_ids] for cohort in cohorts], float)
    num_clients, size = len(client_ids), len(cohorts[0])
    share = size / num_clients
    mean = size * share
    variance = mean * (1 - share) * (num_clients - size) / (num_clients - 1)  # hypergeometric
    overlaps = held @ held.T
    for apart in range(1, len(cohorts) // 2 + 1):
        shared = np.diagonal(overlaps, apart)
        if abs(shared.sum() - len(shared) * mean) > _LIMIT * np.sqrt(len(shared) * variance):
            few = shared.sum() < len(shared) * mean
            rounds = "one after the other" if apart == 1 else f"{apart} apart"
            return Problem(
                f"rounds {rounds} share too {'few' if few else 'many'} clients for rounds that are drawn anew",
                hint="who was drawn in one round must play no part in any other: draw each from all clients",
            )
    return None


def problem_of_order(clients: Sequence[np.ndarray], labels: np.ndarray) -> str | None:
    """Tells whether the rows of a class were dealt out in their order: then neighbours go to the same client, or never.

    Args:
      clients: For each client its row numbers; together all rows, each once.
      labels: The class of each row.

    Returns:
      None, or what is wrong.
    """
    holders = np.empty(len(labels), int)
    for number, rows in enumerate(clients):
        holders[rows] = number
    together, mean = 0, 0.0
    for label in np.unique(labels):
        of_class = holders[labels == label]
        counts = np.bincount(of_class)
        together += np.count_nonzero(of_class[1:] == of_class[:-1])
        mean += np.sum(counts * (counts - 1)) / len(of_class)  # of a shuffled class, whatever the shares were
    if abs(together - mean) > _LIMIT * np.sqrt(mean):
        return Problem("who gets an example follows from its place in `labels`", hint="shuffle the rows of each class")
    return None


def problem_of_split(got: Any, groups: Sequence[str], num_held_out: int) -> str | None:
    """What is wrong with a split: its kind, a leak, its size, or that it was not drawn at random.

    Args:
      got: What came back; right is a boolean array `[num_images]`, True for what is held out.
      groups: The group of each image.
      num_held_out: How many groups have to be held out.
    """
    held_out = as_array(got)
    if held_out is None or held_out.dtype != bool or held_out.shape != (len(groups),):
        return f"expected True or False for each of the {len(groups)} images"
    sides = {name: {bool(h) for h, g in zip(held_out, groups, strict=True) if g == name} for name in set(groups)}
    torn = sum(len(side) == 2 for side in sides.values())
    if torn:
        return Problem(f"{torn} of {len(sides)} groups are on both sides", hint=GROUPS)
    found = sum(side == {True} for side in sides.values())
    if found != num_held_out:
        return f"{found} of {len(sides)} groups are held out, expected {num_held_out}"
    for order in (sorted(sides), list(dict.fromkeys(groups))):
        chosen = [sides[name] == {True} for name in order]
        if found > 3 and (all(chosen[:found]) or all(chosen[-found:])):
            return Problem("the groups held out stand side by side in their order", hint="draw them at random")
    return None
