"""Names a student's mistake: which of the exercise's stored wrong answers goes wrong in the same cases and ways?"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.course.checks.checking import Case, CaseResult, Exercise, check_function
from fedlearn_edu.course.grading.limited import run_limited
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.text import clean

_CPU_SECONDS = 10  # for the stored wrong answers of one exercise together
_MEMORY_BYTES = 2**30
_PLACE = re.compile(r" \((?:it was )?in .*$")
_ARRAY_KIND = re.compile(r", (?:single|\d+(?:x\d+)*) [a-z]+\d*\)")
_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?|nan|inf")
_TOLERANCE = 2e-3  # between numbers as they are shown: arrays with four digits, floats with six


@dataclasses.dataclass(frozen=True)
class _Trace:
    """How one case went: what is compared. `got` is None where the same code gives something else each time."""

    passed: bool
    problem: str
    got: str | None


def name_mistakes(
    exercises: Mapping[str, Exercise],
    make_cases: Mapping[str, Callable[[], Sequence[Case]]],
    marks: Mapping[str, Sequence[Mark]],
    *,
    progress: bool = False,
) -> dict[tuple[str, str], str]:
    """Finds the stored wrong answer that behaves as a student's function did.

    Two functions behave alike if they are right and wrong in the same cases, with the same words on what is wrong, and
    if most of what they returned shows the same numbers. Only what grading has noted is looked at: nothing of a
    learner's is run. The stored answers, which are ours, run on the hidden cases in a child with limits, once per
    exercise that somebody failed.

    Args:
        exercises: By id.
        make_cases: By id, makes the hidden cases that the marks came from.
        marks: By student.
        progress: Whether to show a progress bar.

    Returns:
        Names of mistakes, such as "flipped sign", by (student, exercise id); nothing where none fits. Where two
        fit equally well it is "this or that".
    """
    failed = [(student, mark) for student, row in marks.items() for mark in row if mark.status == "failed"]
    ids = [id for id in make_cases if any(mark.exercise_id == id for _, mark in failed)]
    known = {
        id: _stored(exercises[id], make_cases[id])
        for id in progress_bar(ids, desc="naming mistakes", unit="exercise", delay=0.5, disable=not progress)
    }
    named = {(student, m.exercise_id): _nearest(m.cases, known.get(m.exercise_id, {})) for student, m in failed}
    return {key: name for key, name in named.items() if name}


def _stored(exercise: Exercise, make_cases: Callable[[], Sequence[Case]]) -> dict[str, list[_Trace]]:
    """How each stored wrong answer fares; those that cannot be run here, or not in time, are left out."""

    def work(send) -> None:
        warnings.simplefilter("ignore")  # wrong answers divide by zero
        for name, text in exercise.wrong_answers.items():
            namespace = _furniture(text)
            try:
                exec(text, namespace)  # ours, from the course's own files
            except Exception:
                continue
            trial = dataclasses.replace(exercise, cases=lambda seed: list(make_cases()))
            first, second = (check_function(trial, namespace.get(exercise.function_name)).cases for _ in range(2))
            if any("NameError" in case.problem for case in first):
                continue  # it needs what only the solution's notebook has
            send([name, [_trace(one, other) for one, other in zip(first, second, strict=True)]])

    try:
        sent, _ = run_limited(work, cpu_seconds=_CPU_SECONDS, memory_bytes=_MEMORY_BYTES)
    except (OSError, RuntimeError):
        return {}  # a name for a mistake is worth no batch
    return {name: [_Trace(*trace) for trace in traces] for name, traces in sent}


def _furniture(text: str) -> dict:
    """What stored wrong answers may use: the imports of the course's exercise notebooks."""
    # The package as a whole is above this room; the notebooks call it `fl`.
    namespace = {"np": np, "fl": sys.modules[__name__.partition(".")[0]]}
    if re.search(r"\b(gammaln|logsumexp|xlogy)\b", text):
        from scipy.special import gammaln, logsumexp, xlogy

        namespace |= {"gammaln": gammaln, "logsumexp": logsumexp, "xlogy": xlogy}
    return namespace


def _trace(one: CaseResult, other: CaseResult) -> list:
    got = clean(one.got) if one.got == other.got else None
    return [one.passed, without_place(one.problem), got]


def without_place(text: str) -> str:
    """The words on what is wrong, without cell and line: these differ from notebook to notebook.

    Example:
        >>> without_place("raised KeyError: 'a' (in largest, code cell 3, line 2); code cell 4 raised NameError")
        "raised KeyError: 'a'"
    """
    return _PLACE.sub("", clean(text))


def _nearest(cases: Sequence[Mapping], known: Mapping[str, Sequence[_Trace]]) -> str:
    agreement = {name: _agreement(cases, traces) for name, traces in known.items()}
    best = max(agreement.values(), default=0.0)
    names = [name for name, value in agreement.items() if value == best]
    return " or ".join(names) if best > 0.5 and len(names) <= 2 else ""


def _agreement(cases: Sequence[Mapping], traces: Sequence[_Trace]) -> float:
    """The share of wrong cases in which the same came back; 0 if they are not wrong alike."""
    if len(cases) != len(traces):
        return 0.0
    wrong = [(case, trace) for case, trace in zip(cases, traces, strict=True) if not trace.passed]
    pairs = zip(cases, traces, strict=True)
    if any((case["passed"], without_place(case["problem"])) != (trace.passed, trace.problem) for case, trace in pairs):
        return 0.0
    told = [(case["got"], trace.got) for case, trace in wrong if trace.got is not None]
    if not told:
        return 1.0  # random numbers: there the words are all there is
    return sum(_same_value(one, other) for one, other in told) / len(told)


def _same_value(one: str, other: str) -> bool:
    """Whether two values, as they are shown, hold the same numbers, in arrays, lists or alone."""
    if one == other:
        return True
    first, second = (_NUMBER.findall(_ARRAY_KIND.sub(")", text)) for text in (one, other))
    if not first or len(first) != len(second):
        return False
    pairs = [(float(a), float(b)) for a, b in zip(first, second, strict=True)]
    return all(math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) or (a != a and b != b) for a, b in pairs)
