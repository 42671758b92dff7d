"""How one function is judged against the cases of an exercise."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedlearn_edu.course.checks.compare import difference
from fedlearn_edu.course.checks.data import NotDataError, answer_digest, describe, to_data
from fedlearn_edu.course.checks.exercise import Case, Exercise, Problem
from fedlearn_edu.course.checks.raised import help_with, one_line, where_raised
from fedlearn_edu.errors import UsageError, nearest_names

STATUSES = ("todo", "failed", "passed")
PARTIAL = ("cases", "half", "none")  # what is earned while not all cases are right, see `score`
_ORDINALS = ("first", "second", "third", "fourth")


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """How one case went; all that is shown of it is short text.

    Attributes:
      name: The case's name.
      passed: Whether it was right.
      given: The arguments, shortened.
      expected: The case's expectation.
      got: What came back, or which error was raised.
      problem: One line that says what is wrong; empty if it passed.
      hint: A hint for this mistake, or else the case's; empty if it passed.
      todo: The function is not written yet for this case (NotImplementedError).
      answer: What came back, as `data.answer_digest` tells it from others; empty if it did not pass.
      weight: The case's weight.
    """

    name: str
    passed: bool
    given: str
    expected: str
    got: str
    problem: str = ""
    hint: str = ""
    todo: bool = False
    answer: str = dataclasses.field(default="", repr=False)
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What a check says: status, points and cases; shows itself as text and in a notebook.

    Attributes:
      exercise_id: Such as "03.weighted_mean".
      title: The exercise's title.
      status: "todo" (not written yet), "failed" or "passed".
      points: Points earned, rounded to two digits; see `score`.
      possible: Points for all cases right.
      cases: One `CaseResult` per case.
      message: One line about the whole, such as an unknown id, or how the points came about.
    """

    exercise_id: str
    title: str
    status: str
    points: float
    possible: int
    cases: tuple[CaseResult, ...] = ()
    message: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def __str__(self) -> str:
        from fedlearn_edu.course.checks.view import result_text

        return result_text(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from fedlearn_edu.course.checks.view import result_html

        return result_html(self)


def judge(case: Case, returned: Any, *, given: str | None = None) -> CaseResult:
    """Judges what a function returned for a case; never raises.

    Args:
      case: The case.
      returned: What came back; anything, but only plain data can pass.
      given: The arguments as text; shortened from the case if None.

    Returns:
      The result of this case.
    """
    try:
        data = to_data(returned)
    except NotDataError as error:
        return fail(case, got=f"{type(returned).__name__}", problem=f"returned {error}", given=given)
    except Exception as error:  # an object that only looks like data
        return fail(
            case, got=type(returned).__name__, problem=f"returned no plain data ({one_line(error)})", given=given
        )
    shown = describe(data)
    problem = _verdict(case.verify, data)
    if problem is None:
        given = _given(case) if given is None else given
        return CaseResult(case.name, True, given, case.expected, shown, answer=answer_digest(data), weight=case.weight)
    if data is None:
        problem = "the function returned None: is a `return` missing?"
    elif (position := _unchanged(case, data)) is not None:
        problem = Problem(problem, hint=f"what came back equals the {_ORDINALS[position]} argument; {case.hint}")
    return fail(case, got=shown, problem=problem, given=given)


def _unchanged(case: Case, data: Any) -> int | None:
    """Which of the first arguments came back as it was; single values are too often equal by chance."""
    for position, argument in enumerate(case.arguments[: len(_ORDINALS)]):
        some = argument.size > 1 if isinstance(argument, np.ndarray) else isinstance(argument, list | tuple | dict)
        compared = functools.partial(difference, expected=argument, tolerance=1e-9)
        if some and len(argument) and _verdict(compared, data) is None:
            return position
    return None


def _verdict(verify: Callable, data: Any) -> str | None:
    try:
        return verify(data)
    except Exception as error:
        return f"the result could not be compared with what was expected ({one_line(error)})"


def tell_apart(cases: Sequence[Case], answers: Sequence[Any], results: Sequence[CaseResult]) -> list[CaseResult]:
    """Gives the right answers one digest if one of them is right for all those cases: they are the same to the checks.

    Numbers that differ by less than a check's tolerance would otherwise pass for different answers.

    Args:
      cases: All cases; call this when all are judged, as a case may remember what came back for the one before it.
      answers: What came back, as plain data; None where nothing did.
      results: What `judge` or `fail` said of each.

    Returns:
      The results; all of them as they were if every case passed, as nothing depends on it then.
    """
    right = [number for number, result in enumerate(results) if result.passed and result.weight]
    if not all(result.passed for result in results) and any(
        all(_verdict(cases[other].verify, answers[number]) is None for other in right) for number in right
    ):
        same = results[right[0]].answer
        return [dataclasses.replace(r, answer=same) if n in right else r for n, r in enumerate(results)]
    return list(results)


def fail(case: Case, *, got: str, problem: str, given: str | None = None, todo: bool = False) -> CaseResult:
    """Returns a failed result of `case`, for what never came back: an error, a time limit, a crash."""
    given = _given(case) if given is None else given
    hint = getattr(problem, "hint", "") or case.hint
    return CaseResult(case.name, False, given, case.expected, got, str(problem), hint, todo, weight=case.weight)


def score(
    exercise: Exercise, results: Sequence[CaseResult], *, message: str = "", partial: str = "cases"
) -> CheckResult:
    """Adds up the cases of an exercise: all right is "passed", all still to write is "todo", else "failed".

    All right earns all points. Otherwise a function is wrong somewhere, and what it gets right counts for little. A
    function that returns the same value whatever it is given is right wherever that value happens to be expected (the
    empty list, None for "refused"). So one right answer alone earns nothing: points begin with a second, other one.

    Args:
      exercise: The exercise.
      results: One for each case.
      message: One line about the whole; if empty, how the points came about.
      partial: What is earned if not all cases are right: "cases" = the share of right cases, by their weights, of a
        quarter of the points; "half" = half of the points if the right cases have at least half of the weight, else
        nothing; "none" = nothing.

    Returns:
      Status, points and message, with `results` as they are.

    Raises:
      UsageError: There is no such `partial`.
    """
    if partial not in PARTIAL:
        raise UsageError(f"partial: {nearest_names(partial, PARTIAL)}")
    if results and all(result.passed for result in results):
        status, share, why = "passed", 1.0, ""
    else:
        status = "todo" if results and all(result.todo for result in results) else "failed"
        share, why = _part(results, partial)
    points = round(exercise.points * share, 2)
    return CheckResult(exercise.id, exercise.title, status, points, exercise.points, tuple(results), message or why)


def _part(results: Sequence[CaseResult], partial: str) -> tuple[float, str]:
    """Which share of the points is earned where not all is right, and why, in a few words for the learner."""
    right = [result for result in results if result.passed]
    if not right:
        return 0.0, ""
    told = f"{len(right)} of {len(results)} cases right"
    if partial == "none":
        return 0.0, f"{told}: points come when all are"
    counting = [result for result in right if result.weight]
    if not counting:
        return 0.0, f"{told}, which nearly any function gets right: no points yet"
    if len({result.answer for result in counting}) == 1:
        return 0.0, f"{told}: points begin with two different right answers; one alone could be had without looking"
    share = sum(result.weight for result in counting) / sum(result.weight for result in results)
    if partial == "cases":
        return share / 4, f"{told}: at most a quarter of the points until all are"
    if share < 0.5:
        return 0.0, f"{told}: points begin with half of them"
    return 0.5, f"{told}: half of the points until all are"


def check_function(exercise: Exercise, function: Any, *, seed: int = 0) -> CheckResult:
    """Calls `function` on every case of `exercise`, in this process; never raises, except for the learner's own Stop.

    Args:
      exercise: What is checked.
      function: The learner's function; None or a name not yet written counts as todo.
      seed: Which variant of the cases; 0 is what learners see.

    Returns:
      Status, points and one result per case.
    """
    if function is None or function is Ellipsis:
        return CheckResult(exercise.id, exercise.title, "todo", 0.0, exercise.points)
    if not callable(function):
        message = (
            f"expected the function itself, got {describe(function, limit=60)}; "
            f'write check("{exercise.id}", {exercise.function_name}) without calling it'
        )
        return score(exercise, (), message=message)
    cases = exercise.cases(seed)
    answers, results = zip(*[_run(case, function) for case in cases], strict=True) if cases else ((), ())
    return score(exercise, tell_apart(cases, answers, results))


def _run(case: Case, function: Callable) -> tuple[Any, CaseResult]:
    """Returns what came back, as plain data if it is right, and what is to be said of it."""
    given = _given(case, function)
    try:
        returned = function(*copy.deepcopy(case.arguments))
    except KeyboardInterrupt:
        raise  # the learner pressed Stop: the traceback shows where the function was
    except NotImplementedError:
        return None, fail(case, got="not written yet", problem="raises NotImplementedError", given=given, todo=True)
    except BaseException as error:  # sys.exit() in an answer must not end the notebook's check
        problem = Problem(where_raised(error, function), hint=help_with(one_line(error)))
        return None, fail(case, got=f"{type(error).__name__}", problem=problem, given=given)
    result = judge(case, returned, given=given)
    return to_data(returned) if result.passed else None, result


def _given(case: Case, function: Callable | None = None) -> str:
    """The arguments as text, with the names that the learner gave them."""
    try:
        names = [f"{name}=" for name in inspect.signature(function).parameters]
    except (TypeError, ValueError):
        names = []
    names += [""] * (len(case.arguments) - len(names))
    return ", ".join(name + describe(value, limit=200) for name, value in zip(names, case.arguments, strict=False))
