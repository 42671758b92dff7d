"""Moodle: the grading worksheet of an assignment, filled in, and the zip of feedback files.

Written after the source of Moodle's own export and import (`mod/assign/gradingtable.php`, `feedback/offline`,
`feedback/file`); not tried on a running Moodle. The headers are in the language of whoever exported the worksheet, so
the columns are found by what stands in them and by Moodle's order: identifier, name, more about the person, status,
grade, maximum grade, whether it can be changed, last modified (submission), what was typed in, last modified (grade),
feedback comments.
"""

from __future__ import annotations

import datetime
import html
import io
import os
import re
import zipfile
from collections.abc import Iterable, Sequence

from fedlearn_edu.course.grading.lateness import has_no_afternoon, read_stamps
from fedlearn_edu.course.grading.roster import Person, check_people
from fedlearn_edu.course.grading.sheet import Sheet, number_of
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError

# "Participant 4018", "Teilnehmer/in4018": the importer drops as many characters as the word has in its language.
_IDENTIFIER = re.compile(r"(?P<word>[^0-9]*[^\W\d_][^0-9]*)(?P<number>[1-9][0-9]{0,17})")
_DATE = re.compile(r".*\d{4}.*\d{1,2}[:.h]\d{2}.*|.*\d{1,2}[:.h]\d{2}.*\d{4}.*")
_MAX_DATE = 80  # characters; what students typed in stands in these tables as well, and is searched for no date
_MARK = "fedlearn-edu: "  # our comments begin so, and are replaced when a worksheet comes back
# "No" as Moodle's own languages have it; any other word lets a grade be written.
_NO = tuple(
    "no nein non não nee nej nei ei nie ne nem nu нет ні не hay\u0131r όχι いいえ 否 아니오 ez".split()  # noqa: SIM905
)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Worksheet:
    """A grading worksheet as Moodle exported it.

    Args:
        path: The .csv.

    Raises:
        UsageError: It is no worksheet of an assignment that is marked with points.
    """

    # Dates in other languages than English are older than anything to the importer, which then skips such a row.
    replacing = (
        'another grade was there, so tick in the upload "Allow updating records that have been modified more recently '
        'in Moodle than in the spreadsheet"'
    )

    def __init__(self, path: str | os.PathLike):
        self._sheet = sheet = Sheet(path, "moodle_worksheet")
        width = len(sheet.rows[0])
        numbers = self._numbers()
        if not numbers:
            raise sheet.error(
                'expected Moodle\'s grading worksheet, with "Participant 4018" or such in its first column'
            )
        sheet.check_widths(numbers)
        self._rows = numbers  # spreadsheets leave rows without anything in them
        self._grade, self.maximum = self._find_grade(range(1, width))
        # Moodle reads its own decimal sign, which is of the language that the headers are in; a spreadsheet that saved
        # the table may have left it in some numbers only.
        self._has_commas = any("," in cell for n in (0, 1) for cell in self._column(self._grade + n))
        dates = [index for index in range(self._grade + 2, width) if self._is_dates(index)]
        if not dates:
            raise sheet.error("no column of dates after the grades; Moodle takes back no worksheet without")
        # The word on whether the grade can be changed stands before the dates, behind what a workflow has to say.
        self._changeable = dates[0] - 1 if dates[0] > self._grade + 2 else None
        self._submitted = dates[0] if len(dates) > 1 else None
        # The importer ignores what it has no name for, so a column of outcomes in this place would do no harm.
        self._comments = dates[-1] + 1 if dates[-1] + 1 < width else None
        names = self._column(1) if self._grade > 2 else []
        # Marked blind: no names, and the status in their place.
        shown_in = 1 if 2 * len(set(names)) > len(names) else 0
        shown = {row: clean(sheet.cell(row, shown_in)) for row in numbers}
        self.people = [Person(shown[row], number, "", "moodle", row) for row, number in numbers.items()]
        check_people(sheet, self.people)

    def _numbers(self) -> dict[int, str]:
        """By row; empty if the first column holds anything but one word with a number behind it."""
        cells = {row: self._sheet.cell(row, 0) for row in range(1, len(self._sheet.rows)) if any(self._sheet.rows[row])}
        matches = {row: _IDENTIFIER.fullmatch(cell) for row, cell in cells.items()}
        if not all(matches.values()) or len({match["word"] for match in matches.values()}) != 1:
            return {}
        return {row: match["number"] for row, match in matches.items()}

    def _column(self, column: int) -> list[str]:
        return [self._sheet.cell(row, column) for row in self._rows]

    def _find_grade(self, columns: Sequence[int]) -> tuple[int, float]:
        """The column of grades, which is the one before the only column that holds the same maximum in all rows."""
        found = []
        for column in columns[:-1]:
            maxima = {number_of(cell) for cell in self._column(column + 1)}
            grades = [0.0 if cell in ("", "-") else number_of(cell) for cell in self._column(column)]
            if len(maxima) != 1 or None in maxima or None in grades:
                continue
            [maximum] = maxima
            if maximum > 0 and max(grades) <= maximum:
                found.append((column, maximum))
        if len(found) == 1:
            return found[0]
        reason = "several columns could be it" if found else "an assignment marked with a scale has none"
        raise self._sheet.error(f"which column is the maximum grade cannot be told ({reason})")

    def _is_dates(self, column: int) -> bool:
        cells = self._column(column)
        return any(cells) and all(map(_is_date, cells))

    def submitted(self, zone: datetime.tzinfo) -> tuple[dict[int, datetime.datetime | None], bool]:
        """When work was last changed by its student.

        Args:
            zone: That of the teacher who exported the worksheet, which does not say it.

        Returns:
            By row, None where it cannot be read; and whether the half of the day may be missing.
        """
        if self._submitted is None:
            return {}, False
        cells = {one.row: self._sheet.cell(one.row, self._submitted) for one in self.people}
        texts = {str(row): cell for row, cell in cells.items() if cell not in ("", "-")}
        return {int(row): moment for row, moment in read_stamps(texts, zone).items()}, has_no_afternoon(texts)

    def stamp(self, row: int) -> str:
        """The time of submission as it stands there, for messages."""
        return clean(self._sheet.cell(row, self._submitted), limit=60)

    def error(self, what: str) -> UsageError:
        """One line that names the file."""
        return self._sheet.error(what)

    def kept(self, row: int) -> str:
        """Whether the grade is locked, in words, or ""; Moodle would skip such a row."""
        word = self._sheet.cell(row, self._changeable).casefold() if self._changeable is not None else ""
        return "locked in Moodle" if word in _NO else ""

    def fill(self, row: int, grade: str, comment: str) -> bool:
        """Sets a grade and, where the worksheet has that column, what we say of it; words of a teacher's stay.

        Args:
            row: Of a `Person`.
            grade: With a decimal point.
            comment: Plain text.

        Returns:
            Whether another grade was there.
        """
        sheet, before = self._sheet, self._sheet.cell(row, self._grade)
        written = grade.replace(".", ",") if self._has_commas else grade
        sheet.set(row, self._grade, written)
        if self._comments is not None:
            theirs = sheet.cell(row, self._comments).partition(_MARK)[0].rstrip()
            ours = html.escape(_MARK + comment, quote=False)  # Moodle takes it for HTML
            sheet.set(row, self._comments, f"{theirs} {ours}" if theirs else ours)
        return before not in ("", "-") and number_of(before) != float(grade)

    def text(self) -> str:
        """The whole worksheet."""
        return self._sheet.text()


def _is_date(cell: str) -> bool:
    return cell in ("", "-") or (len(cell) <= _MAX_DATE and bool(_DATE.fullmatch(cell)))


def feedback_zip(pages: Iterable[tuple[Submission, str]]) -> bytes:
    """Packs pages as Moodle's "Upload multiple feedback files in a zip" wants them.

    Args:
        pages: Submissions, each with a number of Moodle's, and their HTML.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for submission, page in pages:
            # Moodle splits at underscores and takes the second part for the participant's number.
            name = " ".join(re.findall(r"[^\W_]+", submission.name)) or "student"
            path = f"{name}_{submission.lms_id}_assignfeedback_file_/feedback.html"
            archive.writestr(zipfile.ZipInfo(path, _ZIP_TIME), page, zipfile.ZIP_DEFLATED)
    return stream.getvalue()
