"""What a teacher says of a batch: who takes part, when it was due, and which LMS gets the marks."""

from __future__ import annotations

import copy
import dataclasses
import os
import pathlib
from collections.abc import Sequence

from fedlearn_edu.course.grading import feedback as feedback_pages
from fedlearn_edu.course.grading.canvas import Gradebook
from fedlearn_edu.course.grading.handed_in import judge, times_of
from fedlearn_edu.course.grading.lateness import parse_deadline, parse_penalty
from fedlearn_edu.course.grading.lms import fill
from fedlearn_edu.course.grading.moodle import Worksheet, feedback_zip
from fedlearn_edu.course.grading.roster import NOTHING, enrol, listed, match, read_roster
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.errors import UsageError

_MAX_POINTS = 1e6

_A_CLASS = 10  # so many who handed in tell by how few of them are in a table that it is another course's


@dataclasses.dataclass(frozen=True)
class Term:
    """The teacher's own files and rules for a batch; what is None or False is not used.

    Attributes:
        roster: Table of who takes part: "name" (or "first name" and "last name"), "number" and "email" if there are
            any. Without it, the worksheet or gradebook serves.
        moodle_worksheet: The grading worksheet that Moodle exported. `*_moodle.csv` is it, filled in.
        moodle_feedback_zip: Whether to write `*_moodle_feedback.zip`, a feedback file for each student.
        canvas_gradebook: The gradebook that Canvas exported. `*_canvas.csv` is it, with one column filled in.
        canvas_column: Which: "FL exercises (1234)", its title or its number.
        out_of: Points in the LMS, above 0; None = the maximum that the LMS's own table names.
        deadline: "2026-11-30 23:59 Europe/Berlin" or "2026-11-30T23:59+01:00".
        handed_in: Table with the columns "student" and "time". It goes before the times of Moodle's worksheet, which
            stay those of whom it does not name.
        late_penalty: "10%" of the points that could be had, once, or "10%/day" for each day that has begun. An LMS that
            takes something off by itself would do so a second time.
    """

    roster: str | os.PathLike | None = None
    moodle_worksheet: str | os.PathLike | None = None
    moodle_feedback_zip: bool = False
    canvas_gradebook: str | os.PathLike | None = None
    canvas_column: str | None = None
    out_of: float | None = None
    deadline: str | None = None
    handed_in: str | os.PathLike | None = None
    late_penalty: str | None = None


