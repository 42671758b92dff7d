"""Judges what came back from a guarded process: frames that nobody vouches for -> marks."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
from collections.abc import Callable, Sequence

from fedlearn_edu.course.checks.checking import PARTIAL, Case, CaseResult, Exercise, fail, judge, score, tell_apart
from fedlearn_edu.course.checks.data import describe
from fedlearn_edu.course.checks.exercise import Problem
from fedlearn_edu.course.checks.raised import help_with
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.limited import run_limited
from fedlearn_edu.course.grading.sandbox import Outcome
from fedlearn_edu.course.grading.text import clean

_JUDGE_SECONDS = 10  # for all cases of an exercise together
_JUDGE_BYTES = 2**30
_NO_PYTHON = "syntax error"
STATUSES = (
    "passed", "failed", "todo", "missing", "timeout", "memory", "processes", "crashed", "unreadable", "ungraded",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mark:
    """What one student gets for one exercise.

    Attributes:
        exercise_id: Such as "03.weighted_mean".
        title: The exercise's title.
        status: One of `STATUSES`; "ungraded" means that the grader failed, not the student.
        points: Points earned on the hidden cases, see `checking.score`.
        max_points: Points for all cases right.
        message: One line about the whole.
        cases: For the feedback, one dict per case: name, passed, given, got, problem, hint, weight (marks of an earlier
            release have none: it was 1); "arguments" is what was given as [name, text] pairs, and "answered" is False
            where nothing came back.
        override: Why the teacher set these points by hand, or "".
        earned: How the points came about, such as "2 of 4 cases right: ..."; "" where all or none are.
        seconds: How long the function ran, 0 if it did not.
        follows: The exercises, if any, whose functions this one calls and which are not right themselves.
        by_rule: Where only some cases are right: (rule, points, how they came about) for each of `checking.PARTIAL`, so
            that another rule needs no other run.
    """

    exercise_id: str
    title: str
    status: str
    points: float
    max_points: int
    message: str = ""
    cases: tuple[dict, ...] = ()
    override: str = ""
    earned: str = ""
    seconds: float = dataclasses.field(default=0.0, compare=False)  # two runs of one answer are equal
    follows: tuple[str, ...] = ()
    by_rule: tuple[tuple[str, float, str], ...] = ()

    def under(self, partial: str) -> Mark:
        """The mark under one of the rules of `checking.PARTIAL`."""
        found = next((rest for rule, *rest in self.by_rule if rule == partial), None)
        return dataclasses.replace(self, points=found[0], earned=found[1]) if found else self

    @property
    def is_owed(self) -> bool:
        """Whether nobody has graded it yet: the grader could not, and the teacher did not."""
        return self.status == "ungraded" and not self.override


def empty_mark(exercise: Exercise, status: str, message: str) -> Mark:
    """No points, and why."""
    return Mark(exercise.id, exercise.title, status, 0.0, exercise.points, clean(message))


def mark(
    exercise: Exercise,
    cases: Sequence[Case],
    outcome: Outcome,
    *,
    timeout: float,
    memory_gb: float,
) -> Mark:
    """Compares what came back with what was expected.

    What a learner sends may be made to cost the reader its life: it is read, decoded and judged in a limited child, and
    what that child did not get to is wrong.

    Args:
        exercise: The exercise.
        cases: The hidden cases that the process was given, in order.
        outcome: What the process did.
        timeout: Seconds that it had, for the message.
        memory_gb: GiB that it had, for the message.

    Returns:
        The mark under the first rule of `checking.PARTIAL`; `Mark.under` makes that of another.

    Raises:
        OSError: The system gives no process for the child.
    """
    if not outcome.started:
        return empty_mark(exercise, "ungraded", f"the grader could not start: {outcome.detail}")
    work = functools.partial(judge_frames, exercise, cases, outcome)
    parts, _ = run_limited(work, cpu_seconds=_JUDGE_SECONDS, memory_bytes=_JUDGE_BYTES)
    answered, notes, missing, where = parts[0] if parts else (list(range(len(cases))), [], "", "")
    if missing:
        # What stands there and cannot be read by Python is written, and wrong.
        status = "failed" if missing.startswith(_NO_PYTHON) else "missing"
        return empty_mark(exercise, status, "; ".join([missing, *notes[:1]]))
    status, ending = _ending(outcome, timeout, memory_gb)
    if status == "timeout" and where:
        ending = f"{ending} (it was in {where})"
    too_much = "the result is too large to be compared"
    results = [
        fail(case, got="too much", problem=too_much) if n in answered else fail(case, got="nothing", problem=ending)
        for n, case in enumerate(cases)
    ]
    for number, fields in parts[1:]:
        results[number] = CaseResult(**fields)
    total, *others = [score(exercise, results, partial=rule) for rule in PARTIAL]
    wrong = [result for result in results if not result.passed]
    message = ending if len(answered) < len(cases) else wrong[0].problem if wrong else ""
    if total.status != "failed":
        status = total.status
        message = "" if total.passed else "not written yet"
    elif len(answered) == len(cases):
        status = "memory" if any("MemoryError" in result.problem for result in wrong) else "failed"
    if status not in ("passed", "todo") and notes:
        message = f"{message}; {notes[0]}"
    rows = tuple(
        _row(result) | {"answered": n in answered, "arguments": _arguments(exercise, cases[n])}
        for n, result in enumerate(results)
    )
    scored = (status, total.points, exercise.points)
    made = Mark(exercise.id, exercise.title, *scored, clean(message), rows, earned=clean(total.message))
    if not total.message:
        return made
    found = zip(PARTIAL, [total, *others], strict=True)
    return dataclasses.replace(made, by_rule=tuple((rule, one.points, clean(one.message)) for rule, one in found))


def judge_frames(exercise: Exercise, cases: Sequence[Case], outcome: Outcome, send: Callable[[list], None]) -> None:
    """Reads what came back and sends on what it says; call it only where time and memory have limits.

    Args:
        exercise: The exercise.
        cases: Its cases.
        outcome: What came back.
        send: Gets at first [numbers of the answered cases, notes, what is missing or "", where the code was when its
            time ran out or ""], then [number, fields of its `CaseResult`] for each of them; what comes later for a
            number counts.
    """
    frames = outcome.frames
    answers = {}
    for frame in frames:
        number = frame.get("case")
        if type(number) is int and 0 <= number < len(cases):
            answers.setdefault(number, frame)
    notes = [clean(text) for frame in frames for text in _texts(frame.get("problems"))]
    missing = next((frame for frame in frames if "missing" in frame), None)
    if missing is not None and not answers:
        if not isinstance(missing.get("syntax"), str):
            notes += [clean(text) for text in _texts(frames[0].get("started"))[:1]]
        send([[], notes[:1], _missing_message(exercise, missing), ""])
        return
    where = [frame["where"] for frame in frames if isinstance(frame.get("where"), str)]
    send([sorted(answers), notes[:1], "", clean(where[-1], limit=120) if where else ""])
    values, results = [None] * len(cases), [fail(case, got="nothing", problem="no answer") for case in cases]
    for number in sorted(answers):
        values[number], results[number] = _judged(cases[number], answers[number])
        send([number, dataclasses.asdict(results[number])])
    for number, result in enumerate(tell_apart(cases, values, results)):
        if result is not results[number]:
            send([number, dataclasses.asdict(result)])


def _texts(value) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _missing_message(exercise: Exercise, frame: dict) -> str:
    if isinstance(frame.get("syntax"), str):
        return f"{_NO_PYTHON}: mend {clean(frame['syntax'], limit=200)}"
    if isinstance(frame.get("kind"), str):
        return f"{exercise.function_name} is not a function ({clean(frame['kind'], limit=40)})"
    near = ", ".join(_texts(frame.get("missing"))[:3])
    return f"no function named {exercise.function_name}" + (f"; found {near}" if near else "")


def _ending(outcome: Outcome, timeout: float, memory_gb: float) -> tuple[str, str]:
    match outcome.ending:
        case "timeout":
            return "timeout", _timeout(timeout)
        case "memory":
            return "memory", f"used more than {memory_gb:g} GiB of memory"
        case "processes":
            return "processes", "started too many processes"
        case "files":
            return "failed", "wrote too many or too large files"
        case "output":
            return "failed", "the answers are too large"
    # The second: a program that took the place of ours, and does not know what to do with the runner's alarm.
    if outcome.exit_code in (128 + signal.SIGXCPU, 128 + signal.SIGALRM):
        return "timeout", _timeout(timeout)
    reason = f"exit code {outcome.exit_code}"
    if outcome.exit_code > 128:
        with contextlib.suppress(ValueError):
            reason = signal.Signals(outcome.exit_code - 128).name
    return "crashed", f"the process ended before it answered ({reason})"


def _timeout(seconds: float) -> str:
    return f"no answer within {seconds:g} s: is there a loop that never ends?"


def _judged(case: Case, frame: dict) -> tuple[object, CaseResult]:
    """What came back, if it is plain data, and what is to be said of it."""
    if frame.get("todo") is True:
        return None, fail(case, got="not written yet", problem="raises NotImplementedError", todo=True)
    if isinstance(frame.get("not_data"), str):
        return None, fail(case, got="no plain data", problem=f"returned {clean(frame['not_data'])}")
    if isinstance(frame.get("error"), str):
        problem = clean(frame["error"])
        return None, fail(case, got="an error", problem=Problem(problem, hint=help_with(problem)))
    try:
        if "value" not in frame:
            raise wire.WireError("nothing")
        value = wire.decode(frame["value"])
    except (wire.WireError, ValueError, TypeError, MemoryError, RecursionError):
        return None, fail(case, got="no plain data", problem="what came back is no plain data")
    try:
        return value, judge(case, value)
    except MemoryError:
        return None, fail(case, got="too much", problem="the result is too large to be compared")


def _row(result: CaseResult) -> dict:
    fields = ("name", "given", "got", "problem", "hint")
    texts = {field: clean(getattr(result, field)) for field in fields}
    return texts | {"passed": result.passed, "weight": result.weight}


def _arguments(exercise: Exercise, case: Case) -> list[list[str]]:
    """What a case gives to the function, by the names of its parameters."""
    names = exercise.parameters
    return [
        [names[n] if n < len(names) else f"argument {n + 1}", clean(describe(value, limit=200))]
        for n, value in enumerate(case.arguments)
    ]
