"""Checks of lesson 13: what epsilon bounds, how it adds up, how sampling lowers it, and how to choose.

Answers are drawn first wherever that is possible. `_renyi` integrates numerically what learners add up by a formula.
"""

from __future__ import annotations

import functools

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.data import as_number
from fedlearn_edu.course.checks.exercise import Case, Exercise, Problem, visible, weighted
from fedlearn_edu.course.checks.wrong_13 import WRONG_ANSWERS


def _attack_limit(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 131])

    def case(name, false_positive_rate, epsilon, delta, limit, hint):
        shown = visible(limit, seed, "a share from 0 to 1")
        return Case(name, (false_positive_rate, epsilon, delta), near(limit, tolerance=1e-9), shown, hint)

    share = 0.2 if seed == 0 else float(rng.uniform(0.05, 0.6))
    truth = 0.75 if seed == 0 else float(rng.uniform(0.6, 0.95))
    odds = 2 if seed == 0 else int(rng.integers(3, 9))
    delta = 0.01 if seed == 0 else float(rng.uniform(0.001, 0.02))
    # Randomized response: who tells the truth with this probability leaks exactly these odds, and no more.
    told = float(np.log(truth) - np.log1p(-truth))
    many = 1 - odds * delta  # so that what is left over, the members missed, is easy to say
    return [
        case("epsilon 0", share, 0.0, 0.0, share, "if nothing leaks, members and others are accused alike"),
        case("randomized response", 1 - truth, told, 0.0, truth, "both inequalities count; the smaller limit wins"),
        case("nobody accused wrongly", 0.0, float(np.log(odds)), delta, delta, "delta is what is left if no error is"),
        case(
            "nearly everyone accused",
            many - delta,
            float(np.log(odds)),
            delta,
            1 - delta,
            "the second inequality is about those who are not accused; solve it for the true positive rate",
        ),
        case("a huge epsilon", share / 2, 5000.0 + odds, delta, 1.0, "e to the epsilon overflows: what is the limit?"),
        case("a huge epsilon, nobody accused wrongly", 0.0, 5000.0 + odds, delta, delta, "infinity times 0 is NaN"),
    ]


def _compose_epsilon(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 132])

    def case(name, rho, num_rounds, delta, hint, *, noise_multiplier=None):
        # rho is drawn first, and the noise that leads to it follows.
        z = noise_multiplier or float(np.sqrt(num_rounds / rho / 2))
        log = -np.log(delta)
        total = float((np.sqrt(rho) + np.sqrt(log)) ** 2 - log)
        verify = near(total, tolerance=1e-8)
        return Case(name, (z, num_rounds, delta), verify, visible(total, seed, "a number >= 0"), hint)

    rho = 0.5 if seed == 0 else float(rng.uniform(0.05, 2))
    rounds = 100 if seed == 0 else int(rng.integers(20, 400))
    delta = 1e-5 if seed == 0 else float(rng.choice([1e-4, 1e-6, 1e-7]))
    return [
        case("one round", rho, 1, delta, "rho of one round is 1 / (2 z squared)"),
        case("many rounds", rho, rounds, delta, "it is rho that adds up over rounds, not epsilon"),
        case("four times the rounds", 4 * rho, 4 * rounds, delta, "add rho up first, then go over to epsilon, once"),
        case("no round yet", 0.0, 0, delta, "nothing was released", noise_multiplier=1 + rho),
        case("hardly any noise", 400 * rho, rounds, delta, "a large epsilon is a right answer, too"),
    ]


def _renyi(order: int, z: float, q: float) -> float:
    """Renyi divergence of the sampled Gaussian from its noise, by integration (trapezoid rule, in logarithms)."""
    x = np.arange(-14 * z, order + 14 * z, z / 40)
    log_ratio = np.logaddexp(np.log1p(-q), np.log(q) + (2 * x - 1) / (2 * z**2))
    terms = order * log_ratio - x**2 / (2 * z**2)
    log_moment = terms.max() + np.log(np.exp(terms - terms.max()).sum() / 40 / np.sqrt(2 * np.pi))
    return float(log_moment / (order - 1))


def _sampled_epsilon(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 133])
    delta = 1e-5 if seed == 0 else float(rng.choice([1e-4, 1e-6, 1e-7]))
    log = -np.log(delta)

    def case(name, z, num_rounds, q, orders, divergences, hint):
        total = float(min(num_rounds * d + log / (a - 1) for a, d in zip(orders, divergences, strict=True)))
        arguments = (z, num_rounds, q, delta, orders)
        return Case(name, arguments, near(total, tolerance=1e-6), visible(total, seed, "a number >= 0"), hint)

    z = 1.0 if seed == 0 else float(rng.uniform(0.8, 3))
    q = 0.01 if seed == 0 else float(rng.uniform(0.02, 0.2))
    rounds = 200 if seed == 0 else int(rng.integers(50, 500))
    orders = list(range(2, 33 if seed == 0 else int(rng.integers(34, 64))))
    some, tiny = orders[::6], 0.2 if seed == 0 else float(rng.uniform(0.1, 0.25))
    return [
        case(
            "one order",
            z,
            rounds,
            q,
            [2],
            [float(np.log1p(q**2 * np.expm1(1 / z**2)))],
            "for order 2 the sum has three terms, for k = 0, 1 and 2",
        ),
        case(
            "everyone in every round", 8 * z, rounds // 10, 1.0, orders, [a / 128 / z**2 for a in orders], "0**0 is 1"
        ),
        case("nobody, ever", z, rounds, 0.0, orders, [0.0] * len(orders), "with nobody there, only ln(1/delta) counts"),
        case(
            "sampled", z, rounds, q, some, [_renyi(a, z, q) for a in some], "the best order gives the smallest epsilon"
        ),
        case(
            "little noise, high orders",
            tiny,
            2,
            q,
            [64, 128],
            [_renyi(a, tiny, q) for a in (64, 128)],
            "exp overflows: add in logarithms, the largest term taken out first",
        ),
    ]


