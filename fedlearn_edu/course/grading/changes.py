"""What a run did to marks that were given before, and whether somebody changed the table of marks by hand."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import pathlib
import time
from collections.abc import Mapping

from fedlearn_edu.course.grading.overrides import Overrides, table_rows
from fedlearn_edu.course.grading.text import clean, neutral, whole
from fedlearn_edu.errors import UsageError

_HEADER = ["when", "student", "exercise", "points_before", "points_now", "status_before", "status_now"]
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Change:
    """A student whose marks are not what they were.

    Attributes:
        student: Unique name.
        before: All points, None if the student was not there.
        now: All points now, None if the student is not there any more.
        exercises: By exercise id, (status, points) before and now, None where there was none.
    """

    student: str
    before: float | None
    now: float | None
    exercises: Mapping[str, tuple[tuple[str, float] | None, tuple[str, float] | None]]


Marks = Mapping[str, tuple[str, float]]  # status and points by exercise
Given = dict[str, tuple[float, Marks]]  # by student: all points, and the marks


def named_as_now(before: Mapping[str, tuple], now: Mapping[str, tuple]) -> Given:
    """The earlier run's marks under the names that the tables have now: a second Zoë changes what the first is called.

    Args:
        before: By identity, the name, all points and the marks.
        now: Likewise.
    """
    return {now.get(identity, row)[0]: (row[1], row[2]) for identity, row in before.items()}


def find_changes(before: Given, now: Given) -> list[Change]:
    """Compares two runs; empty if `before` is.

    Args:
        before: What the last run gave.
        now: What this run gives.
    """
    changes = []
    for student in [*now, *(student for student in before if student not in now)] if before else []:
        old_total, old = before.get(student, (None, {}))
        new_total, new = now.get(student, (None, {}))
        moved = {id: (old.get(id), new.get(id)) for id in dict.fromkeys([*new, *old]) if old.get(id) != new.get(id)}
        if moved or old_total != new_total:
            changes.append(Change(student, old_total, new_total, moved))
    return changes


def told(changes: list[Change], where: str) -> list[str]:
    """One line on whose marks moved, one on who is new, one on who is gone; each only if there is somebody."""
    moved = [
        f"{one.student} {one.before:g} -> {one.now:g} "
        f"({len(one.exercises)} exercise{'' if len(one.exercises) == 1 else 's'})"
        for one in changes
        if one.before is not None and one.now is not None
    ]
    new = [f"{one.student} {one.now:g}" for one in changes if one.before is None]
    gone = [f"{one.student} {one.before:g}" for one in changes if one.now is None]
    lines = []
    for word, found in (("changed", moved), ("new", new), ("not there any more", gone)):
        if found:
            more = f"; and {len(found) - _SHOWN} more in {where}" if len(found) > _SHOWN else ""
            lines.append(f"{word}: {'; '.join(found[:_SHOWN])}{more}")
    return lines


def as_table(changes: list[Change], path: pathlib.Path) -> str:
    """The file's content with the changes added to those of earlier runs."""
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    when = time.strftime("%Y-%m-%d %H:%M")
    for one in changes:
        for id, (old, new) in one.exercises.items():
            points = [whole(mark[1]) if mark else "" for mark in (old, new)]
            statuses = [mark[0] if mark else "" for mark in (old, new)]
            table.writerow([neutral(value) for value in (when, one.student, id, *points, *statuses)])
    earlier = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    if ",".join(_HEADER) not in earlier[:200]:
        earlier = f"\ufeff{','.join(_HEADER)}\r\n"  # the mark tells spreadsheets that it is UTF-8
    return earlier + stream.getvalue()


def refuse_edited(path: pathlib.Path, written: str, overrides: Overrides) -> None:
    """Refuses to write over a table of marks that somebody has changed; saved anew by a spreadsheet it is as it was.

    Args:
        path: The table.
        written: What the last run wrote there, "" if that is not known.
        overrides: What the teacher has put there already is not asked for again.

    Raises:
        UsageError: A mark, or anything else in the table, is another one.
    """
    if not written or not path.is_file():
        return
    old, new = _by_mark(csv.reader(io.StringIO(written, newline=""))), _by_mark(row for _, row in table_rows(path))
    given = {(str(neutral(student)), id) for student, id in overrides}
    found = [
        f"{' '.join(key)}{_difference(old.get(key), new.get(key))}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key) and key not in given
    ]
    if found:
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        raise UsageError(
            f"{path} was changed by hand ({clean(found[0])}{more}); put that into --overrides, or --fresh to lose it"
        )


def _by_mark(rows) -> dict[tuple[str, str], list]:
    _, *marks = [row for row in rows if any(row)] or [[]]
    return {tuple(row[:2]): [_value(cell) for cell in row[2:]] for row in marks}


def _value(cell: str) -> float | str:
    """A number as such, however a spreadsheet writes it."""
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return " ".join(cell.split())


def _difference(old: list | None, new: list | None) -> str:
    if old is None or new is None:
        return " is not there any more" if new is None else " is new"
    for before, after in itertools.zip_longest(old, new, fillvalue=""):
        if before != after:
            shown = [f"{value:g}" if isinstance(value, float) else repr(value) for value in (before, after)]
            return f" {shown[0]} -> {shown[1]}"
    return ""