class OpenTerm:
    """A `Term` whose files have been read and checked, before anything is graded.

    Args:
        term: What the teacher says.
        output: The table of marks; what an LMS gets is written beside it.

    Raises:
        UsageError: A file is not what it should be, or an option lacks another.
    """

    def __init__(self, term: Term, output: pathlib.Path):
        self._term = term
        self._rows: dict[str, int] = {}  # in the LMS's table, by student
        self._deadline = parse_deadline(term.deadline) if term.deadline else None
        self._penalty = parse_penalty(term.late_penalty) if term.late_penalty else None
        self._table = self._open_table()
        self._people = read_roster(term.roster) if term.roster else self._table.people if self._table else []
        self._table_path = output.with_name(f"{output.stem}_{'canvas' if term.canvas_gradebook else 'moodle'}.csv")
        self.said: list[str] = []
        self.zip_path = output.with_name(f"{output.stem}_moodle_feedback.zip")
        self.files = {"lms": self._table_path} if self._table else {}
        if term.moodle_feedback_zip:
            self.files["moodle_feedback"] = self.zip_path

    def _open_table(self) -> Worksheet | Gradebook | None:
        term = self._term
        if term.moodle_worksheet and term.canvas_gradebook:
            raise UsageError("canvas_gradebook: give --canvas-gradebook or --moodle-worksheet, not both")
        if term.canvas_column and not term.canvas_gradebook:
            raise UsageError("canvas_column: it names a column of Canvas's gradebook; give --canvas-gradebook too")
        if term.handed_in and not term.deadline:
            raise UsageError("deadline: give --deadline; --handed-in alone does not tell who is late")
        table = None
        if term.moodle_worksheet:
            table = Worksheet(term.moodle_worksheet)
        elif term.canvas_gradebook:
            table = Gradebook(term.canvas_gradebook, term.canvas_column)
        if term.out_of is None:
            return table
        if table is None:
            raise UsageError("out_of: it scales what an LMS gets; give --moodle-worksheet or --canvas-gradebook too")
        most = table.maximum or _MAX_POINTS
        if not 0 < term.out_of <= most:
            raise UsageError(
                f"out_of: expected above 0 and at most {most:g}, which the LMS allows, got {term.out_of:g}"
            )
        return table

    def try_enrol(self, submissions: Sequence[Submission]) -> list[Submission]:
        """Raises what `enrol` would, and keeps nothing of it: for names whose work is not read yet."""
        trial = copy.copy(self)
        trial.said = []
        return trial.enrol(submissions)

    def enrol(self, submissions: Sequence[Submission]) -> list[Submission]:
        """Gives everyone on the roster a row, and all who were late the words for it.

        Raises:
            UsageError: The LMS's table is another course's, or cannot tell when something was handed in.
        """
        enrolled, persons = list(submissions), {}
        if self._people:
            enrolled, persons, notes = enrol(submissions, self._people)
            self.said += notes
        if self._table:
            if self._term.roster:
                present = [one for one in enrolled if one.instead != NOTHING]
                persons, _, notes = match(present, self._table.people, table="the LMS's table")
                self.said += notes
            self._rows = {student: person.row for student, person in persons.items()}
            given = [one.student for one in enrolled if one.instead != NOTHING]
            unknown = [student for student in given if student not in self._rows]
            if len(unknown) == len(given):
                raise self._table.error("nobody who handed in is in it; export that of this course and assignment")
            if len(given) >= _A_CLASS and 4 * len(unknown) > 3 * len(given):
                raise self._table.error(
                    f"only {len(given) - len(unknown)} of the {len(given)} who handed in are in it; export that of "
                    "this course and assignment, or grade only those who are in it"
                )
            if unknown:
                self.said.append(f"not in {self._table_path.name}, since the LMS's table has no row: {listed(unknown)}")
        if self._term.moodle_feedback_zip and not any(one.lms == "moodle" for one in submissions):
            raise UsageError("moodle_feedback_zip: no submission has a number of Moodle's; those of its own zip do")
        return self._with_lateness(enrolled)

    def _with_lateness(self, submissions: list[Submission]) -> list[Submission]:
        deadline, penalty = self._deadline, self._penalty
        if penalty and not deadline and not any(one.lms == "canvas" for one in submissions):
            raise UsageError("late_penalty: give --deadline too; only Canvas's names of files tell who is late without")
        times = {}
        if deadline:
            times = times_of(
                submissions,
                deadline,
                handed_in=self._term.handed_in,
                worksheet=self._table if self._term.moodle_worksheet else None,
                rows=self._rows,
                said=self.said,
            )
        judged = [judge(one, times.get(one.student), deadline, penalty) for one in submissions]
        if late := [one.student for one in judged if one.late]:
            self.said.append(f"late: {listed(late)}")
        return judged

    def exports(self, result) -> dict[pathlib.Path, str | bytes]:
        """What the LMS gets for a `GradingResult`, by path."""
        files: dict[pathlib.Path, str | bytes] = {}
        if self._table:
            path = self._table_path
            out_of = self._term.out_of or self._table.maximum
            self.said += fill(self._table, self._rows, result, out_of=out_of, name=path.name)
            files[path] = self._table.text()
        if self._term.moodle_feedback_zip:
            folder = pathlib.Path("feedback")
            pages = feedback_pages.make_pages(result, folder)
            numbered = [one for one in result.submissions if one.lms == "moodle" and one.instead != NOTHING]
            packed = [(one, pages[folder / f"{feedback_pages.file_name(one)}.html"]) for one in numbered]
            files[self.zip_path] = feedback_zip(packed)
            self.said.append(f"{self.zip_path.name}: feedback for {len(numbered)} students")
        return files
