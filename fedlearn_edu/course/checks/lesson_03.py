"""Checks of lesson 03: splitting with skew, measuring it, and what the server can read from sums and from deltas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn_edu.course.checks.chance import problem_of_order
from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.data import as_array, describe
from fedlearn_edu.course.checks.exercise import Case, Exercise, Problem, visible, weighted
from fedlearn_edu.course.checks.wrong_03 import WRONG_ANSWERS

_ROWS = "an array for each client, also for one that holds nothing, with the places of its examples in `labels`"
_PIECES = "each class is cut into pieces, one per client: do the pieces of a class make up all of it?"


def _dirichlet_split(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 31])
    num_classes = 5 if seed == 0 else int(rng.integers(5, 9))
    num_clients = 8 if seed == 0 else int(rng.integers(8, 13))
    labels = rng.permutation(np.repeat(np.arange(num_classes), 200))
    run_seed, other_seed = (int(n) for n in rng.choice(10_000, size=2, replace=False))
    remembered: dict[str, list] = {}

    def judge(look: Callable[[list], str | None]):
        def verify(got):
            clients, problem = _as_split(got, num_clients, len(labels))
            return problem or look(clients)

        return verify

    def skew(clients):
        """Mean total variation distance from the whole's mix, clients weighted by size: near 0 if alike, at most 1."""
        mixes = np.stack([np.bincount(labels[rows], minlength=num_classes) for rows in clients]).astype(float)
        sizes = mixes.sum(axis=1)
        held = sizes > 0
        distance = np.abs(mixes[held] / sizes[held, None] - 1 / num_classes).sum(axis=1) / 2
        return np.average(distance, weights=sizes[held])

    # The limits leave room for every sound way to draw: at 0.02 cutting each class in Dirichlet shares gives about
    # 0.6 here and drawing each client's mix more; at 10,000 both stay below 0.1. IID gives 0.06, quantity skew 0.1.
    def lopsided(clients):
        remembered["sets"] = _sets(clients)
        return None if skew(clients) > 0.35 else "the clients' classes look too much alike for so small a concentration"

    def alike(clients):
        if min(len(rows) for rows in clients) == 0:
            return "a client holds nothing, though the concentration is large"
        if skew(clients) >= 0.15:
            return "the clients' classes differ too much for so large a concentration"
        return problem_of_order(clients, labels)

    def same_again(clients):
        same = _sets(clients) == remembered.get("sets", _sets(clients))
        return None if same else "the same arguments gave another split than before"

    def other(clients):
        return "another seed gave the same split" if _sets(clients) == remembered.get("sets") else None

    generator = "make one random generator from the seed and draw everything from it"
    share = f"{num_clients} arrays that hold each of the {len(labels)} row numbers once"
    return [
        Case(
            "a small concentration",
            (labels, num_clients, 0.02, run_seed),
            judge(lopsided),
            f"{share}; very different mixes",
            "does every class draw its own shares of the clients?",
        ),
        Case(
            "a large concentration",
            (labels, num_clients, 10_000.0, run_seed),
            judge(alike),
            f"{share}; nearly the same mix for all",
            "the concentration is handed to the Dirichlet draw, once for each client",
        ),
        Case(
            "the same seed again",
            (labels, num_clients, 0.02, run_seed),
            judge(same_again),
            "the same split as before",
            generator,
        ),
        Case("another seed", (labels, num_clients, 0.02, other_seed), judge(other), "another split", generator),
    ]


def _sets(clients: list) -> list[frozenset]:
    return [frozenset(rows.tolist()) for rows in clients]


