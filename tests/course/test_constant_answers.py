"""A function that never looks at its arguments: what it can earn, on every exercise of the course."""

import copy
import math

import numpy as np
import pytest
from test_exercises import ALL, by_exercise, solution_of

from fedlearn_edu.course.checks.engine import check_function, judge, score

FIXED = [None, True, False, 0, 1, -1, 2, 0.5, math.nan, math.inf, "", [], (), {}, np.zeros(0), [0], [None]]
WIDE = 2**255 + 123  # hidden seeds are as wide as the digest they are taken from


def constants_for(exercise, seed):
    """The usual suspects, and whatever is right for some case of the visible or of this hidden variant."""
    cases = [*exercise.cases(0), *exercise.cases(seed)]
    return FIXED + [solution_of(exercise.id)(*copy.deepcopy(case.arguments)) for case in cases]


@by_exercise
@pytest.mark.parametrize("seed", [1, WIDE])
def test_a_constant_answer_earns_at_most_a_tenth(exercise, seed):
    for constant in constants_for(exercise, seed):
        result = check_function(exercise, lambda *_, constant=constant: copy.deepcopy(constant), seed=seed)
        assert result.points <= 0.1 * exercise.points, f"{constant!r:.80}: {result}"
        assert result.status == "failed"


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
    for constant in constants_for(exercise, WIDE):
        rng = np.random.default_rng(0)
        result = check_function(exercise, lambda *_, constant=constant, rng=rng: shaken(constant, rng), seed=WIDE)
        assert result.points <= 0.1 * exercise.points, f"{constant!r:.80}: {result}"


@by_exercise
def test_seeds_of_full_width_give_other_cases_that_the_solution_passes(exercise):
    assert check_function(exercise, solution_of(exercise.id), seed=WIDE).status == "passed"
    narrow = [str(case.arguments) for case in exercise.cases(WIDE % 2**32)]
    wide = [str(case.arguments) for case in exercise.cases(WIDE)]
    neighbour = [str(case.arguments) for case in exercise.cases(WIDE + 2**200)]
    assert wide != narrow, "only the lowest 32 bits of a seed count"
    assert wide != neighbour, "the highest bits of a seed do not count"


def test_a_right_answer_to_half_of_the_cases_keeps_its_half():
    """The rule is about answers that are all the same, not about answers that are few."""
    for exercise in ALL.values():
        cases = exercise.cases(1)
        solution = solution_of(exercise.id)
        right = [judge(case, solution(*copy.deepcopy(case.arguments))) for case in cases]
        wrong = [judge(case, "nothing like it") for case in cases]
        half = len(cases) // 2 + 1
        kept = score(exercise, [*right[:half], *wrong[half:]])
        different = {result.answer for result in right[:half]}
        if half < len(cases) and len(different) > 1:
            assert kept.points == pytest.approx(exercise.points * half / len(cases), abs=0.01), exercise.id
