"""What was drawn at random is judged by what chance allows: every sound way to draw passes, and no dealing does."""

import random

import numpy as np
import pytest

from fedlearn_edu.course.checks.checking import check_function
from fedlearn_edu.course.checks.registry import all_exercises

COHORTS = all_exercises()["00.sample_cohorts"]
DEAL = all_exercises()["03.dirichlet_split"]
HOLD_OUT = all_exercises()["05.hold_out"]
SEEDS = range(25)


def by_choice(ids, size, num_rounds, seed):
    rng = np.random.default_rng(seed)
    return [list(rng.choice(ids, size, replace=False)) for _ in range(num_rounds)]


def by_random(ids, size, num_rounds, seed):
    rng = random.Random(seed)
    return [rng.sample(ids, size) for _ in range(num_rounds)]


def by_random_state(ids, size, num_rounds, seed):
    rng = np.random.RandomState(seed)
    return [rng.permutation(ids)[:size].tolist() for _ in range(num_rounds)]


def by_the_seed_of_all(ids, size, num_rounds, seed):
    np.random.seed(seed)
    return [np.random.choice(ids, size, replace=False) for _ in range(num_rounds)]


def by_shuffling_on(ids, size, num_rounds, seed):
    """One list, shuffled further each round, of which the last ones train."""
    rng, ids, cohorts = random.Random(seed), list(ids), []
    for _ in range(num_rounds):
        rng.shuffle(ids)
        cohorts.append(ids[-size:])
    return cohorts


def by_a_seed_for_each_round(ids, size, num_rounds, seed):
    return [list(np.random.default_rng([seed, r]).choice(ids, size, replace=False)) for r in range(num_rounds)]


def by_sorting_random_keys(ids, size, num_rounds, seed):
    keys = np.random.default_rng(seed).random([num_rounds, len(ids)])
    return np.array(ids)[np.argsort(keys)[:, :size]]


@pytest.mark.parametrize(
    "draw",
    [
        by_choice,
        by_random,
        by_random_state,
        by_the_seed_of_all,
        by_shuffling_on,
        by_a_seed_for_each_round,
        by_sorting_random_keys,
    ],
    ids=lambda draw: draw.__name__,
)
def test_every_sound_way_to_draw_cohorts_passes(draw):
    for seed in SEEDS:
        result = check_function(COHORTS, draw, seed=seed)
        assert result.passed, f"seed {seed}: {result}"


def dealt(step):
    """Cohorts out of one shuffled row of clients, each `step` places after the last."""

    def deal(ids, size, num_rounds, seed):
        order = np.random.default_rng(seed).permutation(ids).tolist()
        return [[order[(r * (step or size) + i) % len(order)] for i in range(size)] for r in range(num_rounds)]

    return deal


def a_few_cohorts_in_turn(ids, size, num_rounds, seed):
    few = by_choice(ids, size, 60, seed)
    return [few[r % len(few)] for r in range(num_rounds)]


def never_twice_running(ids, size, num_rounds, seed):
    rng, cohorts = random.Random(seed), [[]]
    for _ in range(num_rounds):
        cohorts.append(rng.sample([one for one in ids if one not in cohorts[-1] or 2 * size > len(ids)], size))
    return cohorts[1:]


@pytest.mark.parametrize(
    ("draw", "problem"),
    [
        (dealt(0), "rounds one after the other share too few clients"),
        (dealt(1), "rounds one after the other share too many clients"),
        (never_twice_running, "rounds one after the other share too few clients"),
        (a_few_cohorts_in_turn, "rounds 60 apart share too many clients"),
    ],
    ids=["dealt out", "a window that moves", "whoever trained has to wait", "sixty cohorts in turn"],
)
def test_rounds_that_depend_on_each_other_fail_and_are_told_how(draw, problem):
    for seed in SEEDS:
        result = check_function(COHORTS, draw, seed=seed)
        told = {case.name: case.problem for case in result.cases if not case.passed}
        assert list(told) == ["everyone's turn comes"], f"seed {seed}: {result}"
        assert told["everyone's turn comes"].startswith(problem), f"seed {seed}: {result}"


def test_every_sound_way_to_hold_out_groups_passes():
    def by_names(groups, share, seed):
        names = sorted(set(groups))
        chosen = random.Random(seed).sample(names, max(1, round(share * len(names))))
        return np.array([group in chosen for group in groups])

    for seed in SEEDS:
        assert check_function(HOLD_OUT, by_names, seed=seed).passed, f"seed {seed}"


def by_cutting(labels, num_clients, concentration, seed):
    """The taught way."""
    rng = np.random.RandomState(seed)
    held = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum(rng.dirichlet(np.full(num_clients, concentration)))[:-1] * len(rows)).astype(int)
        for client, piece in zip(held, np.split(rows, ends), strict=True):
            client.extend(piece)
    return [np.array(client, int) for client in held]


def by_drawing_a_client_for_each_row(labels, num_clients, concentration, seed):
    rng = np.random.default_rng(seed)
    owners = np.empty(len(labels), int)
    for label in np.unique(labels):
        share = rng.dirichlet(np.full(num_clients, concentration))
        owners[labels == label] = rng.choice(num_clients, np.count_nonzero(labels == label), p=share)
    return [np.flatnonzero(owners == client) for client in range(num_clients)]


def by_going_round(labels, num_clients, concentration, seed):
    """The taught way at a small concentration; at a large one each class is dealt out like cards, unshuffled."""
    if concentration < 1:
        return by_cutting(labels, num_clients, concentration, seed)
    owners = np.empty(len(labels), int)
    for label in np.unique(labels):
        owners[labels == label] = np.arange(np.count_nonzero(labels == label)) % num_clients
    return [np.flatnonzero(owners == client) for client in range(num_clients)]


@pytest.mark.parametrize("deal", [by_cutting, by_drawing_a_client_for_each_row], ids=lambda deal: deal.__name__)
def test_every_sound_way_to_deal_a_shuffled_class_passes(deal):
    for seed in SEEDS:
        result = check_function(DEAL, deal, seed=seed)
        assert result.passed, f"seed {seed}: {result}"


def test_a_class_dealt_out_in_its_order_fails():
    for seed in SEEDS:
        told = [case.problem for case in check_function(DEAL, by_going_round, seed=seed).cases if not case.passed]
        assert told == ["who gets an example follows from its place in `labels`"], f"seed {seed}"
