"""Functions that hardly look at their arguments: what they can earn, on every exercise of the course."""

import math

import numpy as np
import pytest
from test_exercises import by_exercise, seeds_of, solved, without_what_takes_long  # noqa: F401 (a fixture)

from fedlearn_edu.course.checks.checking import judge, score, tell_apart

FIXED = [None, True, False, 0, 1, -1, 2, 0.5, math.nan, math.inf, "", [], (), {}, np.zeros(0), [0], [None]]
WIDE = 2**255 + 123  # hidden seeds are as wide as the digest they are taken from
# Their cases remember what came back for an earlier one, so that each function needs cases of its own.
REMEMBER = ("00.sample_cohorts", "03.dirichlet_split", "05.hold_out", "11.split_into_shares")


def two_seeds(exercise) -> tuple[int, int]:
    return seeds_of(exercise)[1], WIDE


def solutions_of(exercise) -> list:
    """What is right for each of the hidden cases."""
    return [answer for seed in two_seeds(exercise) for answer in solved(exercise.id, seed)[1]]


def hidden_cases(exercise) -> list:
    """Two hidden variants of all cases together, as in a batch."""
    return [case for seed in two_seeds(exercise) for case in exercise.cases(seed)]


def result_of(exercise, cases, answers):
    """What these answers, one for each case, earn."""
    cases = hidden_cases(exercise) if exercise.id in REMEMBER else cases
    results = [judge(case, answer, given="") for case, answer in zip(cases, answers, strict=True)]
    return score(exercise, tell_apart(cases, answers, results))


def constants_for(exercise) -> list:
    """The usual suspects, and whatever is right for some case of the visible or of these hidden variants."""
    return [*FIXED, *solved(exercise.id, 0)[1], *solutions_of(exercise)]


@by_exercise
def test_a_constant_answer_earns_nothing(exercise):
    cases = hidden_cases(exercise)
    for constant in constants_for(exercise):
        result = result_of(exercise, cases, [constant] * len(cases))
        assert (result.status, result.points) == ("failed", 0), f"{constant!r:.80}: {result}"


def shaken(value, rng):
    """The same numbers but for what a tolerance of 1e-6 forgives."""
    if isinstance(value, list | tuple):
        return type(value)(shaken(item, rng) for item in value)
    if isinstance(value, dict):
        return {key: shaken(item, rng) for key, item in value.items()}
    if isinstance(value, int | float | np.number | np.ndarray) and not isinstance(value, bool):
        return value + rng.uniform(-1e-7, 1e-7, np.shape(value))
    return value


@by_exercise
def test_noise_that_a_tolerance_forgives_makes_no_other_answer(exercise):
    cases = hidden_cases(exercise)
    for constant in constants_for(exercise):
        rng = np.random.default_rng(0)
        result = result_of(exercise, cases, [shaken(constant, rng) for _ in cases])
        assert result.points == 0, f"{constant!r:.80}: {result}"


def filled(value, number):
    """The same structure with one number everywhere, or None if there are texts or truths in it."""
    if isinstance(value, list | tuple):
        return type(value)(filled(item, number) for item in value)
    if isinstance(value, dict):
        return {key: filled(item, number) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        return np.full(value.shape, number)
    return number if isinstance(value, int | float | np.number) and not isinstance(value, bool) else None


def hardly_looks(exercise) -> dict:
    """Functions by name that give back an argument or a piece of it, or that size with the same number everywhere."""
    found = {}
    for place, name in enumerate(exercise.parameters):
        found[name] = lambda *arguments, place=place: arguments[place]
        found[f"{name}[0]"] = lambda *arguments, place=place: arguments[place][0]
        found[f"{name}[-1]"] = lambda *arguments, place=place: arguments[place][-1]
        for number in (0.0, 1.0, math.nan):
            found[f"{name} filled with {number}"] = lambda *arguments, place=place, number=number: filled(
                arguments[place], number
            )
    return found


@by_exercise
def test_an_argument_given_back_or_zeros_earn_nothing(exercise):
    cases = hidden_cases(exercise)
    for name, function in hardly_looks(exercise).items():
        answers = []
        for case in cases:
            try:
                answers.append(function(*case.arguments))
            except (TypeError, IndexError, KeyError):
                answers.append("no such piece")
        result = result_of(exercise, cases, answers)
        assert (result.status, result.points) == ("failed", 0), f"{name}: {result}"


@by_exercise
def test_the_right_structure_filled_with_a_number_earns_nothing(exercise):
    cases = hidden_cases(exercise)
    right = solutions_of(exercise)
    for number in (0.0, 1.0, math.nan):
        result = result_of(exercise, cases, [filled(answer, number) for answer in right])
        assert (result.status, result.points) == ("failed", 0), f"{number}: {result}"


@by_exercise
def test_seeds_of_full_width_give_other_cases_that_the_solution_passes(exercise):
    assert solved(exercise.id, WIDE)[0].status == "passed"
    narrow, wide, neighbour = (
        [repr(case.arguments) for case in exercise.cases(seed)] for seed in (WIDE % 2**32, WIDE, WIDE + 2**200)
    )
    assert wide != narrow, "only the lowest 32 bits of a seed count"
    assert wide != neighbour, "the highest bits of a seed do not count"


@by_exercise
def test_right_answers_to_some_cases_earn_something(exercise):
    """The rule is about answers that are all the same, not about answers that are few."""
    cases = hidden_cases(exercise)
    right = solutions_of(exercise)
    half = len(cases) // 2
    counting = {str(answer) for case, answer in zip(cases, right[:half], strict=False) if case.weight}
    result = result_of(exercise, cases, [*right[:half], *["nothing like it"] * (len(cases) - half)])
    assert result.status == "failed"
    if len(counting) > 1:
        assert result.points == pytest.approx(exercise.points / 8, abs=0.01), "half of a quarter"
