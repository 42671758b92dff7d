"""How one function is judged against the cases of an exercise."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from fedlearn_edu.course.checks.data import NotDataError, answer_digest, describe, to_data
from fedlearn_edu.course.checks.exercise import Case, Exercise

STATUSES = ("todo", "failed", "passed")


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
      hint: The case's hint; empty if it passed.
      todo: The function is not written yet for this case (NotImplementedError).
      answer: What came back, as `data.answer_digest` tells it from others; empty if it did not pass.
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


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What a check says: status, points and cases; shows itself as text and in a notebook.

    Attributes:
      exercise_id: Such as "03.weighted_mean".
      title: The exercise's title.
      status: "todo" (not written yet), "failed" or "passed".
      points: Points earned: the share of cases that passed, times `possible`, rounded to two digits; 0 if all that
        passed had one and the same answer, which is what a function gets that never looks at its arguments.
      possible: Points for all cases right.
      cases: One `CaseResult` per case.
      message: One line about the whole, such as an unknown id; mostly empty.
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
            case, got=type(returned).__name__, problem=f"returned no plain data ({_one_line(error)})", given=given
        )
    shown = describe(data)
    problem = _verdict(case, data)
    if problem is None:
        given = _given(case) if given is None else given
        return CaseResult(case.name, True, given, case.expected, shown, answer=answer_digest(data))
    if data is None:
        problem = "the function returned None: is a `return` missing?"
    return fail(case, got=shown, problem=problem, given=given)


def _verdict(case: Case, data: Any) -> str | None:
    try:
        return case.verify(data)
    except Exception as error:
        return f"the result could not be compared with what was expected ({_one_line(error)})"


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
    right = [number for number, result in enumerate(results) if result.passed]
    if len(right) < len(results) and any(
        all(_verdict(cases[other], answers[number]) is None for other in right) for number in right
    ):
        same = results[right[0]].answer
        return [dataclasses.replace(result, answer=same) if result.passed else result for result in results]
    return list(results)


def fail(case: Case, *, got: str, problem: str, given: str | None = None, todo: bool = False) -> CaseResult:
    """Returns a failed result of `case`, for what never came back: an error, a time limit, a crash."""
    given = _given(case) if given is None else given
    return CaseResult(case.name, False, given, case.expected, got, problem, case.hint, todo)


def score(exercise: Exercise, results: Sequence[CaseResult], *, message: str = "") -> CheckResult:
    """Adds up the cases of an exercise: all right is "passed", all still to write is "todo", else "failed".

    A function that returns the same value whatever it is given is right wherever that value happens to be expected (the
    empty list, None for "refused"). So one right answer alone earns nothing: points begin with a second, other one.
    """
    num_passed = sum(result.passed for result in results)
    if results and num_passed == len(results):
        status = "passed"
    elif results and all(result.todo for result in results):
        status = "todo"
    else:
        status = "failed"
    if status == "failed" and num_passed and len({result.answer for result in results if result.passed}) == 1:
        message = message or "points begin with two different right answers: one alone could be had without looking"
        num_passed = 0
    points = round(exercise.points * num_passed / max(len(results), 1), 2)
    return CheckResult(exercise.id, exercise.title, status, points, exercise.points, tuple(results), message)


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
        return None, fail(case, got=f"{type(error).__name__}", problem=_where(error, function), given=given)
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


def _one_line(error: BaseException) -> str:
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    message = message if len(message) <= 200 else message[:197] + "..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _where(error: BaseException, function: Callable) -> str:
    """The error in one line, with the line of the learner's own code that it came from."""
    text = f"raised {_one_line(error)}"
    code = getattr(function, "__code__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    if not frames:
        return text
    line = f", line {frames[-1].lineno}"
    source = f": {frames[-1].line}" if frames[-1].line else ""
    return f"{text} (in {frames[-1].name}{line}{source})"
