"""Checks of lesson 01: one round as arithmetic, the bytes of a run, and accuracy seen client by client."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_01 import WRONG_ANSWERS


def _one_round(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 11])
    dim, num_classes = (2, 3) if seed == 0 else (int(n) for n in rng.integers(2, 6, size=2))
    shapes = [(dim, num_classes), (num_classes,)]

    def case(name, num_clients, server_lr, hint):
        received = [rng.integers(-4, 5, size=shape).astype(float) for shape in shapes]
        trained = [[rng.integers(-4, 5, size=shape).astype(float) for shape in shapes] for _ in range(num_clients)]
        # The new model lies on the straight line from the received one to the mean of the trained ones.
        expected = [
            (1 - server_lr) * r + server_lr * np.einsum("c...->...", np.stack(t)) / num_clients
            for r, t in zip(received, zip(*trained, strict=True), strict=True)
        ]
        shown = visible(expected, seed, f"a list of arrays of shapes {shapes[0]} and {shapes[1]}")
        return Case(name, (received, trained, server_lr), near(expected), shown, hint)

    half = 0.5 if seed == 0 else float(rng.choice([0.25, 0.4, 0.75]))
    return [
        case("server learning rate 1", 3, 1.0, "with a rate of 1 the old model cancels out: what is left?"),
        case("a part of the way", 4 if seed == 0 else int(rng.integers(2, 7)), half, "what does the rate multiply?"),
        case("server learning rate 0", 2, 0.0, "a server that takes no step keeps its model"),
        case("a single client", 1, 1.0, "the mean of one is that one; give back one array per array received"),
    ]


def _run_bytes(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 12])

    def case(name, num_rounds, clients_per_round, frozen, hint):
        backbone, head = (50, 12) if seed == 0 else (int(n) for n in rng.integers(20, 400, size=2))
        # Counted on a message that really exists.
        message = np.zeros(head, np.float32).nbytes + (0 if frozen else np.zeros(backbone, np.float32).nbytes)
        total = sum(message + message for _ in range(num_rounds * clients_per_round))
        arguments = (backbone, head, num_rounds, clients_per_round, frozen)
        return Case(name, arguments, equal(total), visible(total, seed, "a whole number of bytes"), hint)

    rounds, cohort = (3, 5) if seed == 0 else (int(n) for n in rng.choice(np.arange(2, 20), size=2, replace=False))
    return [
        case("one client, one round, frozen", 1, 1, True, "a float32 number has 4 bytes, and a round has two messages"),
        case("a frozen backbone", rounds, cohort, True, "the clients have the frozen backbone already: what travels?"),
        case("a backbone that is trained", rounds, cohort, False, "both parts are trained now, so both travel"),
    ]


def _per_client_accuracy(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 13])

    def case(name, sizes, num_right, hint, *, shuffled=True):
        # The answer is drawn first; predictions and labels are made from it.
        numbers = rng.permutation(90)[: len(sizes)] + 10
        client_ids = [f"client_{number}" for number in numbers]
        owners = np.repeat(client_ids, sizes)
        right = np.concatenate([np.arange(size) < count for size, count in zip(sizes, num_right, strict=True)])
        labels = rng.integers(0, 4, len(owners))
        predicted = np.where(right, labels, (labels + rng.integers(1, 4, len(owners))) % 4)
        order = rng.permutation(len(owners)) if shuffled else np.arange(len(owners))
        expected = {c: count / size for c, count, size in zip(client_ids, num_right, sizes, strict=True)}
        arguments = (predicted[order], labels[order], owners[order])
        return Case(name, arguments, near(expected), visible(expected, seed, "a dict with a number per client"), hint)

    extra = 0 if seed == 0 else int(rng.integers(1, 6))
    return [
        case("clients of one size", [4, 4], [1, 3], "compare first, then look at one client's answers"),
        case("clients of different sizes", [2, 5 + extra, 3], [1, 5, 2], "divide by that client's own examples"),
        case("all wrong, all right", [3, 2 + extra, 4], [0, 2, 4], "a client with nothing right still has an entry"),
    ]


def _rounds_to_reach(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 14])
    length = 6 if seed == 0 else int(rng.integers(7, 15))
    at = 3 if seed == 0 else int(rng.integers(2, length - 1))
    target = 0.75 if seed == 0 else float(rng.integers(50, 90)) / 100

    def case(name, accuracy, expected, hint):
        accuracy = [float(value) for value in np.round(accuracy, 4)]
        shown = visible(expected, seed, "a round number, or None")
        return Case(name, (accuracy, target), equal(expected), shown, hint)

    below = np.sort(rng.uniform(0.05, target - 0.02, length))
    above = rng.uniform(target + 0.02, 1.0, length)
    rounds = np.arange(length)
    exactly = np.where(rounds < at, below, np.where(rounds == at, target, above))
    dips = np.where(rounds < at, below, above)
    dips[-1] = below[0]
    return [
        case(
            "rises above it", np.where(rounds < at, below, above), at, "the list starts with round 0: no training yet"
        ),
        case("meets it exactly", exactly, at, "to reach is to be at least as good"),
        case("reaches it and falls back", dips, at, "the first round that reaches it counts, whatever comes after"),
        case("never reaches it", below, None, "what do you return when the search has found nothing?"),
        case("good before training", above, 0, "round 0 is a round number like any other"),
    ]


def _worst_clients_accuracy(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 15])

    def case(name, num_clients, num_worst, share, hint):
        accuracy = np.sort(rng.choice(np.arange(20, 99), size=num_clients, replace=False)) / 100
        expected = sum(accuracy[i] for i in range(num_worst)) / num_worst
        numbers = rng.permutation(90)[:num_clients] + 10
        table = {f"client_{n}": float(accuracy[i]) for i, n in enumerate(numbers)}
        shuffled = {key: table[key] for key in rng.permutation(list(table)).tolist()}
        shown = visible(float(expected), seed, "a number from 0 to 1")
        return Case(name, (shuffled, share), near(expected), shown, hint)

    some = 2 if seed == 0 else int(rng.integers(3, 8))
    return [
        case("the worst quarter", 4 * some, some, 0.25, "sort the accuracies: which end do you need?"),
        case("no whole number of clients", 4 * some + 1, some + 1, 0.25, "a part of a client counts as one: round up"),
        case("a tiny share", 5, 1, 0.03125, "even a tiny share is at least one client"),
        case("everyone", some + 2, some + 2, 1.0, "the worst clients of all are all: what mean is that?"),
    ]


EXERCISES = [
    Exercise(
        id="01.one_round",
        points=4,
        title="One round: the formula as a function",
        cases=weighted(_one_round, {"server learning rate 0": 0, "a single client": 0}),
        wrong_answers=WRONG_ANSWERS["one_round"],
    ),
    Exercise(
        id="01.run_bytes",
        points=3,
        title="What a whole run costs to send",
        cases=_run_bytes,
        wrong_answers=WRONG_ANSWERS["run_bytes"],
    ),
    Exercise(
        id="01.per_client_accuracy",
        points=4,
        title="Accuracy, client by client",
        cases=_per_client_accuracy,
        wrong_answers=WRONG_ANSWERS["per_client_accuracy"],
    ),
    Exercise(
        id="01.rounds_to_reach",
        points=3,
        title="How many rounds until it is good enough?",
        cases=weighted(_rounds_to_reach, {"never reaches it": 0, "good before training": 0.5}),
        wrong_answers=WRONG_ANSWERS["rounds_to_reach"],
    ),
    Exercise(
        id="01.worst_clients_accuracy",
        points=3,
        title="How well are the worst-served clients served?",
        cases=weighted(_worst_clients_accuracy, {"everyone": 0.5}),
        wrong_answers=WRONG_ANSWERS["worst_clients_accuracy"],
    ),
]
