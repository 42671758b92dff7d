"""What a run did to marks that were given before, and whether somebody changed the table of marks by hand."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping

from fedlearn_edu.course.grading import report
from fedlearn_edu.course.grading.anonymous import NUMBER
from fedlearn_edu.course.grading.overrides import Overrides, table_rows
from fedlearn_edu.course.grading.state import State
from fedlearn_edu.course.grading.text import clean, neutral, whole
from fedlearn_edu.errors import UsageError

_HEADER = ["when", "student", "exercise", "points_before", "points_now", "status_before", "status_now"]
_SHOWN = 5
_LESS_THAN_A_CENT = 0.005


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
        f"{one.student} {one.before:g} -> {one.now:g} ({_what(one.exercises)})"
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


def _what(exercises: Mapping) -> str:
    """How many exercises moved; where none has, only lateness is left."""
    return f"{len(exercises)} exercise{'' if len(exercises) == 1 else 's'}" if exercises else "for lateness"


def told_names(path: pathlib.Path) -> list[str]:
    """One line where the file of earlier changes tells names, and the tables shall not.

    Args:
        path: The file.
    """
    rows = [row for _, row in table_rows(path)][1:] if path.is_file() else []
    if all(NUMBER.fullmatch(row[1]) for row in rows if len(row) > 1):
        return []
    return [f"{path.name} still holds names, of changes in earlier runs: move it away"]


def as_table(changes: list[Change], path: pathlib.Path) -> str:
    """The file's content with the changes added to those of earlier runs.

    A row for each exercise, and one for the total where lateness has moved it as well.
    """
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    when = time.strftime("%Y-%m-%d %H:%M")
    for one in changes:
        for id, (old, new) in one.exercises.items():
            points = [whole(mark[1]) if mark else "" for mark in (old, new)]
            statuses = [mark[0] if mark else "" for mark in (old, new)]
            table.writerow([neutral(value) for value in (when, one.student, id, *points, *statuses)])
        by_exercises = sum((new[1] if new else 0) - (old[1] if old else 0) for old, new in one.exercises.values())
        if abs((one.now or 0) - (one.before or 0) - by_exercises) > _LESS_THAN_A_CENT:
            points = ["" if total is None else whole(total) for total in (one.before, one.now)]
            table.writerow([when, neutral(one.student), "total", *points, "", ""])
    earlier = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    if ",".join(_HEADER) not in earlier[:200]:
        earlier = f"\ufeff{','.join(_HEADER)}\r\n"  # the mark tells spreadsheets that it is UTF-8
    return earlier + stream.getvalue()


def refuse_foreign(
    output: pathlib.Path, options: Mapping[str, object], written: Iterable[pathlib.Path], *, known: bool
) -> None:
    """Refuses to write over a file that no earlier run wrote.

    Args:
        output: The table of marks.
        options: Of the batch; the teacher's own files are among them.
        written: All files that the batch may write.
        known: Whether the table of marks, if there is one, may be replaced: its state is here, or it shall be lost.

    Raises:
        UsageError: An option names a file that would be replaced, or there is a table of marks without its state.
    """
    taken = {os.path.realpath(path): path for path in written}
    for name in ("moodle_worksheet", "canvas_gradebook", "roster", "handed_in", "overrides"):
        own = options[name] if isinstance(options[name], list) else [options[name]]
        for path in [taken.get(os.path.realpath(one)) for one in own if one]:
            # The table of answers is made to be filled in and given back; what stands in it is kept.
            if path and not (name == "overrides" and path == report.paths(output, None)["answers_table"]):
                raise UsageError(
                    f"output: {path} would replace your own file ({name}); give another name to one of them"
                )
    if output.exists() and not known:
        raise UsageError(
            f"output: {output} is there, and nothing beside it tells that grading wrote it; give another name, or "
            f"--fresh to lose it"
        )


def refuse_edited(path: pathlib.Path, state: State, overrides: Overrides) -> None:
    """Refuses to write over a table of marks that somebody has changed; saved anew by a spreadsheet it is as it was.

    Args:
        path: The table.
        state: Knows what the last run wrote there, and the one before it: that is still there if the last one was ended
            while it wrote.
        overrides: What the teacher has put there is not asked for again.

    Raises:
        UsageError: A mark, or anything else in the table, is another one.
    """
    given = {_key((str(neutral(student)), id)): override.points for (student, id), override in overrides.items()}
    _refuse(path, state, "grades", lambda key, old, new: _is_settled(given.get(key), old, new))


def refuse_edited_totals(path: pathlib.Path, state: State, totals: Mapping[str, float]) -> None:
    """Likewise for the table of totals.

    Args:
        path: The table.
        state: As for `refuse_edited`.
        totals: By student, what the next table says; who has put the difference into the overrides is asked no more.

    Raises:
        UsageError: A total, or anything else in the table, is another one.
    """
    now = {_key((str(neutral(student)),)): total for student, total in totals.items()}
    _refuse(path, state, "totals", lambda key, old, new: bool(new) and now.get(key[:1]) == new[0])


def _refuse(path: pathlib.Path, state: State, purpose: str, is_settled: Callable) -> None:
    written, before = (tables.get(purpose, "") for tables in (state.written, state.before))
    if not written or not path.is_file():
        return
    new = _by_mark(row for _, row in table_rows(path))
    old, earlier = (_by_mark(csv.reader(io.StringIO(text, newline=""))) for text in (written, before))
    found = [
        f"{' '.join(key)}{_difference(old.get(key), new.get(key))}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key) and not is_settled(key, old.get(key), new.get(key))
    ]
    if found and new != earlier:
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        raise UsageError(
            f"{path} was changed by hand ({clean(found[0])}{more}); put that into --overrides, or --fresh to lose it"
        )


def _is_settled(given: float | None, old: list | None, new: list | None) -> bool:
    """Whether the overrides say what the edited row says, or were changed as well; else the edit came after them."""
    return given is not None and ([given] == (new or [])[1:2] or [given] != (old or [])[1:2])


def _by_mark(rows) -> dict[tuple[str, str], list]:
    _, *marks = [row for row in rows if any(row)] or [[]]
    return {_key(row[:2]): [_value(cell) for cell in row[2:]] for row in marks}


def _key(cells: Iterable[str]) -> tuple[str, ...]:
    """Student and exercise; a spreadsheet takes "0042" for a number and saves 42."""
    return tuple(cell.lstrip("0") if cell.isdecimal() else cell for cell in cells)


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
