"""The teacher's own marks: a table of hers that every run applies after grading, and never writes."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from fedlearn_edu.course.checks.checking import Exercise
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean, neutral
from fedlearn_edu.errors import UsageError, nearest_names

_COLUMNS = ("student", "exercise", "points", "reason")
_MAX_LISTED = 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclasses.dataclass(frozen=True)
class Override:
    """Points that the teacher gives for one exercise of one student, and why."""

    points: float
    reason: str
    table: str = dataclasses.field(default="", compare=False)  # where it stands


Overrides = dict[tuple[str, str], Override]  # by (student, exercise id)


def read_all_overrides(
    paths: Sequence[str | os.PathLike],
    submissions: Sequence[Submission],
    exercises: Mapping[str, Exercise],
    numbers: Mapping[str, Submission] | None = None,
) -> Overrides:
    """Reads several tables, each as `read_overrides` does; a mark may stand in two of them if the points are the same.

    Args:
        paths: The tables.
        submissions: See `read_overrides`.
        exercises: Likewise.
        numbers: Likewise.

    Raises:
        UsageError: As for one table; or two of them give one mark different points.
    """
    found: Overrides = {}
    for path in paths:
        for (student, id), given in read_overrides(path, submissions, exercises, numbers).items():
            first = found.setdefault((student, id), given)
            if first.points != given.points:
                raise UsageError(
                    f"overrides: {first.table} gives {student} {id} {first.points:g} points, {given.table} gives "
                    f"{given.points:g}; leave one of them in"
                )
    return found


def read_overrides(
    path: str | os.PathLike,
    submissions: Sequence[Submission],
    exercises: Mapping[str, Exercise],
    numbers: Mapping[str, Submission] | None = None,
) -> Overrides:
    """Reads a table with the columns student, exercise, points and reason, as any spreadsheet saves it.

    Args:
        path: A .csv file; separated by commas, semicolons or tabs.
        submissions: Of the batch. A student is named as in the tables, by the name alone, or by the number in the LMS.
        exercises: By id; those of lessons that the batch does not grade may be in the table too.
        numbers: By the number in words, if there are such: these name a student too.

    Raises:
        UsageError: A column is missing, or a line names nobody, several, no exercise, no points that it can have, no
            reason, or what an earlier line names.
    """
    path = pathlib.Path(path)
    rows = list(table_rows(path))
    if not rows:
        raise UsageError(f"overrides: {path} is empty; expected the columns {', '.join(_COLUMNS)}")
    header = [cell.strip().casefold() for cell in rows[0][1]]
    if absent := [column for column in _COLUMNS if column not in header]:
        raise UsageError(
            f"overrides: {path} has no column {', '.join(map(repr, absent))}; expected {', '.join(_COLUMNS)}"
        )
    if twice := [column for column in _COLUMNS if header.count(column) > 1]:
        raise UsageError(f"overrides: {path} has the column {twice[0]!r} twice; leave one in")
    known = students_by_name(submissions, numbers or {})
    found: Overrides = {}
    lines: dict[tuple[str, str], int] = {}
    problems = []
    for line, cells in rows[1:]:
        row = {column: clean(dict(zip(header, cells, strict=False)).get(column, "")) for column in _COLUMNS}
        if not row["points"] and not row["reason"]:  # a table to be filled in, such as that of the answers in words
            continue
        try:
            if any(cell.strip() for cell in cells[len(header) :]):
                raise ValueError(
                    "more cells than the header has; what holds a comma or semicolon needs quotation marks"
                )
            student, exercise = find_student(row["student"], known).student, _exercise(row["exercise"], exercises)
            if (first := lines.setdefault((student, exercise.id), line)) != line:
                raise ValueError(f"{student} {exercise.id} stands in line {first} already")
            found[student, exercise.id] = Override(_points(row["points"], exercise), _reason(row["reason"]), str(path))
        except ValueError as error:
            problems.append((line, str(error)))
    if problems:
        line, first = problems[0]
        more = ", ".join(str(number) for number, _ in problems[1:_MAX_LISTED])
        also = f" (also wrong: line {more})" if more else ""
        raise UsageError(f"overrides: {path}, line {line}: {first}{also}")
    return found


def apply_overrides(marks: Sequence[tuple[str, Mark]], overrides: Overrides) -> list[Mark]:
    """Replaces the points of what the teacher has marked.

    Args:
        marks: (student, mark) of the whole batch.
        overrides: From `read_overrides`.
    """
    return [
        dataclasses.replace(mark, points=given.points, override=given.reason)
        if (given := overrides.get((student, mark.exercise_id)))
        else mark
        for student, mark in marks
    ]


def table_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, cells) of a .csv file as spreadsheets save it, without empty lines.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if content.startswith(_UTF16):
        text = content.decode("utf-16", "replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")  # as spreadsheets on Windows save it
    first = text.lstrip().partition("\n")[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        line = 1
        for cells in table:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = table.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{path}, line {table.line_num}: no table ({error})") from None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()


def students_by_name(
    submissions: Sequence[Submission], numbers: Mapping[str, Submission]
) -> dict[str, list[Submission]]:
    """Everyone by all that a teacher may call them, for `find_student`.

    Args:
        submissions: Of the batch.
        numbers: As in `read_overrides`.
    """
    known = collections.defaultdict(list, {_folded(number): [one] for number, one in numbers.items()})
    for one in submissions:
        names = {one.student, one.name, one.lms_id} - {""}
        for spelled in {_folded(form) for name in names for form in (name, str(neutral(name)))}:
            known[spelled].append(one)
    return known


def find_student(given: str, known: Mapping[str, Sequence[Submission]]) -> Submission:
    """The one student who is called so.

    Raises:
        ValueError: There is none, or there are several; one line.
    """
    if not given:
        raise ValueError("no student")
    found = known.get(_folded(given), ())
    if len(found) == 1:
        return found[0]
    if found:
        others = ", ".join(one.lms_id or one.student for one in found)
        raise ValueError(f"{len(found)} students are called {given!r}; name one by {others}")
    near = nearest_names(given, [one.student for ones in known.values() for one in ones])
    hint = near.partition("?")[0] + "?" if near.startswith("did you mean") else "see the column student of the grades"
    raise ValueError(f"nobody in this batch is called {given!r}; {hint}")


def _exercise(given: str, exercises: Mapping[str, Exercise]) -> Exercise:
    if given in exercises:
        return exercises[given]
    if not given:
        raise ValueError("no exercise")
    near = nearest_names(given, exercises)
    hint = (
        near.partition("?")[0] + "?"
        if near.startswith("did you mean")
        else "expected an id such as " + repr(next(iter(exercises)))
    )
    raise ValueError(f"there is no exercise {given!r}; {hint}")


def _points(given: str, exercise: Exercise) -> float:
    try:
        points = float(given.replace(",", ".") if given.count(",") == 1 else given)
    except ValueError:
        points = -1.0
    if not 0 <= points <= exercise.points:
        raise ValueError(f"points of {exercise.id}: expected 0 to {exercise.points}, got {given!r}")
    return round(points, 2)


def _reason(given: str) -> str:
    if not given:
        raise ValueError("no reason; the student will ask for it")
    return given
