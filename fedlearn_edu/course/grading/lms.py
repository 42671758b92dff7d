"""Marks on their way into an LMS's own table: their scale, their rounding, and a line of what to mend."""

from __future__ import annotations

import collections
import dataclasses
import decimal
from collections.abc import Mapping, Sequence
from typing import Protocol

from fedlearn_edu.course.grading.roster import NOTHING, Person, listed
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError

_CENT = decimal.Decimal("0.01")


class Table(Protocol):
    """What Moodle's worksheet and Canvas's gradebook have in common."""

    people: Sequence[Person]
    maximum: float | None  # points that it allows, if it says so
    replacing: str  # what is to be said of grades that replace others

    def kept(self, row: int) -> str:
        """What stands in a row that no grade may replace, or ""."""

    def fill(self, row: int, grade: str, comment: str) -> bool:
        """Sets a grade; returns whether another was there."""

    def text(self) -> str:
        """The whole table."""

    def error(self, what: str) -> UsageError:
        """One line that names the file."""


def fill(table: Table, rows: Mapping[str, int], result, *, out_of: float | None, name: str) -> list[str]:
    """Sets the grade of everyone who handed in.

    Args:
        table: Is changed.
        rows: In the table, by `Submission.student`.
        result: A `GradingResult`.
        out_of: Points on the LMS's scale; None = the batch's own.
        name: Of the file that it becomes, for the lines.

    Returns:
        One line on how many got a grade and on which scale, and on everyone who is a special case.
    """
    kept, left, replaced, filled = [], [], [], 0
    for one in result.submissions:
        if one.student not in rows or one.instead == NOTHING:
            continue
        row, marks = rows[one.student], result.marks[one.student]
        if any(mark.is_owed for mark in marks):
            left.append(one.student)
        elif word := table.kept(row):
            kept.append(f"{one.student}: {word}")
        else:
            points, possible = result.total(one.student), result.max_total(one.student)
            told = [dataclasses.replace(mark, message=result.told(one.student, mark)) for mark in marks]
            comment = _comment(one, points, possible, told)
            if table.fill(row, scaled(points, possible, out_of or possible), comment):
                replaced.append(one.student)
            filled += 1
    scale = f"out of {out_of:g}" if out_of else "not scaled, since the table names no maximum (out_of does)"
    said = [
        f"{name}: {filled} grade{'' if filled == 1 else 's'} {scale}, rounded to two decimals; "
        f"who handed in nothing gets none"
    ]
    cases = {
        table.replacing: replaced,
        "left as it was": kept,
        "no grade, since the grader could not grade all": left,
    }
    return said + [f"{name}: {case}: {listed(who)}" for case, who in cases.items() if who]


def scaled(points: float, possible: float, out_of: float) -> str:
    """Points on the LMS's scale, to two decimals, halves up, never above its maximum.

    Example:
        >>> scaled(34, 68, 20), scaled(1, 3, 10), scaled(68, 68, 10)
        ('10', '3.33', '10')
    """
    points, possible, out_of = (decimal.Decimal(str(value)) for value in (points, possible, out_of))
    # Not the share first: a third is cut after some digits, and half a cent would be below a half then.
    grade = (points * out_of / possible if possible else points * 0).quantize(_CENT, decimal.ROUND_HALF_UP)
    grade = max(min(grade, out_of), decimal.Decimal(0))
    return f"{grade:f}".rstrip("0").rstrip(".") if "." in f"{grade:f}" else f"{grade:f}"


def _comment(one: Submission, points: float, possible: float, marks) -> str:
    """What failed, then how much was right: for those who see nothing but the LMS."""
    parts = [f"{points:g} of {possible:g}"]
    if one.late:
        parts.append(f"handed in late: {one.late}")
    open_ones = [mark for mark in marks if mark.status != "passed"]
    by_reason = collections.defaultdict(list)
    for mark in open_ones:
        # A notebook that is missing is one thing to say, however many exercises it holds.
        is_absent = mark.status in ("missing", "unreadable") and not mark.override
        by_reason[mark.message if is_absent else mark.exercise_id, is_absent].append(mark)
    for row in by_reason.values():
        why = clean(row[0].override or row[0].message, limit=100)
        named = ", ".join(mark.exercise_id for mark in row) if len(row) < len(marks) else f"all {len(row)} exercises"
        named = row[0].exercise_id if len(row) == 1 else named
        earned, most = sum(mark.points for mark in row), sum(mark.max_points for mark in row)
        parts.append(f"{named} {earned:g}/{most}{f' ({why})' if why else ''}")
    if right := len(marks) - len(open_ones):
        parts.append(f"{right} of {len(marks)} exercises all right")
    return "; ".join(parts)
