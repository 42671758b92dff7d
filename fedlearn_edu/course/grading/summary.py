"""What the terminal says of a graded batch: how the class did, what moved, and what to look at."""

from __future__ import annotations

import collections
import math
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence

from fedlearn_edu.course.grading.isolation import LEVELS
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.roster import NOTHING
from fedlearn_edu.course.grading.text import clean

_SHOWN_PROBLEMS = 10
_SHOWN_NAMES = 5
_SHOWN_PAIRS = 3
_HARDEST = 3


def count(number: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> count(1, "exercise"), count(2, "exercise")
        ('1 exercise', '2 exercises')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def summary(result) -> str:
    """A few lines for the terminal.

    Args:
        result: A `GradingResult`.
    """
    statuses = collections.Counter(mark.status for row in result.marks.values() for mark in row)
    counted = ", ".join(f"{number} {status}" for status, number in statuses.most_common())
    absent = _absent(result)
    handed_in = count(len(result.submissions), "submission")
    if absent:
        handed_in = f"{len(result.submissions) - absent} of {count(len(result.submissions), 'student')} handed in"
    lines = [
        f"{handed_in}, {count(statuses.total(), 'exercise')}: {counted}",
        *_class(result),
        *result.remarks,
        *_similar(result),
        f"Walls around learner code: {result.isolation}: {LEVELS[result.isolation]}",
        f"Hidden cases: their seed is in {result.files['state'].name}. "
        f"{result.seconds:.0f} s, {count(result.num_resumed, 'mark')} from an earlier run.",
    ]
    # One line a student at most: nobody's ten thousand files push the others off the screen.
    noted = [notes for notes in result.notes.values() if notes]
    for first, *more in noted[:_SHOWN_PROBLEMS]:
        lines.append(f"  {first}" + (f" ({count(len(more), 'more line')} in the report)" if more else ""))
    if len(noted) > _SHOWN_PROBLEMS:
        left = count(len(noted) - _SHOWN_PROBLEMS, "more student")
        lines.append(f"  ... and {left}, in {result.files['report']}")
    written = [str(path) for purpose, path in result.files.items() if purpose != "state"]
    return "\n".join([*lines, "Written, readable by you alone: " + ", ".join(written)])


def _absent(result) -> int:
    return sum(one.instead == NOTHING for one in result.submissions)


def _class(result) -> list[str]:
    """The class as a whole; nothing for one student."""
    if len(result.submissions) < 2:
        return []
    totals = {student: result.total(student) for student in result.marks}
    highest = max(map(result.max_total, result.marks), default=0)
    mean, median = statistics.fmean(totals.values()), round(statistics.median(totals.values()), 2)
    lines = [f"Points: mean {mean:.1f}, median {median:g} of {highest}"]
    if _absent(result):
        lines[0] += f" over all {len(totals)}, who handed in nothing with 0"
    shares = collections.defaultdict(list)
    for row in result.marks.values():
        for mark in row:
            shares[mark.exercise_id].append(mark.points / mark.max_points)
    means = sorted((statistics.fmean(found), id) for id, found in shares.items())
    if hardest := [f"{id} {mean:.0%}" for mean, id in means[:_HARDEST] if mean < 1]:
        lines[0] += f"; share of the points in the hardest: {', '.join(hardest)}"
    if without := [student for student, total in totals.items() if not total]:
        lines.append(f"No points: {_some(without)}")
    return lines


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _similar(result) -> list[str]:
    pairs = [
        f"{pair.student} and {pair.other} (lesson {pair.lesson}: {count(len(pair.exercise_ids), 'function')})"
        for pair in result.similar[:_SHOWN_PAIRS]
    ]
    if not pairs:
        return []
    more = f", and {len(result.similar) - _SHOWN_PAIRS} more" if len(result.similar) > _SHOWN_PAIRS else ""
    return [
        f"Alike but for names and layout, which is a reason to look and no verdict: {'; '.join(pairs)}{more}; "
        f"all in {result.files['similar'].name}"
    ]


def told_overrides(overrides: Mapping, marks: Iterable[Mark]) -> list[str]:
    """One line on the teacher's own marks, if there are any.

    Args:
        overrides: From `overrides.read_overrides`.
        marks: All of the batch.
    """
    if not overrides:
        return []
    used = sum(bool(mark.override) for mark in marks)
    line = f"{count(used, 'mark')} set by you (--overrides)"
    unused = len(overrides) - used
    return [line + (f"; {count(unused, 'more line')} for what is not graded in this batch" if unused else "")]


def told_lost(before: Iterable[tuple[str, str, str]], overrides: Mapping, names: Mapping[str, str]) -> list[str]:
    """One line for each table of the teacher's own marks that set some in the last run which none sets now.

    Args:
        before: (identity of the student, exercise, table's name), of the last run.
        overrides: From `overrides.read_overrides`.
        names: In the tables now, by identity; who is not in the batch any more is told elsewhere.
    """
    lost, now = collections.defaultdict(list), {pathlib.Path(given.table).name for given in overrides.values()}
    for identity, id, table in before:
        if identity in names and (names[identity], id) not in overrides:
            lost[table].append(f"{names[identity]} {id}")
    return [
        f"{count(len(marks), 'mark')} of {clean(table)} no longer hold{'s' if len(marks) == 1 else ''}: {_some(marks)}"
        + ("" if table in now else "; to keep what it says, give that table too (--overrides may be repeated)")
        for table, marks in lost.items()
    ]


def told_waiting(fresh: Iterable[tuple[str, Mark]], marks: Iterable[Mark], timeout: float) -> list[str]:
    """One line on functions that did not end in time, and on how much time is enough.

    Args:
        fresh: (student, mark) of what this run has graded.
        marks: All of the batch.
        timeout: Seconds per exercise.
    """
    waited = collections.defaultdict(list)
    for student, mark in fresh:
        if mark.status == "timeout":
            waited[student].append(mark.seconds)
    if not waited:
        return []
    order = sorted(waited, key=lambda student: -sum(waited[student]))
    named = [f"{student} ({count(len(waited[student]), 'timeout')})" for student in order]
    line = f"waited {sum(map(sum, waited.values())):.0f} s for {_some(named)}"
    slowest = max((mark for mark in marks if mark.status == "passed"), key=lambda mark: mark.seconds, default=None)
    if slowest is not None:
        enough = max(5, 5 * math.ceil(3 * slowest.seconds / 5))
        if enough < timeout:
            line += (
                f"; --timeout {enough} is enough for all who passed "
                f"(slowest: {slowest.seconds:.1f} s, {slowest.exercise_id})"
            )
    return [line]