def _as_split(got: Any, num_clients: int, num_examples: int) -> tuple[list, str | None]:
    """What came back as a list of arrays of row numbers that cover all rows once, or why it is none."""
    if not isinstance(got, list | tuple) and not (isinstance(got, np.ndarray) and got.ndim == 2):
        return [], Problem("expected a list with one array of row numbers for each client", hint=_ROWS)
    if len(got) != num_clients:
        return [], Problem(f"expected {num_clients} clients, got {len(got)}", hint=_ROWS)
    clients = []
    for rows in got:
        array = as_array(rows)
        if array is None or array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            return [], Problem("expected whole row numbers, one flat array for each client", hint=_ROWS)
        clients.append(array.astype(np.int64))
    held = np.concatenate(clients)
    if held.size and (held.min() < 0 or held.max() >= num_examples):
        return [], Problem("a row number is out of range", hint=_ROWS)
    times = np.bincount(held, minlength=num_examples)
    if times.max(initial=0) > 1:
        return [], Problem(f"{np.count_nonzero(times > 1)} examples are held twice", hint=_PIECES)
    if times.min(initial=1) < 1:
        return [], Problem(f"{np.count_nonzero(times == 0)} examples are held by nobody", hint=_PIECES)
    return clients, None


_ENDS = "round where the pieces end (np.cumsum), not each piece"


def _quantity_sizes(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 32])

    def case(name, num_examples, num_clients, skew, hint):
        # Exact shares by logarithms; any rounding that keeps within one example of them is right.
        logs = -skew * np.log(np.arange(1, num_clients + 1))
        exact = num_examples * np.exp(logs - np.logaddexp.reduce(logs))

        def verify(got):
            sizes = as_array(got)
            if sizes is None or sizes.shape != (num_clients,):
                return f"expected {num_clients} sizes, one per client"
            if not np.array_equal(sizes, np.rint(sizes)):
                return Problem("an example cannot be divided: expected whole numbers", hint=_ENDS)
            if sizes.sum() != num_examples:
                return Problem("the sizes do not add up to the number of examples", hint=_ENDS)
            off = np.abs(sizes - exact) > 1 + 1e-6
            return f"{np.count_nonzero(off)} sizes are more than one example off" if off.any() else None

        shown = f"about {describe(np.round(exact, 1))}" if seed == 0 else "whole numbers that add up, largest first"
        return Case(name, (num_examples, num_clients, skew), verify, shown, hint)

    num = 100 if seed == 0 else int(rng.integers(200, 900))
    k = 3 if seed == 0 else int(rng.integers(4, 9))
    skew = 1.0 if seed == 0 else float(rng.choice([0.5, 1.5, 2.5]))
    return [
        case("no skew", 12 * k, k, 0.0, "to the power of 0 everything is 1"),
        case("a power law", num, k, skew, "the client of rank r gets a share in proportion to r to the power -skew"),
        case("strong skew", 10 * num, k + 2, 2.0, "ranks start at 1, and the first client is the largest"),
        case("no even division", 10 * k + 1, k, 0.0, _ENDS),
    ]


def _label_distance(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 33])

    def case(name, counts, expected, hint):
        shown = visible(expected, seed, f"{len(counts)} numbers from 0 to 1")
        return Case(name, (counts,), near(expected), shown, hint)

    k = 3 if seed == 0 else int(rng.integers(4, 8))
    mix = rng.integers(1, 6, k)
    sizes = rng.choice(np.arange(1, 9), size=k, replace=False)
    # Clients of one class each: client i has distance 1 - (share of its class in the whole).
    held = np.diag(sizes * 3)
    # Two groups in different halves of the classes: each client is as far away as the other group is large.
    halves = np.zeros([3, 4], int)
    halves[:2, :2], halves[2, 2:] = 2 if seed == 0 else int(rng.integers(2, 9)), 1 if seed == 0 else int(k)
    large, small = halves[:2].sum(), halves[2].sum()
    far = np.array([small, small, large]) / (large + small)
    return [
        case("all alike, sizes differ", np.outer(sizes, mix), np.zeros(k), "compare shares, not numbers of examples"),
        case("one class each", held, 1 - sizes / sizes.sum(), "the whole is everyone's examples in one pot"),
        case("two groups", halves, far, "what one class has too much another lacks: count every difference once"),
    ]


