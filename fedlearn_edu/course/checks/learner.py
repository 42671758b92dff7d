"""The learner's session: check one exercise, see the table of all."""

from __future__ import annotations

import dataclasses
import dis
import inspect
import types
from typing import Any

from fedlearn_edu.checks import check_count
from fedlearn_edu.course.checks import registry
from fedlearn_edu.course.checks.checking import CheckResult, check_function
from fedlearn_edu.course.checks.data import describe
from fedlearn_edu.errors import UsageError

# The latest visible check of each exercise in this process (a notebook's kernel); a newer one replaces an older one.
_LATEST: dict[str, CheckResult] = {}


def check(exercise_id: str, function: Any = None, *, seed: int = 0) -> CheckResult:
    """Checks your function for one exercise and says what is right, what is wrong, and where to look.

    Your function is called once per case, with copies of the inputs. Nothing you write makes `check` itself fail;
    only Jupyter's Stop ends it early.

    Args:
      exercise_id: Such as "03.weighted_mean".
      function: Your function itself, not called.
      seed: 0 checks the visible cases; any other number checks the same with other inputs, and is not recorded.

    Returns:
      The result: `status` ("todo", "failed" or "passed"), `points`, `possible`, and `cases`.

    Example:
        >>> check("03.no_such_exercise", len).status
        'failed'
    """
    try:
        check_count("seed", seed, least=0)
        exercise = registry.find_exercise(exercise_id)
        result = _with_what_to_mend(check_function(exercise, function, seed=seed), function)
    except UsageError as error:
        return CheckResult(describe(exercise_id, limit=60).strip("'"), "", "failed", 0.0, 0, message=str(error))
    except Exception as error:  # a bug in a check must not look like the learner's
        message = f"this check is broken, not your answer ({type(error).__name__}: {error})"
        return CheckResult(
            describe(exercise_id, limit=60).strip("'"), "", "failed", 0.0, 0, message=" ".join(message.split())
        )
    if seed == 0:
        _LATEST[exercise.id] = result
    return result


def _with_what_to_mend(result: CheckResult, function: Any) -> CheckResult:
    """Says so if a wrong function uses the one of an exercise before it that is wrong, or that is not there."""
    if result.status != "failed" or not inspect.isfunction(function):
        return result
    names = _names_used(function)
    exercises = registry.lesson_exercises(result.exercise_id.split(".")[0]).values()
    lines = []
    for one in exercises:
        if one.id == result.exercise_id or one.function_name not in names:
            continue
        if any(f"name '{one.function_name}' is not defined" in case.problem for case in result.cases):
            lines.append(f"uses {one.function_name} of exercise {one.id}, which is not there: run its cell first")
        elif one.id in _LATEST and not _LATEST[one.id].passed:
            lines.append(f"uses your {one.function_name} ({one.id}), which is not right yet: mend that first")
    return dataclasses.replace(result, message="; ".join(filter(None, [*lines, result.message])))


def _names_used(function: types.FunctionType) -> set[str]:
    """The global names in a function and in those that it calls by name; what only an attribute is called is none."""
    names, todo = set(), [function.__code__]
    while todo:
        code = todo.pop()
        todo += [part for part in code.co_consts if isinstance(part, types.CodeType)]
        used = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
        for name in used - names:
            called = function.__globals__.get(name)
            todo += [called.__code__] if inspect.isfunction(called) else []
        names |= used
    return names


@dataclasses.dataclass(frozen=True)
class Progress:
    """The table of a learner's progress; shows itself as text and in a notebook.

    Attributes:
      results: One result per exercise: the latest, or "todo" if it was not checked yet.
    """

    results: tuple[CheckResult, ...]

    @property
    def points(self) -> float:
        """Points earned so far."""
        return round(sum(result.points for result in self.results), 2)

    @property
    def possible(self) -> int:
        """Points of all exercises in the table."""
        return sum(result.possible for result in self.results)

    def to_frame(self):
        """Returns a pandas DataFrame with columns exercise, title, status, points, possible."""
        import pandas as pd

        rows = [(r.exercise_id, r.title, r.status, r.points, r.possible) for r in self.results]
        return pd.DataFrame(rows, columns=["exercise", "title", "status", "points", "possible"])

    def __str__(self) -> str:
        from fedlearn_edu.course.checks.view import progress_text

        return progress_text(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from fedlearn_edu.course.checks.view import progress_html

        return progress_html(self)


def progress(lesson: str | None = None) -> Progress:
    """Shows how far you are: one row per exercise with its latest status and points.

    Args:
      lesson: A lesson's number such as "03"; None shows the lessons of which you checked something in this session,
        or all if there is none.

    Returns:
      The table; `to_frame()` gives it as a pandas DataFrame.

    Raises:
      UsageError: There is no such lesson.
    """
    if lesson is not None:
        shown = [f"{lesson:02d}" if isinstance(lesson, int) else str(lesson)]
        if shown[0] not in registry.lessons():
            raise UsageError(f"lesson: expected one of {', '.join(registry.lessons())}, got {lesson!r}")
    else:
        shown = sorted({exercise_id.split(".")[0] for exercise_id in _LATEST}) or registry.lessons()
    exercises = [exercise for number in shown for exercise in registry.lesson_exercises(number).values()]
    return Progress(tuple(_LATEST.get(exercise.id) or check_function(exercise, None) for exercise in exercises))


def forget() -> None:
    """Forgets all checks of this session."""
    _LATEST.clear()