_SMALL = "of the two ends of the search, give back the one that keeps the target; is the upper one large enough?"
_LARGE = "go on halving until the two ends are close together; the noise multiplier may be below 1"


@functools.cache
def _epsilon_of(noise_multiplier, num_rounds, population, clients_per_round, delta) -> float:
    from fedlearn_edu.privacy.accounting import epsilon

    return epsilon(
        noise_multiplier=noise_multiplier,
        num_rounds=num_rounds,
        population=population,
        clients_per_round=clients_per_round,
        delta=delta,
    )


def _noise_for(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 134])

    def case(name, target, num_rounds, population, clients_per_round, delta, hint):
        def verify(got):
            z = as_number(got)
            if z is None or not 0 < z < 1e4:
                return "expected a single number, a noise multiplier above 0"
            spent = _epsilon_of(z, num_rounds, population, clients_per_round, delta)
            if spent > target * (1 + 1e-6):
                return Problem("this noise is too small: epsilon is above the target", hint=_SMALL)
            return None if spent >= 0.99 * target else Problem("this noise is larger than it has to be", hint=_LARGE)

        arguments = (target, num_rounds, population, clients_per_round, delta)
        return Case(name, arguments, verify, "noise whose epsilon is the target, or less by 1 % at most", hint)

    rounds = 100 if seed == 0 else int(rng.integers(50, 300))
    people = 10_000 if seed == 0 else int(rng.integers(5, 50)) * 1000
    low = 1.0 if seed == 0 else float(np.round(rng.uniform(0.5, 2), 2))
    return [
        case("many clients", low, rounds, people, people // 100, 1e-6, "more noise, less epsilon: which half to keep?"),
        case("everyone in every round", 2 * low, rounds, 50, 50, 0.001, "is your upper end large enough? Double it"),
        case("a generous target", 20 * low, 10, 50, 10, 0.001, "the noise multiplier may be below 1"),
    ]


def _choose_setting(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 135])
    num_seeds = 3 if seed == 0 else int(rng.integers(4, 7))
    budget = 8.0 if seed == 0 else float(np.round(rng.uniform(2, 6), 1))
    top = 0.8 if seed == 0 else float(rng.uniform(0.7, 0.9))
    spread = np.linspace(-0.02, 0.02, num_seeds)
    error = float(np.sqrt((spread**2).sum() / (num_seeds - 1) / num_seeds))

    def case(name, settings, wanted, hint, *, at):
        # settings: (epsilon, mean accuracy); `at` says where the wanted one comes to stand
        rest = [s for i, s in enumerate(settings) if i != wanted]
        rest = [rest[i] for i in rng.permutation(len(rest))]
        if wanted is not None:
            rest.insert(at, settings[wanted])
        epsilons = [float(epsilon) for epsilon, _ in rest]
        accuracies = np.array([mean + rng.permutation(spread) for _, mean in rest])
        answer = -1 if wanted is None else at
        return Case(name, (epsilons, accuracies, budget), equal(answer), visible(answer, seed, "a row number"), hint)

    first, second = (1, 2) if seed == 0 else (0, 3) if seed % 2 else (2, 0)
    plain = [(budget, top), (budget / 2, top - 4 * error), (budget / 8, top - 9 * error)]
    no_noise = [(float("inf"), top + 5 * error), (2 * budget, top + 3 * error)]
    close = [(budget / 2, top), (budget / 4, top - error / 2), (budget / 8, top - 3 * error)]
    below = [(budget, top), (budget / 2, top - error / 2), (budget / 3, top - 0.9 * error)]
    return [
        case("the best is affordable", plain + no_noise[:1], 0, "the budget itself may be spent", at=first),
        case(
            "the best is too dear", no_noise + close[:1] + plain[2:], 2, "look at the affordable ones only", at=second
        ),
        case(
            "as good as the best",
            close + no_noise,
            1,
            "which ones are within one standard error of the best?",
            at=first,
        ),
        case("two as good as the best", below + no_noise, 2, "of those, who needs the smallest epsilon?", at=second),
        case("nothing is affordable", no_noise, None, "then the answer is -1", at=0),
    ]


EXERCISES = [
    Exercise(id=f"13.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        (
            "attack_limit",
            4,
            "What no attack can exceed",
            weighted(
                _attack_limit,
                {"epsilon 0": 0, "nobody accused wrongly": 0, "a huge epsilon, nobody accused wrongly": 0},
            ),
        ),
        ("compose_epsilon", 3, "Round after round", weighted(_compose_epsilon, {"no round yet": 0})),
        ("sampled_epsilon", 5, "What sampling gives", weighted(_sampled_epsilon, {"nobody, ever": 0.5})),
        ("noise_for", 4, "Noise for a target", _noise_for),
        ("choose_setting", 4, "Choose a setting", weighted(_choose_setting, {"nothing is affordable": 0})),
    ]
]