def _label_mix_from_delta(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 34])

    def case(name, counts, client_lr, hint):
        # The mix is drawn first. The bias gradient of a head at zero is the mean of (uniform - one-hot) over examples.
        one_hot = np.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]
        bias_delta = client_lr * np.mean(1 / len(counts) - one_hot, axis=0)
        mix = np.array(counts) / sum(counts)
        arguments = (bias_delta, client_lr)
        return Case(name, arguments, near(mix), visible(mix, seed, f"{len(counts)} shares that add up to 1"), hint)

    k = 4 if seed == 0 else int(rng.integers(5, 12))
    lr = 0.1 if seed == 0 else float(rng.uniform(0.02, 0.9))
    balanced, single = [5] * k, [0] * k
    single[int(rng.integers(k))] = 7
    return [
        case("some of everything", rng.integers(1, 20, k).tolist(), lr, "solve the formula of the delta for the share"),
        case("a single class", single, 1.0, "which entry of the bias went up in training: what sign has its delta?"),
        case(
            "the same of each", balanced, lr, "a delta of zeros is not a mix of zeros: what did the model start from?"
        ),
        case("another learning rate", rng.integers(0, 9, k).tolist() + [3], lr / 4, "the rate scales the delta"),
    ]


def _server_view(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 35])

    def case(name, holders, num_clients, min_clients, hint, *, each=None):
        # Drawn class by class: who holds it, and how much.
        counts = np.zeros([num_clients, len(holders)], int)
        total = np.zeros(len(holders), int)
        for label, number in enumerate(holders):
            for client in rng.permutation(num_clients)[:number]:
                counts[client, label] = each or rng.integers(1, 9)
                total[label] += counts[client, label] if number >= min_clients else 0
        shown = visible(total, seed, f"{len(holders)} whole numbers")
        return Case(name, (counts, min_clients), equal(total), shown, hint)

    n = 5 if seed == 0 else int(rng.integers(6, 11))
    return [
        case("everyone may be seen", rng.integers(1, n + 1, 4), n, 1, "with a limit of 1 it is the sum over clients"),
        case("rare classes are withheld", [n, 1, 3, 2], n, 3, "count clients, not examples; the limit itself passes"),
        case("few clients with many examples", [1, 2, n], n, 3, "how many *clients* hold the class?", each=50),
        case("a class that nobody holds", [n, 0, 4], n, 2, "nobody is fewer than the limit"),
    ]


EXERCISES = [
    Exercise(
        id="03.dirichlet_split",
        points=5,
        title="A Dirichlet split",
        cases=weighted(_dirichlet_split, {"the same seed again": 0.5, "another seed": 0.5}),
        wrong_answers=WRONG_ANSWERS["dirichlet_split"],
    ),
    Exercise(
        id="03.quantity_sizes",
        points=3,
        title="Sizes by a power law",
        cases=weighted(_quantity_sizes, {"no skew": 0, "no even division": 0.5}),
        wrong_answers=WRONG_ANSWERS["quantity_sizes"],
    ),
    Exercise(
        id="03.label_distance",
        points=4,
        title="How far a client is from the whole",
        cases=weighted(_label_distance, {"all alike, sizes differ": 0}),
        wrong_answers=WRONG_ANSWERS["label_distance"],
    ),
    Exercise(
        id="03.server_view",
        points=3,
        title="What the server may see: sums over enough clients",
        cases=weighted(_server_view, {"everyone may be seen": 0, "a class that nobody holds": 0}),
        wrong_answers=WRONG_ANSWERS["server_view"],
    ),
    Exercise(
        id="03.label_mix_from_delta",
        points=4,
        title="What the server can read: a client's classes from its delta",
        cases=weighted(_label_mix_from_delta, {"the same of each": 0.5}),
        wrong_answers=WRONG_ANSWERS["label_mix_from_delta"],
    ),
]
