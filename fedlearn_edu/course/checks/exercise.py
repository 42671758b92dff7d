"""What an exercise is: a function to write, its cases, and answers to it that are known to be wrong."""

from __future__ import annotations

import ast
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from fedlearn_edu.course.checks.data import describe
from fedlearn_edu.errors import UsageError

_EXERCISE_ID = re.compile(r"\d\d\.[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of the learner's function and how its result is judged.

    Attributes:
      name: Shown to the learner, such as "clients of different sizes".
      arguments: Positional arguments: plain data only (see `data.to_data`). Each call gets its own deep copy.
      verify: Gets what came back, as plain data; returns None if it is right, else one line that says what is wrong
        without giving the answer away (a `Problem` if it knows a better hint than the case's own). An exception in it
        counts as wrong.
      expected: For the feedback, such as "about 0.25" or "shape (3,)"; may give the value of a visible case.
      hint: One hint that does not give the answer away; shown unless the problem brings its own.
      weight: What the case counts for while not all are right, at least 0. 0 = trivial: what a function gets right that
        does next to nothing, such as a client that learned nothing.
    """

    name: str
    arguments: tuple
    verify: Callable[[Any], str | None]
    expected: str
    hint: str
    weight: float = 1.0

    def __post_init__(self):
        if not 0 <= self.weight < math.inf:
            raise UsageError(f"Case {self.name!r} weight: expected a number of at least 0, got {self.weight}")


def visible(value: Any, seed: int, otherwise: str) -> str:
    """Returns a text for `Case.expected`: the value itself in the cases that learners see, else what it is like."""
    return describe(value, limit=200) if seed == 0 else otherwise


class Problem(str):
    """What is wrong, in one line, with a hint for this very mistake.

    Attributes:
      hint: Shown in place of the case's hint; empty if the case's own fits.
    """

    __slots__ = ("hint",)

    def __new__(cls, text: str, *, hint: str = ""):
        self = super().__new__(cls, text)
        self.hint = hint
        return self


def weighted(cases: Callable[[int], list[Case]], weights: Mapping[str, float]) -> Callable[[int], list[Case]]:
    """Gives some cases of an exercise another weight than 1.

    Args:
      cases: As in `Exercise`.
      weights: Name of a case to its weight, at least 0.

    Returns:
      The same for `Exercise.cases`. It raises a UsageError if there is no case of such a name, or for a weight below 0.
    """

    @functools.wraps(cases)
    def with_weights(seed: int) -> list[Case]:
        found = cases(seed)
        if unknown := weights.keys() - {case.name for case in found}:
            raise UsageError(f"weights: expected names of cases, got {', '.join(sorted(unknown))}")
        return [dataclasses.replace(case, weight=weights.get(case.name, case.weight)) for case in found]

    return with_weights


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One function that a learner writes, and what it is worth.

    Attributes:
      id: Lesson number, dot, name of the function: "03.weighted_mean".
      points: Whole points for all cases right.
      title: A few words, shown in the feedback and in the table of progress.
      cases: cases(seed) returns the cases. Seed 0 is what learners see; every other seed is a hidden variant of the
        same cases with other numbers and shapes.
      wrong_answers: Name to source text of stored, plausible, wrong functions (at least two). The tests prove that
        each fails. They may use what the solution's notebook imports, and `np`.
    """

    id: str
    points: int
    title: str
    cases: Callable[[int], list[Case]]
    wrong_answers: dict[str, str]

    def __post_init__(self):
        if not _EXERCISE_ID.fullmatch(self.id):
            raise UsageError(f"Exercise id: expected '03.function_name', got {self.id!r}")
        if isinstance(self.points, bool) or not isinstance(self.points, int) or self.points < 1:
            raise UsageError(f"Exercise {self.id} points: expected a whole number above 0, got {self.points!r}")
        if len(self.wrong_answers) < 2:
            raise UsageError(f"Exercise {self.id} wrong_answers: expected at least 2, got {len(self.wrong_answers)}")

    @property
    def lesson(self) -> str:
        """The lesson's number: "03"."""
        return self.id.split(".")[0]

    @property
    def function_name(self) -> str:
        """The name of the function that the learner writes."""
        return self.id.split(".")[1]

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the function's parameters, in order: those of a wrong answer's `def`; empty if none defines it."""
        statements = (node for text in self.wrong_answers.values() for node in ast.parse(text).body)
        for node in statements:
            if isinstance(node, ast.FunctionDef) and node.name == self.function_name:
                return tuple(argument.arg for argument in [*node.args.posonlyargs, *node.args.args])
        return ()
