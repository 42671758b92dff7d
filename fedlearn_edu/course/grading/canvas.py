"""Canvas: one column of an exported gradebook, filled in.

Written after the source of Canvas's own export and import (`lib/gradebook_exporter.rb`, `lib/gradebook_importer.rb`,
and `lib/content_zipper.rb` for the names of files); not tried on a running Canvas. The number in a file's name,
"lovelaceada_LATE_1001_5555_00_welcome.ipynb", is the one under "ID" in the gradebook; the second is the file's.
"""

from __future__ import annotations

import os
import re

from fedlearn_edu.course.grading.roster import Person, check_people, given_name_first
from fedlearn_edu.course.grading.sheet import Sheet, number_of
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError, nearest_names

_WITH_ID = re.compile(r"(?P<title>.*\S)\s*\((?P<id>[0-9]+)\)", re.DOTALL)
_KEPT = ("EX", "N/A")  # excused; not assigned to this student
_TEST_STUDENTS = ("Student, Test", "Test Student")


class Gradebook:
    """A gradebook as Canvas exported it.

    Args:
        path: The .csv.
        column: Which assignment: its header, "FL exercises (1234)", its title or its number.

    Raises:
        UsageError: It is no gradebook, or has no such column that can be filled in; if none is named, those there are.
    """

    replacing = "another grade was there"

    def __init__(self, path: str | os.PathLike, column: str | None):
        self._sheet = sheet = Sheet(path, "canvas_gradebook")
        header = sheet.header
        if "ID" not in header[:3] or not (header[0] == "Student" or header[:2] == ["LastName", "FirstName"]):
            raise sheet.error('expected a gradebook of Canvas, whose columns begin with "Student" and "ID"')
        self._id = header.index("ID")
        possible = [row for row in range(1, len(sheet.rows)) if sheet.cell(row, 0) == "Points Possible"]
        self._points_row = possible[0] if possible else None
        self._column = self._find(column)
        cell = self._points_cell(self._column)
        self.maximum = number_of(cell) or None
        self.people = []
        for row in range(1, len(sheet.rows)):
            number = sheet.cell(row, self._id)
            name = sheet.cell(row, 0) if self._id == 1 else f"{sheet.cell(row, 1)} {sheet.cell(row, 0)}".strip()
            if re.fullmatch(r"[0-9]{1,18}", number) and name not in _TEST_STUDENTS:
                self.people.append(Person(clean(given_name_first(name)), number, "", "canvas", row))
        sheet.check_widths(one.row for one in self.people)
        check_people(sheet, self.people)

    def _points_cell(self, column: int) -> str:
        return self._sheet.cell(self._points_row, column) if self._points_row is not None else ""

    def _find(self, wanted: str | None) -> int:
        header = self._sheet.header
        # Canvas puts an assignment's number behind its title; people, notes and totals have none.
        titles = {index: match for index, name in enumerate(header) if (match := _WITH_ID.fullmatch(name))}
        if not wanted:
            known = ", ".join(clean(header[index], limit=80) for index in titles) or "none of an assignment"
            raise UsageError(f"--canvas-column is missing; the columns are: {known}")
        wanted = wanted.strip()
        found = [index for index, name in enumerate(header) if name == wanted] or [
            index for index, match in titles.items() if wanted in (match["title"], match["id"])
        ]
        shown = clean(wanted, limit=80)
        if len(found) > 1:
            raise UsageError(
                f"canvas_column: {len(found)} columns are called {shown!r}; add the number behind the title"
            )
        if not found:
            known = [clean(header[index], limit=80) for index in titles]
            hint = nearest_names(wanted, known) if known else "it has none of an assignment"
            raise UsageError(f"canvas_column: no column {shown!r} in {self._sheet.path}; {hint}")
        if found[0] not in titles or (self._points_cell(found[0]) and number_of(self._points_cell(found[0])) is None):
            raise UsageError(f"canvas_column: {shown!r} is no assignment's, so Canvas would not take it")
        return found[0]

    def error(self, what: str) -> UsageError:
        """One line that names the file."""
        return self._sheet.error(what)

    def kept(self, row: int) -> str:
        """What stands there that no grade may replace ("EX", "N/A"), or ""."""
        cell = self._sheet.cell(row, self._column)
        return cell if cell.upper() in _KEPT else ""

    def fill(self, row: int, grade: str, comment: str) -> bool:
        """Sets a grade; a gradebook has no place for comments.

        Args:
            row: Of a `Person`.
            grade: With a decimal point.
            comment: Not used.

        Returns:
            Whether another grade was there.
        """
        before = self._sheet.cell(row, self._column)
        comma = "," in self._points_cell(self._column)
        self._sheet.set(row, self._column, grade.replace(".", ",") if comma else grade)
        return bool(before) and number_of(before) != float(grade)

    def text(self) -> str:
        """The whole gradebook."""
        return self._sheet.text()
