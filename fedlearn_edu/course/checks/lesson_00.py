"""Checks of lesson 00: four small functions around one round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn_edu.course.checks.chance import problem_of_rounds
from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, Problem, visible, weighted
from fedlearn_edu.course.checks.wrong_00 import WRONG_ANSWERS


def _model_delta(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 1])
    num_inputs, num_classes = (3, 2) if seed == 0 else (int(n) for n in rng.integers(2, 6, size=2))

    def case(name, shapes, hint, *, moved=True):
        received = [np.asarray(rng.integers(-5, 6, size=shape), float) for shape in shapes]
        # The delta is drawn first, and the trained weights follow from it.
        values = [-2.0, -1.0, 0.5, 3.0] if moved else [0.0]
        delta = [np.asarray(rng.choice(values, size=shape)) for shape in shapes]
        trained = [np.asarray(one - step) for one, step in zip(received, delta, strict=True)]
        expected = visible(delta, seed, f"a list of {len(shapes)} arrays")
        verify = near(delta, structure="one array for each array you got, of the same shape")
        return Case(name, (received, trained), verify, expected, hint)

    sign = "the server will subtract the delta and must arrive at the trained weights: try it with one number"
    return [
        case("one array of weights", [(num_classes,)], sign),
        case("a kernel and a bias", [(num_inputs, num_classes), (num_classes,)], sign),
        case("a client that learned nothing", [(num_inputs,), ()], "no change is a delta of zeros", moved=False),
    ]


_WHOLE = "a list with a list for each round, and in it the ids of the clients of this round"
_TWICE = "a client cannot train twice in one round: does your way of drawing put a client back?"


def _sample_cohorts(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 2])
    # Client ids whose order and numbers say nothing, so that they cannot be guessed from a position.
    numbers = rng.permutation(900)[: 12 + (int(rng.integers(0, 9)) if seed else 0)] + 100
    client_ids = [f"client_{number}" for number in numbers]
    size = 4 if seed == 0 else int(rng.integers(3, 6))
    run_seed, other_seed = (int(n) for n in rng.choice(10_000, size=2, replace=False))
    remembered: dict[str, list] = {}

    def judge(num_rounds: int, cohort_size: int, extra: Callable[[list], str | None]):
        def verify(got):
            cohorts, problem = _as_cohorts(got, num_rounds, cohort_size, client_ids)
            return problem or extra(cohorts)

        return verify

    def fair(cohorts):
        remembered["first"] = cohorts
        times = dict.fromkeys(client_ids, 0)
        for cohort in cohorts:
            for client_id in cohort:
                times[client_id] += 1
        share = size / len(client_ids)
        # Six standard deviations of a binomial count: a fair sampler stays inside practically always.
        margin = 6 * np.sqrt(len(cohorts) * share * (1 - share))
        if max(abs(count - len(cohorts) * share) for count in times.values()) > margin:
            return "some clients are drawn far more often than others"
        return problem_of_rounds(cohorts, client_ids)

    def same_again(cohorts):
        same = _sets(cohorts) == _sets(remembered.get("first", cohorts))
        return None if same else "the same arguments gave other cohorts than before"

    def different(cohorts):
        if "first" in remembered and _sets(cohorts) == _sets(remembered["first"]):
            return "another seed gave the same cohorts"
        return None

    many = 200
    one_seed = "make one random generator from the seed, before the first round, and draw everything from it"
    return [
        Case(
            "one round",
            (client_ids, size, 1, run_seed),
            judge(1, size, lambda cohorts: None),
            f"a list with one list of {size} different client ids",
            _TWICE,
        ),
        Case(
            "everyone's turn comes",
            (client_ids, size, many, run_seed),
            judge(many, size, fair),
            f"{many} cohorts, every client in about {many * size / len(client_ids):.0f} of them",
            "each round draws anew, and from all clients",
        ),
        Case(
            "the same seed again",
            (client_ids, size, many, run_seed),
            judge(many, size, same_again),
            "the same cohorts as before",
            one_seed,
        ),
        Case(
            "another seed",
            (client_ids, size, many, other_seed),
            judge(many, size, different),
            "other cohorts",
            one_seed,
        ),
        Case(
            "all clients in every round",
            (client_ids, len(client_ids), 3, run_seed),
            judge(3, len(client_ids), lambda cohorts: None),
            f"three cohorts of all {len(client_ids)} clients",
            "the largest cohort there can be is everyone, once",
        ),
    ]


def _sets(cohorts: list) -> list[frozenset]:
    return [frozenset(cohort) for cohort in cohorts]


def _as_cohorts(got: Any, num_rounds: int, size: int, client_ids: list[str]) -> tuple[list, str | None]:
    """What came back as a list of lists of text, or why it is none."""
    rounds = got.tolist() if isinstance(got, np.ndarray) else got
    if not isinstance(rounds, list | tuple):
        return [], Problem("expected a list with one cohort for each round", hint=_WHOLE)
    if len(rounds) != num_rounds:
        return [], Problem(f"expected {num_rounds} cohorts, one for each round, got {len(rounds)}", hint=_WHOLE)
    cohorts = [cohort.tolist() if isinstance(cohort, np.ndarray) else cohort for cohort in rounds]
    for cohort in cohorts:
        if not isinstance(cohort, list | tuple):
            return [], Problem("expected each cohort as a list of client ids", hint=_WHOLE)
        if len(cohort) != size:
            return [], Problem(f"expected {size} clients in each cohort, got {len(cohort)}", hint=_WHOLE)
        if any(not isinstance(client_id, str) or client_id not in client_ids for client_id in cohort):
            return [], Problem("a cohort holds something that is no client id of the list", hint=_WHOLE)
        if len(set(cohort)) != len(cohort):
            return [], Problem("a client is in one cohort twice", hint=_TWICE)
    return cohorts, None


def _round_bytes(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 3])

    def case(name, shapes, clients_per_round, dtype, hint):
        # Counted on arrays that really exist: one copy down and one up for each client.
        messages = [[np.zeros(shape, dtype) for shape in shapes] for _ in range(2 * clients_per_round)]
        total = sum(array.nbytes for message in messages for array in message)
        arguments = (shapes, clients_per_round, np.dtype(dtype).itemsize)
        return Case(name, arguments, equal(total), visible(total, seed, "a whole number of bytes"), hint)

    def some(low, high):
        return int(rng.integers(low, high))

    num_features, num_classes = (1280, 10) if seed == 0 else (some(100, 2000), some(3, 40))
    both_ways = "count the messages first: who sends one to whom, and how many in a round?"
    return [
        case("one client, one array", [(some(5, 50),)], 1, np.float32, both_ways),
        case(
            "a linear head, ten clients" if seed == 0 else "a linear head",
            [(num_features, num_classes), (num_classes,)],
            10 if seed == 0 else some(3, 30),
            np.float32,
            "an array of shape (3, 2) holds six numbers",
        ),
        case(
            "half as many bytes a number",
            [(some(2, 9), some(2, 9), some(2, 9)), (some(2, 9),)],
            some(2, 6),
            np.float16,
            "how many bytes one number takes is an argument",
        ),
        case(
            "a single number as a weight",
            [(), (some(2, 9), 1)],
            some(2, 6),
            np.float64,
            "an array of shape () holds one number",
        ),
    ]


def _global_accuracy(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 4])

    def case(name, sizes, rates, hint):
        # Single outcomes, pooled: the counts that the learner gets are made from them.
        outcomes = [rng.random(size) < rate for size, rate in zip(sizes, rates, strict=True)]
        num_correct = [int(np.count_nonzero(outcome)) for outcome in outcomes]
        expected = float(np.mean(np.concatenate(outcomes)))
        arguments = (num_correct, [int(size) for size in sizes])
        return Case(name, arguments, near(expected), visible(expected, seed, "a number from 0 to 1"), hint)

    size = 20 if seed == 0 else int(rng.integers(20, 60))
    pooled = "imagine all test examples of all clients in one pile: which share of the pile is right?"
    return [
        case("clients of equal size", [size] * 3, [0.9, 0.5, 0.7], pooled),
        case("a large client and a small one", [10 * size, 7], [0.95, 0.1], pooled),
        case(
            "a client without test examples",
            [size, 0, 3 * size],
            [0.2, 0.5, 0.9],
            "no examples, no say: nothing of this client goes into the pile",
        ),
    ]


EXERCISES = [
    Exercise(
        id="00.model_delta",
        points=2,
        title="What a client sends: the model delta",
        cases=weighted(_model_delta, {"a client that learned nothing": 0}),
        wrong_answers=WRONG_ANSWERS["model_delta"],
    ),
    Exercise(
        id="00.sample_cohorts",
        points=4,
        title="Who trains: a cohort for every round",
        cases=weighted(_sample_cohorts, {"one round": 0, "the same seed again": 0.5, "all clients in every round": 0}),
        wrong_answers=WRONG_ANSWERS["sample_cohorts"],
    ),
    Exercise(
        id="00.round_bytes",
        points=2,
        title="What a round costs: its bytes",
        cases=_round_bytes,
        wrong_answers=WRONG_ANSWERS["round_bytes"],
    ),
    Exercise(
        id="00.global_accuracy",
        points=2,
        title="How good for all: accuracy from counts",
        cases=weighted(_global_accuracy, {"clients of equal size": 0.5}),
        wrong_answers=WRONG_ANSWERS["global_accuracy"],
    ),
]
